"""Figures by matplotlib's object interface: no window, no global state, safe in any thread.

Colours that are ours to choose keep their order in grey and for the colour-blind; a class is drawn
in its data set's colour and always named as well.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from upscore.core.files import atomic_path
from upscore.core.labels import Labels
from upscore.core.option_values import FIGURE_FORMATS
from upscore.errors import SettingsError
from upscore.metrics.confusion import Matrix, Scores
from upscore.report.figures.layout import NARROW, SMALL, WIDE, new_figure, set_letters
from upscore.report.run_data import Curve

COLUMN_UP_TO = 12  # classes; the heat map of more is as wide as a page
NUMBERS_UP_TO = 30  # classes; above that, numbers in the heat map's cells cannot be read
NAMES_UP_TO = 60  # classes; above that, only some rows are named
DOTS_PER_INCH = 200


@dataclass(frozen=True)
class Theme:
    """Colours of lines and letters; series repeat with another dash when they run out."""

    ink: str
    grid: str
    series: tuple[str, ...]


# Okabe and Ito's set, which differ for the colour-blind, dark ones first
PAPER = Theme("#222222", "#d8d8d8", ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#6b6b6b"))
# Stand-ins that svg() turns into variables of the page's style sheet
PAGE = Theme("#010101", "#020202", tuple(f"#0300{i:02x}" for i in range(len(PAPER.series))))

DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 2, 1.5, 2)))
MARKERS = ("o", "s", "^", "D", "v")


def confusion_heat_map(matrix: Matrix, labels: Labels) -> Figure:
    """Each row of a confusion matrix (C, C) as shares of that class's true pixels.

    Up to 12 classes it is as wide as a column, above as a page (see :mod:`.layout`). Up to 30
    classes the cells hold whole per cent; above 60 only some rows and columns are named.
    A class without truth has an empty row.
    """
    num = len(labels)
    rows = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, rows, out=np.full(matrix.shape, np.nan), where=rows > 0)
    width = NARROW if num <= COLUMN_UP_TO else WIDE
    figure = new_figure(width, width + 0.1)
    axes = figure.add_subplot()
    colors = mpl.colormaps["Blues"].with_extremes(bad="#f2f2f2")
    picture = axes.imshow(shares, cmap=colors, vmin=0, vmax=1, interpolation="nearest")
    step = 1 if num <= NAMES_UP_TO else math.ceil(num / NAMES_UP_TO)
    places = list(range(0, num, step))
    names = [plain_text(labels.names[i]) for i in places]
    axes.set_xlabel("prediction")
    axes.set_ylabel("truth")
    axes.set_title("Confusion: per cent of each class's true pixels")
    set_letters(figure)
    size = SMALL[width] if num <= NUMBERS_UP_TO else 6.5
    axes.set_xticks(places, names, rotation=90, fontsize=size)
    axes.set_yticks(places, names, fontsize=size)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if num <= NUMBERS_UP_TO:
        axes.set_xticks(np.arange(num + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(num + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1)
        axes.tick_params(which="minor", length=0)
        _write_numbers(axes, shares, size if num <= COLUMN_UP_TO else 7.0)
    else:
        bar = figure.colorbar(picture, ax=axes, fraction=0.04, pad=0.02, shrink=0.7)
        bar.outline.set_visible(False)
        bar.ax.yaxis.set_major_formatter(lambda value, _place: f"{value:.0%}")
        bar.ax.tick_params(labelsize=SMALL[width])
    return figure


def _write_numbers(
    axes: Axes, shares: np.ndarray[tuple[int, ...], np.dtype[np.float64]], size: float
) -> None:
    for (row, column), share in np.ndenumerate(shares):
        if not np.isnan(share) and share >= 0.005:
            axes.text(
                column,
                row,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                fontsize=size,
                color="white" if share > 0.55 else "#222222",
            )


def per_class_bars(scores: Scores, labels: Labels) -> Figure:
    """IoU of every class, best on top, in the classes' colours; the line is the mean."""
    order = sorted(
        range(len(labels)),
        key=lambda i: (
            not scores.per_class[i].pixels,
            scores.per_class[i].iou is None,
            -(scores.per_class[i].iou or 0),
            i,
        ),
    )
    num = len(order)
    many = num > NAMES_UP_TO
    height = min(24.0, 0.9 + (0.1 if many else 0.21) * num)
    figure = new_figure(NARROW, height)
    axes = figure.add_subplot()
    values = [scores.per_class[i].iou for i in order]
    axes.barh(
        range(num),
        [value or 0.0 for value in values],
        color=[tuple(part / 255 for part in labels.colors[i]) for i in order],
        edgecolor="#444444",
        linewidth=0.0 if many else 0.6,
        height=0.74,
    )
    if scores.miou is not None:
        axes.axvline(scores.miou, color="#222222", linewidth=1, linestyle=(0, (4, 3)))
        title = f"IoU by class; the mean over {scores.classes_averaged} is {scores.miou:.3f}"
    else:
        title = "IoU by class: nothing to score"
    axes.set_title(title)
    set_letters(figure)
    size = 5.5 if many else SMALL[NARROW]
    axes.set_yticks(range(num), [plain_text(labels.names[i]) for i in order], fontsize=size)
    for row, value in enumerate(values):
        parts = [] if value is None else [f"{value:.3f}"]
        if not scores.per_class[order[row]].pixels:
            parts.append("not in the truth")
        axes.text(
            (value or 0.0) + 0.008,
            row,
            ", ".join(parts),
            va="center",
            fontsize=size,
            color="#222222",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},  # over the mean's line
        )
    axes.set_xlim(0, 1.16)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_ylim(num - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=PAPER.grid, linewidth=0.6)
    return figure


