"""Numbered tables, figures and checks: what a reproduction shows, apart from how it looks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from matplotlib.figure import Figure

from upscore.core.labels import Labels, RGBImage
from upscore.report.figures.scores import Theme
from upscore.report.page_words import WORDS, Language

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """A table with a header.

    Attributes:
        name: stem of its files.
        caption: what it shows, a sentence or more, without its number.
        header: a name for each column.
        rows: cells; None is shown as a dash.
        published: rows that hold numbers of a paper, not ours.
        digits: after the point, of numbers that are not whole.
        best: names of the columns whose highest number of ours stands out.
    """

    kind: ClassVar = "table"

    name: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    published: Collection[int] = ()
    digits: int = 3
    best: Collection[str] = ()

    @classmethod
    def of(
        cls,
        name: str,
        caption: str,
        rows: Sequence[Mapping[str, Cell]],
        *,
        digits: int = 3,
        best: Collection[str] = (),
    ) -> Self:
        """A table of one row or more, each with its cells by the names of the columns."""
        cells = tuple(tuple(row.values()) for row in rows)
        return cls(name, caption, tuple(rows[0]), cells, digits=digits, best=best)

    def text(self, value: Cell) -> str:
        """A cell for people."""
        if value is None:
            return "\u2013"
        if isinstance(value, float):
            return f"{value:.{self.digits}f}"
        return f"{value:,}" if isinstance(value, int) else value

    @property
    def numeric(self) -> list[bool]:
        """Of each column, whether it holds numbers and dashes only."""
        return [
            not any(isinstance(row[column], str) for row in self.rows)
            for column in range(len(self.header))
        ]

    def best_cells(self) -> set[tuple[int, int]]:
        """Row and column of the highest number of ours in ``best``, where not all are equal."""
        found: set[tuple[int, int]] = set()
        for column, name in enumerate(self.header):
            values = {
                place: value
                for place, row in enumerate(self.rows)
                if place not in self.published and isinstance(value := row[column], int | float)
            }
            if name in self.best and len(set(values.values())) > 1:
                highest = max(values.values())
                found |= {(place, column) for place, value in values.items() if value == highest}
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "caption": self.caption,
            "header": list(self.header),
            "rows": [list(row) for row in self.rows],
            "published_rows": sorted(self.published),
        }


@dataclass(frozen=True)
class Chart:
    """A drawn figure; ``draw`` gives it in the colours of paper or of the page."""

    kind: ClassVar = "chart"

    name: str
    caption: str
    draw: Callable[[Theme], Figure]


@dataclass(frozen=True)
class Row:
    """Pictures side by side.

    Attributes:
        shots: a caption and (H, W, 3) uint8 each, None where it is missing.
        of_data: places of those that hold a photo or its truth.
    """

    title: str
    shots: tuple[tuple[str, RGBImage | None], ...]
    of_data: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Sheet:
    """Pictures in rows.

    Attributes:
        name: stem of its files.
        labels: of the classes whose colours are in it, or None.
    """

    kind: ClassVar = "sheet"

    name: str
    caption: str
    rows: tuple[Row, ...]
    labels: Labels | None = None

    @property
    def columns(self) -> int:
        return max((len(row.shots) for row in self.rows), default=1)


@dataclass(frozen=True)
class Check:
    """A sentence of the source, and whether our results agree; None where that is undecided."""

    sentence: str
    found: str
    agrees: bool | None

    @property
    def verdict(self) -> str:
        return {True: "agrees", False: "differs", None: "cannot be told"}[self.agrees]


Item = Table | Chart | Sheet


@dataclass(frozen=True)
class Section:
    """Items under a title, with some sentences before them."""

    title: str
    text: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Document:
    """A page and its files.

    Attributes:
        budget: what trainings had, and the machine: the first line of the page.
        tiles: scores above all else, value and name.
        missing: what is not there, and why.
        facts: how it was made, name and value.
        recipes: YAML of each training by its title.
        language: of its text.
        translations: the same in other languages, each a page beside this one.
    """

    title: str
    lead: str
    sections: tuple[Section, ...]
    missing: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    recipes: tuple[tuple[str, str], ...] = ()
    tiles: tuple[tuple[str, str], ...] = ()
    budget: str = ""
    language: Language = "en"
    translations: tuple[Document, ...] = ()

    def numbered(self) -> list[tuple[str, Item]]:
        """Every item with its number, as ``Table 2``, in their order."""
        words = WORDS[self.language]
        counts = {"Table": 0, "Figure": 0}
        found: list[tuple[str, Item]] = []
        for section in self.sections:
            for item in section.items:
                kind = "Table" if item.kind == "table" else "Figure"
                counts[kind] += 1
                found.append((f"{words[kind]} {counts[kind]}", item))
        return found


def without_data(document: Document) -> Document:
    """The same without pictures that hold a photo or its truth, and figures of nothing else."""

    def without(item: Item) -> Item | None:
        if not isinstance(item, Sheet):
            return item
        rows = []
        for row in item.rows:
            kept = [shot for place, shot in enumerate(row.shots) if place not in row.of_data]
            if kept:
                rows.append(Row(row.title, tuple(kept)))
        return replace(item, rows=tuple(rows)) if rows else None

    sections = tuple(
        replace(section, items=tuple(kept for item in section.items if (kept := without(item))))
        for section in document.sections
    )
    lead = f"{document.lead} {WORDS[document.language]['without data']}"
    translations = tuple(map(without_data, document.translations))
    return replace(document, lead=lead, sections=sections, translations=translations)
