"""A network as a row of boxes: what a photo goes through, and how large the maps are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from upscore.report.figures.layout import WIDE, new_figure
from upscore.report.figures.scores import Theme, plain_text

WIDTH, GAP = 1.0, 0.24
"""Of a column and of the space after it."""


@dataclass(frozen=True)
class Column:
    """One step: a box, or several above each other that do it side by side.

    Attributes:
        names: texts of the boxes.
        height: of each box, in (0, 1]: the size of its maps, the photo's being 1.
    """

    names: tuple[str, ...]
    height: float


@dataclass(frozen=True)
class Skip:
    """An arrow past other columns: places of its two columns, and its text."""

    first: int
    last: int
    name: str


def scheme_chart(columns: Sequence[Column], skips: Sequence[Skip], *, theme: Theme) -> Figure:
    """Columns from left to right with arrows between them, and skips as lines above."""
    figure = new_figure(WIDE, 2.4 if skips else 1.85)
    axes = figure.add_subplot()
    axes.set_axis_off()
    top = 0.6 + 0.22 * len(skips)
    axes.set_xlim(-0.05, len(columns) * (WIDTH + GAP) - GAP + 0.05)
    axes.set_ylim(-0.58, max(top + 0.1, 0.58))
    for place, column in enumerate(columns):
        _draw_column(axes, place, column, last=place in (0, len(columns) - 1), theme=theme)
        if place:
            for y in _middles(columns[place - 1]) if len(column.names) == 1 else [0.0]:
                for to in _middles(column):
                    _arrow(axes, (_right(place - 1), y), (_left(place), to), theme)
    for number, skip in enumerate(sorted(skips, key=lambda one: one.last - one.first)):
        level = 0.6 + 0.22 * number
        start, end = _center(skip.first), _center(skip.last)
        heights = [columns[place].height / 2 for place in (skip.first, skip.last)]
        color = theme.series[1]
        axes.plot([start, start, end], [heights[0], level, level], color=color, linewidth=1.1)
        _arrow(axes, (end, level), (end, heights[1]), theme, color=color)
        middle = (start + end) / 2
        axes.text(middle, level + 0.02, plain_text(skip.name), color=color, fontsize=8,
                  ha="center", va="bottom")  # fmt: skip
    return figure


def _left(place: int) -> float:
    return place * (WIDTH + GAP)


def _right(place: int) -> float:
    return _left(place) + WIDTH


def _center(place: int) -> float:
    return _left(place) + WIDTH / 2


def _middles(column: Column) -> list[float]:
    """Heights of the middles of a column's boxes, from top to bottom."""
    num = len(column.names)
    return [(num - 1) / 2 * 0.54 - 0.54 * row for row in range(num)]


def _draw_column(axes: Axes, place: int, column: Column, *, last: bool, theme: Theme) -> None:
    for name, middle in zip(column.names, _middles(column), strict=True):
        height = column.height if len(column.names) == 1 else min(column.height, 0.44)
        axes.add_patch(
            FancyBboxPatch(
                (_left(place), middle - height / 2), WIDTH, height,
                boxstyle="round,pad=0,rounding_size=0.06", linewidth=1.3, facecolor="none",
                edgecolor=theme.series[4] if last else theme.series[0],
            )
        )  # fmt: skip
        axes.text(_center(place), middle, plain_text(name), color=theme.ink, fontsize=8,
                  ha="center", va="center", linespacing=1.15)  # fmt: skip


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    theme: Theme,
    *,
    color: str | None = None,
) -> None:
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=7, linewidth=1.1,
                        shrinkA=1, shrinkB=1, color=color or theme.ink)
    )  # fmt: skip
