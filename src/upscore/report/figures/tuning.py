"""The figure of a search for CRF settings: the trials in order, and the score by each setting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator

from upscore.crf.search import NO_CRF, SPACE, Parameter, SamplerName, Trial, best_trial
from upscore.crf.settings import CRF_NAMES
from upscore.report.figures.scores import MARKERS, PAPER, plain_frame

TITLES = {
    "gaussian.sxy": "Gaussian: deviation in pixels",
    "gaussian.weight": "Gaussian: weight",
    "bilateral.sxy": "bilateral: deviation in pixels",
    "bilateral.srgb": "bilateral: deviation in colour",
    "bilateral.weight": "bilateral: weight",
}
DRAWN, BEST, NAMED = PAPER.series[0], PAPER.series[1], PAPER.series[2]
ORDER = (NO_CRF, *CRF_NAMES, "--start", "drawn", "far below", "best so far", "best")
"""Of the legend."""
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100)


def tuning_figure(trials: Sequence[Trial], *, num_images: int) -> Figure:
    """Scores of the trials in order with the best so far, and against each setting.

    The dashed line is the score without a CRF. Trials far below everything of interest (less than
    half of them) stand as triangles at the lower edge, so that the rest can be told apart. Trials
    of another normalisation are in the first panel only: their weights mean something else.

    Args:
        num_images: on how many images the trials were scored, for the title.

    Raises:
        SettingsError: there is no trial.
    """
    best = best_trial(trials)
    panels = [p for p in SPACE if any(_value(trial, p.key) is not None for trial in trials)]
    columns = min(3, 1 + len(panels))
    rows = math.ceil((1 + len(panels)) / columns)
    figure = Figure(figsize=(4.0 * columns, 3.1 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    floor, ceiling = _limits(trials)
    _order(grid[0, 0], trials, best, floor)
    for place, parameter in enumerate(panels, 1):
        _against(grid[divmod(place, columns)], trials, best, parameter, floor)
    for place in range(1 + len(panels), rows * columns):
        grid[divmod(place, columns)].set_axis_off()
    for place in range(1 + len(panels)):
        axes = grid[divmod(place, columns)]
        axes.set_ylim(floor, ceiling)
        if place % columns == 0:
            axes.set_ylabel("mIoU")
        if trials[0].name == NO_CRF:
            axes.axhline(
                trials[0].score, color=PAPER.ink, linewidth=1, linestyle=(0, (4, 3)), zorder=1
            )
        _plain_look(axes)
    handles, names = grid[0, 0].get_legend_handles_labels()
    known = sorted(zip(names, handles, strict=True), key=lambda item: ORDER.index(item[0]))
    figure.legend(
        [handle for _, handle in known],
        [name for name, _ in known],
        loc="outside lower center",
        ncols=len(ORDER),
        columnspacing=1.2,
        frameon=False,
        fontsize=9,
    )
    images = "1 image" if num_images == 1 else f"{num_images} images"
    figure.suptitle(f"mIoU of {len(trials)} CRF settings on the {images} searched", fontsize=11)
    return figure


def _value(trial: Trial, key: str) -> float | None:
    """A setting of a trial; None where it has none that belongs on the axis."""
    if trial.settings is None or trial.settings.normalization != "symmetric":
        return None
    term, _, name = key.partition(".")
    value = getattr(getattr(trial.settings, term), name, None)
    return value if isinstance(value, float) and value > 0 else None  # a list has no place


def _limits(trials: Sequence[Trial]) -> tuple[float, float]:
    """Of the score: all of the better half, no CRF, and some room."""
    scores = np.array([trial.score for trial in trials])
    low, high = min(float(np.median(scores)), trials[0].score), float(scores.max())
    low -= 0.5 * (high - low)
    low = max(low, float(scores.min()))
    room = max(0.06 * (high - low), 0.001)
    return low - room, high + room


def _kind(trial: Trial) -> tuple[str, str, str]:
    """Label, colour and marker."""
    if trial.name == NO_CRF:
        return NO_CRF, PAPER.ink, "X"
    if trial.name in CRF_NAMES:
        return trial.name, NAMED, MARKERS[1 + CRF_NAMES.index(trial.name)]
    if trial.name in get_args(SamplerName):
        return "drawn", DRAWN, MARKERS[0]
    return "--start", PAPER.series[3], "P"


def _dots(axes: Axes, trials: Sequence[Trial], places: Sequence[float], floor: float) -> None:
    """One dot a trial; those below the floor as triangles on it."""
    groups: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for trial, place in zip(trials, places, strict=True):
        label, color, marker = _kind(trial)
        below = trial.score < floor
        key = ("far below", PAPER.series[4], "v") if below else (label, color, marker)
        groups.setdefault(key, []).append((place, max(trial.score, floor)))
    for (label, color, marker), points in groups.items():
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            linestyle="",
            color=color,
            marker=marker,
            markersize=5 if label == "drawn" else 6.5,
            alpha=0.75 if label == "drawn" else 1.0,
            markeredgewidth=0,
            clip_on=False,
            label=label,
            zorder=3,
        )


def _ring(axes: Axes, place: float, best: Trial) -> None:
    axes.plot(
        [place],
        [best.score],
        linestyle="",
        marker="o",
        markersize=11,
        markerfacecolor="none",
        markeredgecolor=BEST,
        markeredgewidth=1.8,
        label="best",
        zorder=4,
    )


def _order(axes: Axes, trials: Sequence[Trial], best: Trial, floor: float) -> None:
    numbers = [trial.number for trial in trials]
    so_far = np.maximum.accumulate([trial.score for trial in trials])
    axes.step(numbers, so_far, where="post", color=BEST, linewidth=1.6, label="best so far")
    _dots(axes, trials, numbers, floor)
    _ring(axes, best.number, best)
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _against(
    axes: Axes, trials: Sequence[Trial], best: Trial, parameter: Parameter, floor: float
) -> None:
    values = [(trial, _value(trial, parameter.key)) for trial in trials]
    shown = [(trial, value) for trial, value in values if value is not None]
    _dots(axes, [trial for trial, _ in shown], [value for _, value in shown], floor)
    for trial, value in shown:
        if trial == best:
            _ring(axes, value, best)
    places = [value for _, value in shown]
    axes.set_xscale("log")
    axes.set_xlim(min(parameter.low, *places) / 1.08, max(parameter.high, *places) * 1.08)
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_major_formatter(lambda value, _place: f"{value:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(TITLES[parameter.key])


def _plain_look(axes: Axes) -> None:
    plain_frame(axes)
    axes.set_axisbelow(True)
    axes.grid(color=PAPER.grid, linewidth=0.6)
