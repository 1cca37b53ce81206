"""What mask values mean where nothing says so: guessed and told, or asked for."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upscore.core.labels import VOID, Color, Labels
from upscore.core.plural import plural
from upscore.core.tables import Table
from upscore.data.mask_survey import MAX_GUESSED, MaskFacts, ValueUse, disagreements, value_uses
from upscore.data.masks import MaskTable
from upscore.errors import DataError

FILE = "dataset.yaml"
CLASSES = "classes.txt"
VOID_NAME = "void"
MOST_NAMED = 40
"""Classes up to which a line is printed that names them."""


@dataclass(frozen=True)
class Guess:
    """A meaning of mask values that no file of the data set gives.

    Attributes:
        source: what it was guessed from.
        rows: value, colour of the palette, class, share of pixels, number of masks.
        num_masks: how many masks were looked at.
        lines: of a classes.txt that says the same; empty where it takes a dataset.yaml.
    """

    source: str
    rows: tuple[tuple[int, Color | None, str, float, int], ...]
    num_masks: int
    lines: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        source: str,
        facts: Sequence[MaskFacts],
        labels: Labels,
        table: MaskTable,
        *,
        lines: Sequence[str] = (),
    ) -> Guess:
        """What the values of some masks mean by a table of values."""
        uses = value_uses(facts, as_colors=False)
        total = max(1, sum(use.pixels for use in uses))
        meaning = table.values or {}
        rows = (
            (use.value, use.color, _class_name(meaning, use.value, labels), use.pixels / total,
             use.files)
            for use in uses
        )  # fmt: skip
        return cls(source, tuple(rows), len(facts), tuple(lines))

    def naming(self, root: Path) -> str:
        """What to type to name the classes in a classes.txt; empty where there are too many."""
        if not 0 < len(self.lines) <= MOST_NAMED:
            return ""
        first = " (value 0 is `background` if it is no object)" if len(self.lines) > 2 else ""
        return (
            f"To name them, put your own names{first} into this line and type it:\n  "
            f"{self._command(root)}"
        )

    def _command(self, root: Path) -> str:
        return f"printf '%s\\n' {shlex.join(self.lines)} > {shlex.quote(str(root / CLASSES))}"

    def table(self) -> Table:
        """For the screen; colours where the masks have some."""
        has_colors = any(color is not None for _, color, *_ in self.rows)
        rows = [
            (
                str(value),
                *(("" if color is None else ",".join(map(str, color)),) if has_colors else ()),
                name,
                f"{100 * share:.2f}",
                files,
            )
            for value, color, name, share, files in self.rows
        ]
        colour = ("colour",) if has_colors else ()
        return Table(("value", *colour, "class", "pixels %", "masks"), rows)

    def text(self) -> str:
        """The table as lines of text, under a line that says what they are."""
        table = self.table()
        cells = [tuple(map(str, row)) for row in (table.header, *table.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)
        return "\n".join((self.title(), *lines))

    def title(self) -> str:
        """One sentence above the table."""
        return (
            f"Guessed from {self.source} ({plural(self.num_masks, 'mask')} read); if it is wrong, "
            "name the classes in classes.txt or a dataset.yaml:"
        )

    def meaning(self) -> dict[str, str]:
        """Mask values as text, and the classes that they stand for."""
        return {str(value): name for value, _, name, _, _ in self.rows}

    def to_json(self) -> dict[str, Any]:
        keys = ("value", "color", "class", "share", "masks")
        rows = [dict(zip(keys, row, strict=True)) for row in self.rows]
        return {"source": self.source, "num_masks": self.num_masks, "values": rows}


def _class_name(meaning: dict[int, int] | Any, value: int, labels: Labels) -> str:
    index = meaning.get(value)
    if index is None:
        return "?"
    return VOID_NAME if index == VOID else labels.names[index]


def guess_classes(
    root: Path, facts: Sequence[MaskFacts], description: str
) -> tuple[Labels, MaskTable, Guess]:
    """Classes from the values that all masks hold.

    Args:
        description: the lines of a dataset.yaml that say where the files are.

    Raises:
        DataError: the masks disagree, or their values could mean several things; the message says
            what to do and may end in a dataset.yaml to fill in.
    """
    for problem in disagreements(facts, root, None):
        raise DataError(problem.message)
    values = {value for one in facts for value in one.values}
    if any(one.is_color for one in facts):
        raise DataError(ask(root, facts, description))
    if values == {0, 255}:
        labels, table = Labels.of(("background", "foreground")), MaskTable(values={0: 0, 255: 1})
        lines = ("0 background", "255 foreground")
        return labels, table, Guess.of("masks of 0 and 255", facts, labels, table, lines=lines)
    indices = sorted(values - {VOID})
    largest = indices[-1] if indices else 0
    # class numbers start at 0 and leave few gaps; grey levels that stand for classes do not
    is_clear = 0 < largest < MAX_GUESSED and 2 * len(indices) >= largest + 1
    if not is_clear or indices[0] != 0:
        raise DataError(ask(root, facts, description))
    names = [f"class_{index}" for index in range(largest + 1)]
    labels = Labels.of(("background", "foreground") if indices == [0, 1] else names)
    table = MaskTable.indices(largest + 1)
    source = "the numbers in the masks"
    return labels, table, Guess.of(source, facts, labels, table, lines=labels.names)


def ask(root: Path, facts: Sequence[MaskFacts], description: str, *, why: str = "") -> str:
    """An error that ends in a dataset.yaml to fill in, if there are few values."""
    is_color = any(one.is_color for one in facts)
    uses = value_uses(facts, as_colors=is_color)
    kind = "RGB colours" if is_color else "values"
    if len(uses) == 1:
        return (
            f"{root}: every pixel of all {len(facts)} masks is {_key(uses[0].value, is_color)}; "
            "expected masks that show two classes or more"
        )
    begin = (
        f"{root}: the masks hold {len(uses)} different {kind}, whose classes are not known{why}."
    )
    if len(uses) > MAX_GUESSED:
        shown = ", ".join(_key(use.value, is_color) for use in uses[:6])
        return (
            f"{begin} So many ({shown}, ...) come from smoothed, resized or lossy files: masks "
            "must be PNG, not JPEG, made anew from the tool that drew them. If they are right, say "
            f"what each means in {root / FILE} (see docs/data.md)"
        )
    names = [VOID_NAME if _is_void(use, is_color) else f"class_{i}" for i, use in enumerate(uses)]
    classes = ", ".join(name for name in names if name != VOID_NAME)
    table = "\n".join(
        f"  {_key(use.value, is_color)}: {name}" for use, name in zip(uses, names, strict=True)
    )
    by_number = (
        "Save this as" if is_color else "Add classes.txt where value i is line i, or save this as"
    )
    return (
        f"{begin} {by_number} {root / FILE}, with names of your own and void for what does not "
        f"count:\n{description}\nclasses: [{classes}]\nmasks:\n{table}"
    )


def _is_void(use: ValueUse, is_color: bool) -> bool:
    return not is_color and (use.value < 0 or use.value == 65535)


def _key(value: int, is_color: bool) -> str:
    if not is_color:
        return str(value)
    return f'"{value >> 16},{value >> 8 & 255},{value & 255}"'
