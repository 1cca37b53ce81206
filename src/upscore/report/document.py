"""Numbered tables, figures and checks: what a reproduction shows, apart from how it looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from matplotlib.figure import Figure

from upscore.core.labels import Labels, RGBImage
from upscore.report.figures.scores import Theme

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
        best: columns whose highest number of ours stands out.
    """

    name: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    published: frozenset[int] = frozenset()
    digits: int = 3
    best: frozenset[int] = frozenset()

    def text(self, value: Cell) -> str:
        """A cell for people."""
        if value is None:
            return "\u2013"
        if isinstance(value, float):
            return f"{value:.{self.digits}f}"
        return f"{value:,}" if isinstance(value, int) else value

    def is_number(self, column: int) -> bool:
        """Whether a column holds numbers and dashes only."""
        return not any(isinstance(row[column], str) for row in self.rows)

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
        missing: what is not there, and why.
        facts: how it was made, name and value.
        recipes: YAML of each training by its title.
    """

    title: str
    lead: str
    sections: tuple[Section, ...]
    missing: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    recipes: tuple[tuple[str, str], ...] = ()
    tiles: tuple[tuple[str, str], ...] = field(default=())

    def numbered(self) -> list[tuple[str, Item]]:
        """Every item with its number, as ``Table 2``, in their order."""
        counts = {"Table": 0, "Figure": 0}
        found: list[tuple[str, Item]] = []
        for section in self.sections:
            for item in section.items:
                kind = "Table" if isinstance(item, Table) else "Figure"
                counts[kind] += 1
                found.append((f"{kind} {counts[kind]}", item))
        return found


def best_of(table: Table, column: int) -> set[int]:
    """Rows of ours with the highest number of a column, where not all are equal."""
    values = {
        place: value
        for place, row in enumerate(table.rows)
        if place not in table.published and isinstance(value := row[column], int | float)
    }
    if len(set(values.values())) < 2:
        return set()
    return {place for place, value in values.items() if value == max(values.values())}


def checks_table(checks: Sequence[Check]) -> tuple[tuple[str, str, str], ...]:
    """Sentence, verdict, what was found."""
    return tuple((check.sentence, check.verdict, check.found) for check in checks)


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
    lead = f"{document.lead} Photos, true masks and what shows them are left out of its figures."
    return replace(document, lead=lead, sections=sections)
