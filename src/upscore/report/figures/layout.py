"""Widths of figures, and letters that are legible in print.

A figure is drawn for one of two widths on a printed page: NARROW ones, of one panel, for a column
of 84 mm, WIDE ones, of several panels or many names, for the whole width of 174 mm. Narrow ones are
drawn larger than the column, so that they can be shown on a screen too; their letters are chosen
for the column: 9 points on 4.6 inches are 6.5 in print.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

COLUMN_MM, PAGE_MM = 84, 174
MM_PER_INCH = 25.4

NARROW = 4.6
"""Inches; a column is 3.31."""
WIDE = PAGE_MM / MM_PER_INCH
"""Inches: as printed."""

LETTERS = {NARROW: 9.5, WIDE: 8.5}
"""Points of titles and names of axes by the width of the figure."""
SMALL = {NARROW: 9.0, WIDE: 7.5}
"""Points of numbers, ticks and legends."""

LETTER_WIDTH = 0.58
"""Mean width of a letter, in its size; DejaVu Sans."""
LEGEND_HANDLE = 4.2
"""Room for the line before a name, in letter sizes."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure; sizes in inches, the width NARROW or WIDE."""
    engine = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
    return Figure(figsize=(width, height), layout=engine)


def set_letters(figure: Figure, *, color: str | None = None) -> None:
    """Give titles, names of axes and ticks the sizes of the figure's width.

    Args:
        color: of titles and names of axes; None keeps it.
    """
    width = figure.get_figwidth()
    for axes in figure.axes:
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
            text.set_fontsize(LETTERS[width])
            if color is not None:
                text.set_color(color)
        axes.tick_params(which="both", labelsize=SMALL[width])


def set_title(figure: Figure, text: str, *, color: str | None = None) -> None:
    """A title over all panels, broken where it is too long for the figure."""
    size = LETTERS[figure.get_figwidth()] + 0.5
    title = figure.suptitle(fold(text, _room(figure, size)), fontsize=size)
    if color is not None:
        title.set_color(color)


def legend_below(
    figure: Figure, handles: Sequence[Any], names: Sequence[str], **options: Any
) -> None:
    """A legend below all panels, in as many columns as the names leave room for.

    Args:
        names: as matplotlib takes them; long ones are broken.
        options: further ones of ``Figure.legend``.
    """
    if not names:
        return
    size = SMALL[figure.get_figwidth()]
    room = _room(figure, size)
    folded = [fold(name, room - round(LEGEND_HANDLE / LETTER_WIDTH)) for name in names]
    longest = max(len(line) for name in folded for line in name.splitlines() or [""])
    columns = int(room // (longest + LEGEND_HANDLE / LETTER_WIDTH + 1))
    figure.legend(
        handles, folded, loc="outside lower center", ncols=max(1, min(columns, len(names))),
        columnspacing=1.2, frameon=False, fontsize=size, **options,
    )  # fmt: skip


def fold(text: str, letters: int) -> str:
    """The text in lines of at most so many letters; its own breaks stay."""
    return "\n".join(
        part
        for line in text.splitlines()
        for part in textwrap.wrap(line, max(letters, 4), break_on_hyphens=False) or [""]
    )


def _room(figure: Figure, size: float) -> int:
    """Number of letters of that size that fit beside each other."""
    return int(72 * figure.get_figwidth() / (LETTER_WIDTH * size))
