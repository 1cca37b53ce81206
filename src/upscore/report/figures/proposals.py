"""Figures of object proposals: recall against the number of boxes, and the boxes on a photo."""

from __future__ import annotations

from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from upscore.core.labels import RGBImage
from upscore.core.plural import plural
from upscore.edges.maps import Map
from upscore.errors import SettingsError
from upscore.proposals.base import Proposals
from upscore.proposals.recall import SIZES, THRESHOLDS, Recall, Row
from upscore.report.figures.layout import (
    LETTER_WIDTH,
    LETTERS,
    NARROW,
    SMALL,
    WIDE,
    fold,
    new_figure,
    set_letters,
    set_title,
)
from upscore.report.figures.scores import DASHES, MARKERS, PAPER, plain_frame, series_style

NUMBERED_UP_TO = 20
"""Boxes; the ranks of more would hide the photo."""
ONE_COLUMN_UP_TO = 10
"""Names in the legend of recalls."""
LONGEST_LABEL = 44
"""Letters of a source's name in the legend; of a longer one the end is shown."""


def recall_figure(result: Recall) -> Figure:
    """Average recall and recall at each IoU against the number of boxes, then AR by object size.

    Sources differ in colour, dash and marker, so that they differ in grey too. Where a
    source gives fewer boxes its line continues flat.
    """
    figure = new_figure(WIDE, 6.6)
    grid = figure.add_gridspec(3, 3)
    panels: list[Axes] = []
    for place in range(7):
        first = panels[0] if panels else None
        panels.append(figure.add_subplot(grid[divmod(place, 3)], sharey=first))
    legend = figure.add_subplot(grid[2, 1:])
    rows = result.rows()
    everything = [row for row in rows if row.size == "all"]
    _panel(panels[0], result, everything, None, "average recall,\nIoU 0.5 to 1")
    for place, threshold in enumerate(THRESHOLDS, start=1):
        title = f"recall at IoU {threshold:g}"
        _panel(panels[place], result, everything, place - 1, title)
    for place, size in enumerate((size for size in SIZES if size != "all"), start=4):
        chosen = [row for row in rows if row.size == size]
        title = f"average recall,\n{plural(result.num_objects(size), f'{size} object')}"
        _panel(panels[place], result, chosen, None, title)
    for place, axes in enumerate(panels):
        axes.set_xlabel("boxes")
        if place % 3:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel("share of the objects")
    set_letters(figure)
    handles, names = panels[0].get_legend_handles_labels()
    legend.set_axis_off()
    legend.legend(
        handles, names, loc="center", frameon=False, fontsize=SMALL[WIDE], handlelength=4,
        ncols=1 if len(names) <= ONE_COLUMN_UP_TO else 2,
    )  # fmt: skip
    objects = f"{result.num_objects():,} objects ({result.objects_from})"
    set_title(figure, f"{objects} in {plural(len(result.photos), 'photo')}")
    return figure


def _panel(axes: Axes, result: Recall, rows: list[Row], threshold: int | None, title: str) -> None:
    """One line a source: average recall, or recall at that threshold."""
    for place, source in enumerate(result.sources):
        own = [row for row in rows if row.source == source]
        scores = [row.average_recall if threshold is None else row.recall[threshold] for row in own]
        points = [(row.boxes, y) for row, y in zip(own, scores, strict=True) if y is not None]
        if not points:
            continue
        axes.plot(
            *zip(*points, strict=True),
            color=PAPER.series[place % len(PAPER.series)],
            linestyle=DASHES[place % len(DASHES)],
            marker=MARKERS[(place + place // len(MARKERS)) % len(MARKERS)],
            linewidth=1.7,
            markersize=5,
            label=_short(source),
            clip_on=False,
            zorder=3,
        )
    if not axes.lines:
        axes.text(0.5, 0.5, "no such object", ha="center", transform=axes.transAxes)
    low, high = min(result.counts), max(result.counts)
    if low < high:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.1, high * 1.1)
    axes.xaxis.set_major_locator(FixedLocator(result.counts))
    axes.xaxis.set_major_formatter(lambda value, _place: f"{value:.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="x", labelrotation=45)
    axes.set_ylim(0, 1)
    axes.set_title(title)
    plain_frame(axes, grid="both")


def _short(name: str) -> str:
    """A name that matplotlib takes as it is: no leading _ (which would hide it), no formula."""
    short = name if len(name) <= LONGEST_LABEL else "..." + name[3 - LONGEST_LABEL :]
    return short.replace("$", r"\$").lstrip("_") or "-"


def boxes_figure(
    image: RGBImage, proposals: Proposals, *, title: str, strength: Map | None = None
) -> Figure:
    """The photo with its proposals, the better ones above the others, and the edge map beside it.

    Up to 20 boxes bear their rank. Boxes may leave the photo.

    Args:
        image: (H, W, 3) uint8.
        strength: (H, W) float32 in [0, 1] from which the boxes were made; None shows none.

    Raises:
        SettingsError: the edge map has another size than the photo.
    """
    height, width = image.shape[:2]
    if strength is not None and strength.shape != (height, width):
        raise SettingsError(
            f"the photo is {width}x{height}, its edge map {strength.shape[1]}x{strength.shape[0]}; "
            "they must be equal"
        )
    columns = 1 if strength is None else 2
    shape = min(max(height / width, 0.25), 3.0)  # no figure of a strip is endless
    inches = NARROW if columns == 1 else WIDE
    figure = new_figure(inches, inches / columns * shape + 0.6)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    axes[-1].imshow(image, extent=(0, width, height, 0))
    letters = int(72 * inches / columns / (LETTER_WIDTH * LETTERS[inches]))
    axes[-1].set_title(fold(title.replace("$", r"\$"), letters))
    if strength is not None:
        axes[0].imshow(
            1 - strength, cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0)
        )  # dark on white, as it is printed
        axes[0].set_title("edge strength: black 1, white 0")
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
    set_letters(figure)
    _draw_boxes(axes[-1], proposals, height, width)
    return figure


def _draw_boxes(axes: Axes, proposals: Proposals, height: int, width: int) -> None:
    halo: list[patheffects.AbstractPathEffect] = [
        patheffects.withStroke(linewidth=4.2, foreground="white")
    ]
    numbered = len(proposals) <= NUMBERED_UP_TO
    for rank in reversed(range(len(proposals))):
        x1, y1, x2, y2 = (float(value) for value in proposals.boxes[rank])
        style = series_style(rank)
        frame = Rectangle(
            (x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=style["color"],
            linestyle=style["linestyle"], linewidth=2.2, clip_on=False,
        )  # fmt: skip
        if numbered:
            frame.set_path_effects(halo)
        axes.add_patch(frame)
    for rank in reversed(range(len(proposals) if numbered else 0)):
        x1, y1 = (float(value) for value in proposals.boxes[rank, :2])
        axes.text(
            x1, y1, str(rank + 1), color="white", fontsize=SMALL[NARROW], ha="left", va="top",
            bbox={"facecolor": PAPER.series[rank % len(PAPER.series)], "edgecolor": "white",
                  "pad": 1.2, "linewidth": 0.6},
        )  # fmt: skip
    boxes = proposals.boxes
    if len(boxes):
        axes.set_xlim(min(0, boxes[:, 0].min()), max(width, boxes[:, 2].max()))
        axes.set_ylim(max(height, boxes[:, 3].max()), min(0, boxes[:, 1].min()))