def learning_curve(
    curves: Sequence[Curve], what: Literal["loss", "val_miou"], *, theme: Theme = PAPER
) -> Figure:
    """Training loss or validation mIoU over iterations, one line a run.

    The loss is drawn as its 100-iteration mean; for a single run that was logged more often, the
    logged values stand faintly behind. A loss that spans more than a factor of 50 gets a
    logarithmic axis. Runs differ in colour, dash and marker; the caller names them.
    """
    figure = new_figure(NARROW, 2.9)
    axes = figure.add_subplot()
    lowest, highest = math.inf, 0.0
    for place, curve in enumerate(curves):
        style = series_style(place, theme=theme)
        if what == "loss":
            mean = curve.hundred_iteration_mean()
            points = list(zip(curve.iterations, mean, strict=True))
            if len(curves) == 1 and curve.finer_than_mean:
                faint = {"color": style["color"], "linewidth": 0.8, "alpha": 0.3}
                axes.plot(curve.iterations, curve.losses, **faint)
        else:
            points = list(zip(curve.val_iterations, curve.val_miou, strict=True))
        if not points:
            continue
        if what == "loss" and len(points) > 1:
            style["marker"] = ""
        shown = max(1, len(points) // 12)  # a marker on each of very many points hides the line
        x, y = zip(*points, strict=True)
        axes.plot(x, y, **style, linewidth=1.8, markevery=shown, markersize=4.5)
        lowest, highest = min(lowest, *y), max(highest, *y)
    if what == "loss" and lowest > 0 and highest > 50 * lowest:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=min(0.0, lowest))
    axes.set_ylabel("mIoU on the validation split" if what == "val_miou" else "training loss")
    axes.set_xlabel("iteration")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(lambda value, _place: f"{value:,.0f}")
    plain_frame(axes, theme=theme, grid="both")
    set_letters(figure, color=theme.ink)
    return figure


def series_style(place: int, *, theme: Theme = PAPER) -> dict[str, Any]:
    """Colour, dash and marker of a series, as keywords of ``plot``."""
    return {
        "color": theme.series[place % len(theme.series)],
        "linestyle": DASHES[place // len(theme.series) % len(DASHES)],
        "marker": MARKERS[place % len(MARKERS)],
    }


def plain_frame(
    axes: Axes, *, theme: Theme = PAPER, grid: Literal["both", "x", "y"] | None = None
) -> None:
    """No frame above and on the right; the rest of it, and the ticks, in the grid's colour.

    Args:
        grid: whether there are grid lines, and of which axis.
    """
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(theme.grid)
    axes.tick_params(which="both", color=theme.grid, labelcolor=theme.ink)
    if grid is not None:
        axes.set_axisbelow(True)
        axes.grid(axis=grid, color=theme.grid, linewidth=0.7)


def write_figure(path: Path, figure: Figure, formats: Sequence[str] | None = None) -> None:
    """Draw a figure into a file, atomically.

    Args:
        path: its suffix says the format: .png, .pdf or .svg.
        formats: of several files beside each other, in place of the suffix.

    Raises:
        SettingsError: a suffix that is none of these.
        OutputError: it cannot be written.
    """
    for name in formats or (path.suffix.lower().lstrip("."),):
        if name not in FIGURE_FORMATS:
            raise SettingsError(f"{path}: expected a name in .png, .pdf or .svg")
        with atomic_path(path.with_suffix(f".{name}")) as temporary:
            temporary.write_bytes(png(figure) if name == "png" else _vector(figure, name))


def _vector(figure: Figure, name: str) -> bytes:
    """A figure as PDF or SVG, with text as text; the same figure gives the same bytes."""
    stream = io.BytesIO()
    if name == "pdf":
        FigureCanvasPdf(figure)
        metadata = {"CreationDate": None}
    else:
        FigureCanvasSVG(figure)
        metadata = {"Date": None}
    with (
        mpl.rc_context({"pdf.fonttype": 42, "svg.hashsalt": "upscore"}),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # a glyph that the font lacks becomes a box
        figure.savefig(stream, format=name, metadata=metadata)
    return stream.getvalue()


def png(figure: Figure) -> bytes:
    """A figure as PNG bytes."""
    stream = io.BytesIO()
    FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a glyph that the font lacks becomes a box
        figure.savefig(stream, format="png", dpi=DOTS_PER_INCH)
    return stream.getvalue()


def svg(figure: Figure, *, name: str) -> str:
    """A figure drawn with :data:`PAGE` as an ``<svg>`` element to set into a page.

    Its text is text, and its colours are the page's variables ``--ink``, ``--grid`` and
    ``--series-0`` to ``--series-4``, so that it follows the page into the dark. Its class says for
    which width it was drawn, ``narrow`` or ``wide`` (see :mod:`.layout`).

    Args:
        name: keeps the ids of several figures on one page apart.
    """
    stream = io.StringIO()
    FigureCanvasSVG(figure)
    with (
        mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "svg.id": name}),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    kind = "wide" if figure.get_figwidth() == WIDE else "narrow"
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', rf'\1 class="{kind}"', text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # named in every figure alike, and never used
    text = re.sub(r"'DejaVu Sans'(, [^;\"]*)?", "inherit", text)
    text = text.replace(PAGE.ink, "var(--ink)").replace(PAGE.grid, "var(--grid)")
    for i, color in enumerate(PAGE.series):
        text = text.replace(color, f"var(--series-{i})")
    return text


def plain_text(name: str) -> str:
    """A name that matplotlib draws as it is: a dollar sign begins no formula."""
    return name.replace("$", r"\$")
