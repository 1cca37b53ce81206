"""The precision-recall figure of edge maps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from upscore.core.plural import plural
from upscore.edges.benchmark.score import EdgeScores
from upscore.errors import SettingsError
from upscore.report.figures.layout import NARROW, SMALL, legend_below, new_figure, set_letters
from upscore.report.figures.scores import PAPER, plain_frame, plain_text, series_style

LEVELS = tuple(level / 10 for level in range(1, 10))


def edge_figure(curves: Mapping[str, EdgeScores]) -> Figure:
    """Precision against recall, one curve for each name, over lines of equal F.

    The dot on a curve is where F is highest (ODS). Best on top in the legend, which has ODS, OIS
    and AP of each.

    Raises:
        SettingsError: no curve.
    """
    if not curves:
        raise SettingsError("no curve to draw; give the scores of at least one kind of edge map")
    figure = new_figure(NARROW, 5.5)
    axes = figure.add_subplot()
    _equal_f(axes)
    ranked = sorted(curves.items(), key=lambda item: -item[1].ods)
    for place, (name, scores) in enumerate(ranked):
        style = series_style(place)
        drawn = scores.counts.detected > 0  # without a pixel there is no precision
        best = scores.best
        line = style | {"marker": "", "zorder": 3}
        axes.plot(scores.recall[drawn], scores.precision[drawn], **line)
        axes.plot(
            [best.recall],
            [best.precision],
            **style,
            markersize=7,
            markeredgecolor="white",
            zorder=4,
            label=f"{plain_text(name)}: ODS {best.f:.3f}, OIS {scores.ois:.3f}, AP {scores.ap:.3f}",
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    axes.set_title(f"Edges of {plural(len(ranked[0][1].images), 'image')}")
    plain_frame(axes)
    set_letters(figure)
    legend_below(figure, *axes.get_legend_handles_labels())
    return figure


def _equal_f(axes: Axes) -> None:
    """Lines where F = 2 P R / (P + R) is 0.1, ..., 0.9, named at the right."""
    for level in LEVELS:
        # P = F R / (2 R - F) is at most 1 from R = F / (2 - F) on
        recall = np.geomspace(level / (2 - level), 1, 300)  # steep at its begin
        precision = level * recall / (2 * recall - level)
        axes.plot(recall, precision, color=PAPER.grid, linewidth=0.9, zorder=1)
        axes.annotate(
            f"F {level:.1f}" if level == LEVELS[-1] else f"{level:.1f}",
            (1, level / (2 - level)),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL[NARROW],
            color=PAPER.ink,
            annotation_clip=False,
        )
