"""Charts of the two sources, in the colours of paper or of a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from upscore.report.figures.layout import (
    NARROW,
    SMALL,
    WIDE,
    fold,
    legend_below,
    new_figure,
    set_letters,
)
from upscore.report.figures.scores import DASHES, MARKERS, Theme, plain_frame, plain_text

FEW_PLACES = 8
"""On an x axis: each is named."""
COLUMN_UP_TO, UPRIGHT_UP_TO = 12, 26
"""Bars and gaps: more of them are drawn as wide as a page; numbers above still more are turned."""
NUMBERS = {NARROW: 8.5, WIDE: 7.0}
"""Points of the numbers above bars by the width of the figure."""


@dataclass(frozen=True)
class Line:
    """One line of a chart; y may hold None where nothing was measured."""

    name: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]


def loss_curves(lines: Sequence[Line], *, mark: float, theme: Theme) -> Figure:
    """Training losses over iterations, with marks early on and at the end.

    Args:
        lines: mean losses, one line an experiment.
        mark: iteration of the early mark.
    """
    figure = new_figure(NARROW, 3.6)
    axes = figure.add_subplot()
    axes.axvline(mark, color=theme.ink, linewidth=0.8, linestyle=(0, (1.5, 2)))
    axes.annotate(
        f"{mark:,.0f} iterations",
        (mark, 1),
        (4, -4),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        color=theme.ink,
        fontsize=SMALL[NARROW],
        va="top",
    )
    known: list[float] = []
    for place, line in enumerate(lines):
        color = theme.series[place % len(theme.series)]
        values = np.array([math.nan if v is None else v for v in line.y], np.float64)
        if not len(values):
            continue
        marker = MARKERS[place % len(MARKERS)]
        early, last = at(line, mark), float(values[-1])
        axes.plot(
            line.x,
            values,
            color=color,
            linestyle=DASHES[place % len(DASHES)],
            linewidth=1.7,
            label=f"{plain_text(line.name)}, at the end {last:.2f}",
        )
        for x, y in ((mark, early), (line.x[-1], last)):
            if y is not None and math.isfinite(y):
                axes.plot([x], [y], marker=marker, color=color, markersize=6, linestyle="")
        known += [float(value) for value in values if math.isfinite(value)]
    if known and min(known) > 0 and max(known) > 20 * min(known):
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.08 * max(known, default=1.0))
    axes.set_xlabel("iteration")
    axes.set_ylabel("training loss (mean of 100)")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(lambda value, _place: f"{value:,.0f}")
    axes.margins(x=0.08)
    return _finished(figure, theme)


def at(line: Line, x: float) -> float | None:
    """Value of a line at its first point from ``x`` on; None beyond its end."""
    for place, value in zip(line.x, line.y, strict=True):
        if place >= x:
            return value
    return None


def lines_chart(
    panels: Sequence[tuple[str, Sequence[Line]]],
    *,
    x_name: str,
    y_name: str,
    theme: Theme,
    whole: bool = False,
    every: int = 1,
) -> Figure:
    """Lines in one panel or several side by side that share colours, dashes and markers.

    Args:
        panels: title and lines of each; lines of one place are of one thing.
        whole: the y axis goes from 0.
        every: number of points from one marker to the next.
    """
    figure = new_figure(NARROW if len(panels) == 1 else WIDE, 3.4)
    for number, axes in enumerate(figure.subplots(1, len(panels), squeeze=False)[0]):
        title, lines = panels[number]
        for place, line in enumerate(lines):
            axes.plot(
                line.x,
                [math.nan if value is None else value for value in line.y],
                color=theme.series[place % len(theme.series)],
                linestyle=DASHES[(place // len(theme.series) + place) % len(DASHES)],
                marker=MARKERS[place % len(MARKERS)],
                markevery=every,
                markersize=4.5,
                linewidth=1.6,
                label=plain_text(line.name) if not number else None,
            )
        axes.set_title(title)
        axes.set_xlabel(x_name)
        if not number:
            axes.set_ylabel(y_name)
        if whole:
            known = [v for line in lines for v in line.y if v is not None]
            axes.set_ylim(0, 1.08 * max(known, default=1.0) or 1.0)
        places = sorted({x for line in lines for x in line.x})
        if len(places) <= FEW_PLACES:
            axes.set_xticks(places, [f"{x:g}" for x in places])
        else:
            axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, steps=[1, 2, 5, 10]))
    return _finished(figure, theme)


def bars_chart(
    names: Sequence[str],
    lines: Sequence[tuple[str, Sequence[float | None]]],
    *,
    y_name: str,
    theme: Theme,
) -> Figure:
    """Groups of bars, one a name, with a bar for each line; numbers stand above them."""
    slots = len(names) * (len(lines) + 1)
    figure = new_figure(NARROW if slots <= COLUMN_UP_TO else WIDE, 3.4)
    axes = figure.add_subplot()
    upright = slots <= UPRIGHT_UP_TO
    thick = 0.82 / max(1, len(lines))
    hatches = ("", "///", "...", "xxx", "\\\\\\")
    for place, (name, values) in enumerate(lines):
        left = np.arange(len(names)) - 0.41 + (place + 0.5) * thick
        axes.bar(
            left,
            [value or 0.0 for value in values],
            thick * 0.92,
            color=theme.series[place % len(theme.series)],
            edgecolor=theme.grid,
            linewidth=0.5,
            hatch=hatches[(place + place // len(theme.series)) % len(hatches)],
            label=plain_text(name),
        )
        for x, value in zip(left, values, strict=True):
            text = "none" if value is None else f"{value:.2f}"
            axes.annotate(text, (x, value or 0.0), (0, 2), textcoords="offset points",
                          ha="center", va="bottom", fontsize=NUMBERS[figure.get_figwidth()],
                          rotation=0 if upright else 90, color=theme.ink)  # fmt: skip
    room = int(1.9 * 72 * figure.get_figwidth() / (len(names) * 9)) if names else 0
    axes.set_xticks(range(len(names)), [fold(plain_text(name), room) for name in names])
    axes.set_ylabel(y_name)
    axes.set_ylim(0, 1.1 if upright else 1.2)
    axes.set_yticks(np.linspace(0, 1, 6))
    return _finished(figure, theme)


def horizontal_bars(
    names: Sequence[str],
    lines: Sequence[tuple[str, Sequence[float | None]]],
    *,
    theme: Theme,
) -> Figure:
    """Groups of bars, one a name from top to bottom, with a bar for each line and its number."""
    figure = new_figure(NARROW, 1.1 + 0.24 * len(names) * len(lines))
    axes = figure.add_subplot()
    thick = 0.8 / max(1, len(lines))
    known = [value for _, values in lines for value in values if value is not None]
    for place, (name, values) in enumerate(lines):
        middles = np.arange(len(names)) - 0.4 + (place + 0.5) * thick
        axes.barh(
            middles,
            [value or 0.0 for value in values],
            thick * 0.92,
            color=theme.series[place % len(theme.series)],
            label=plain_text(name),
        )
        for y, value in zip(middles, values, strict=True):
            text = "none" if value is None else f"{value:.3f}"
            axes.annotate(text, (value or 0.0, y), (3, 0), textcoords="offset points",
                          va="center", fontsize=SMALL[NARROW], color=theme.ink)  # fmt: skip
    axes.set_yticks(range(len(names)), [plain_text(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1.25 * max(known, default=1.0) or 1.0)
    return _finished(figure, theme)


def _finished(figure: Figure, theme: Theme) -> Figure:
    """The figure with frames, letters and grid in the theme's colours, and with its legend."""
    for axes in figure.axes:
        plain_frame(axes, theme=theme, grid="both")
    set_letters(figure, color=theme.ink)
    handles, names = figure.axes[0].get_legend_handles_labels()
    legend_below(figure, handles, names, labelcolor=theme.ink)
    return figure
