"""Figure of a search for CRF settings: scores in order of the trials, and against each setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator

from upscore.core.plural import plural
from upscore.errors import SettingsError
from upscore.report.figures.layout import (
    NARROW,
    WIDE,
    legend_below,
    new_figure,
    set_letters,
    set_title,
)
from upscore.report.figures.scores import MARKERS, PAPER, plain_frame

NO_CRF, START, DRAWN = "no CRF", "--start", "drawn"
"""Groups of trials; every other group is a named setting."""

TITLES = {
    "gaussian.sxy": "Gaussian: deviation in pixels",
    "gaussian.weight": "Gaussian: weight",
    "bilateral.sxy": "bilateral: deviation in pixels",
    "bilateral.srgb": "bilateral: deviation in colour",
    "bilateral.weight": "bilateral: weight",
}
BEST_COLOR, NAMED_COLOR = PAPER.series[1], PAPER.series[2]
FAR_BELOW, BEST_SO_FAR, BEST = "far below", "best so far", "best"
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Point:
    """A trial as the figure shows it.

    ``group`` is its label in the legend; ``values`` hold its settings by dotted key, without those
    that do not compare with the others.
    """

    number: int
    score: float
    group: str
    values: Mapping[str, float]


def tuning_figure(
    points: Sequence[Point], *, ranges: Mapping[str, tuple[float, float]], num_images: int
) -> Figure:
    """Scores in order of the trials with the best so far, and against each setting.

    The dashed line is the score without a CRF, which is the first trial. Scores far below all of
    interest (fewer than half of them) are triangles at the lower edge, so that the rest can be
    distinguished.

    Args:
        points: the trials, in order.
        ranges: dotted key of each setting that was varied -> lowest and highest value.
        num_images: how many images the trials were scored on, for the title.

    Raises:
        SettingsError: there is no trial.
    """
    if not points:
        raise SettingsError("no trial to draw")
    best = max(points, key=lambda point: (point.score, -point.number))
    panels = [key for key in ranges if any(key in point.values for point in points)]
    columns = min(3, 1 + len(panels))
    rows = math.ceil((1 + len(panels)) / columns)
    figure = new_figure(NARROW if columns == 1 else WIDE, 0.8 + 2.2 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    floor, ceiling = _limits(points)
    styles = _styles(points)
    _order(grid[0, 0], points, best, floor, styles)
    for place, key in enumerate(panels, 1):
        _against(grid[divmod(place, columns)], points, best, key, ranges[key], floor, styles)
    for place in range(1 + len(panels), rows * columns):
        grid[divmod(place, columns)].set_axis_off()
    for place in range(1 + len(panels)):
        axes = grid[divmod(place, columns)]
        axes.set_ylim(floor, ceiling)
        if place % columns == 0:
            axes.set_ylabel("mIoU")
        if points[0].group == NO_CRF:
            axes.axhline(
                points[0].score, color=PAPER.ink, linewidth=1, linestyle=(0, (4, 3)), zorder=1
            )
        plain_frame(axes, grid="both")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    by_label = dict(zip(labels, handles, strict=True))
    shown = [label for label in (*styles, BEST_SO_FAR, BEST) if label in by_label]
    set_letters(figure)
    legend_below(figure, [by_label[label] for label in shown], shown)
    images = plural(num_images, "image")
    set_title(figure, f"mIoU of {len(points)} CRF settings on the {images} searched")
    return figure


def _limits(points: Sequence[Point]) -> tuple[float, float]:
    """Of the score axis: the better half, no CRF, and a margin."""
    scores = np.array([point.score for point in points])
    low, high = min(float(np.median(scores)), points[0].score), float(scores.max())
    low -= 0.5 * (high - low)
    low = max(low, float(scores.min()))
    margin = max(0.06 * (high - low), 0.001)
    return low - margin, high + margin


_Styles = Mapping[str, tuple[str, str]]
"""Group -> colour and marker, in the order of the legend."""


def _styles(points: Sequence[Point]) -> _Styles:
    groups = dict.fromkeys(point.group for point in points)
    named = [group for group in groups if group not in (NO_CRF, START, DRAWN)]
    return {
        NO_CRF: (PAPER.ink, "X"),
        **{
            group: (NAMED_COLOR, MARKERS[1 + place % (len(MARKERS) - 1)])
            for place, group in enumerate(named)
        },
        START: (PAPER.series[3], "P"),
        DRAWN: (PAPER.series[0], MARKERS[0]),
        FAR_BELOW: (PAPER.series[4], "v"),
    }


def _dots(
    axes: Axes, points: Sequence[Point], places: Sequence[float], floor: float, styles: _Styles
) -> None:
    """One dot a trial; those below the floor as triangles on it."""
    groups: dict[str, list[tuple[float, float]]] = {}
    for point, place in zip(points, places, strict=True):
        group = FAR_BELOW if point.score < floor else point.group
        groups.setdefault(group, []).append((place, max(point.score, floor)))
    for group, dots in groups.items():
        color, marker = styles[group]
        axes.plot(
            *zip(*dots, strict=True),
            linestyle="",
            color=color,
            marker=marker,
            markersize=5 if group == DRAWN else 6.5,
            alpha=0.75 if group == DRAWN else 1.0,
            markeredgewidth=0,
            clip_on=False,
            label=group,
            zorder=3,
        )


def _ring(axes: Axes, place: float, best: Point) -> None:
    axes.plot(
        [place],
        [best.score],
        linestyle="",
        marker="o",
        markersize=11,
        markerfacecolor="none",
        markeredgecolor=BEST_COLOR,
        markeredgewidth=1.8,
        label=BEST,
        zorder=4,
    )


def _order(axes: Axes, points: Sequence[Point], best: Point, floor: float, styles: _Styles) -> None:
    numbers = [point.number for point in points]
    so_far = np.maximum.accumulate([point.score for point in points])
    axes.step(numbers, so_far, where="post", color=BEST_COLOR, linewidth=1.6, label=BEST_SO_FAR)
    _dots(axes, points, numbers, floor, styles)
    _ring(axes, best.number, best)
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _against(
    axes: Axes,
    points: Sequence[Point],
    best: Point,
    key: str,
    limits: tuple[float, float],
    floor: float,
    styles: _Styles,
) -> None:
    shown = [point for point in points if key in point.values]
    places = [point.values[key] for point in shown]
    _dots(axes, shown, places, floor, styles)
    if key in best.values:
        _ring(axes, best.values[key], best)
    axes.set_xscale("log")
    axes.set_xlim(min(limits[0], *places) / 1.08, max(limits[1], *places) * 1.08)
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_major_formatter(lambda value, _place: f"{value:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(TITLES[key])
