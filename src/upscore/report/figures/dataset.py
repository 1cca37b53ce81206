"""One figure of a data set: class shares, object sizes, and photos with their masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch
from PIL import Image

from upscore.core.labels import VOID, Labels, RGBImage
from upscore.data.dataset import DataSet, Sample
from upscore.data.stats import QUANTILES, DataStats, SplitStats
from upscore.report.figures.layout import LETTERS, SMALL, WIDE, fold, new_figure
from upscore.report.figures.scores import plain_text

EXAMPLES, LEAST_COLUMNS = 6, 4
EXAMPLES_HEIGHT = 2.4  # inches
LONGEST = 480  # pixels of an example's longer side in the figure


def overview_figure(stats: DataStats, dataset: DataSet) -> Figure:
    """``stats``, and a few pairs of the first split."""
    labels = dataset.labels
    split = stats.splits[0]
    height = 1.1 + max(0.2, 0.05 + 0.12 * len(stats.splits)) * len(labels)
    figure = new_figure(WIDE, height + EXAMPLES_HEIGHT)
    panels: Any = figure.subfigures(2, 1, height_ratios=[height, EXAMPLES_HEIGHT])
    top, bottom = panels
    _draw_numbers(top, stats, labels)
    _draw_examples(bottom, dataset, split)
    return figure


def _draw_numbers(figure: SubFigure, stats: DataStats, labels: Labels) -> None:
    shares, sizes = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(labels))
    thick = 0.8 / len(stats.splits)
    handles: list[tuple[Patch, str]] = []
    colors = np.array(labels.colors) / 255
    for number, split in enumerate(stats.splits):
        values = [100 * item.share for item in split.classes]
        place = rows + (number - (len(stats.splits) - 1) / 2) * thick
        shares.barh(
            place, values, thick * 0.9, color=colors, edgecolor="0.3", linewidth=0.5,
            alpha=max(0.2, 1 - 0.4 * number),
        )  # fmt: skip
        for row, value in zip(place, values, strict=True):
            shares.text(value, row, f" {value:.2g}", va="center", fontsize=7, color="0.2")
        grey = Patch(facecolor="0.5", edgecolor="0.3", alpha=max(0.2, 1 - 0.4 * number))
        handles.append((grey, plain_text(f"{split.name}, {split.images} pairs")))
    highest = max(item.share for split in stats.splits for item in split.classes)
    shares.set_xlim(0, 115 * highest or 100)  # a number fits beside the longest bar
    names = [name for _, name in handles]
    figure.legend(
        [patch for patch, _ in handles], names, fontsize=SMALL[WIDE], frameon=False,
        loc="outside lower center", ncols=len(names) if sum(map(len, names)) < 60 else 1,
    )  # fmt: skip
    shares.set_yticks(rows, [plain_text(name) for name in labels.names])
    shares.invert_yaxis()
    shares.set_xlabel("share of labelled pixels, %")
    shares.set_title(fold(plain_text(f"{stats.root.name}: classes"), 36))
    low, quarter, middle, three_quarters, high = range(len(QUANTILES))
    for row, item in enumerate(stats.splits[0].classes):
        if not item.object_sizes:
            continue
        q = [100 * value for value in item.object_sizes]
        sizes.plot([q[low], q[high]], [row, row], color="0.4", linewidth=1)
        sizes.barh(
            row, q[three_quarters] - q[quarter], 0.6, left=q[quarter], color=colors[row],
            edgecolor="0.3", linewidth=0.5,
        )  # fmt: skip
        sizes.plot(q[middle], row, "|", color="black", markersize=9)
    sizes.set_xlim(0, 100)
    sizes.set_xlabel("object size, % of the photo's side\n(percentiles 5, 25, 50, 75, 95)")
    title = f"sizes of objects in {stats.splits[0].name} ({stats.objects_from})"
    sizes.set_title(fold(plain_text(title), 36))
    for axes in (shares, sizes):
        for text in (axes.title, axes.xaxis.label):
            text.set_fontsize(LETTERS[WIDE])
        axes.tick_params(labelsize=SMALL[WIDE])


def _draw_examples(figure: SubFigure, dataset: DataSet, stats: SplitStats) -> None:
    split = dataset.split(stats.name)
    places = np.unique(np.linspace(0, len(split) - 1, EXAMPLES).round().astype(int))
    axes = figure.subplots(2, max(LEAST_COLUMNS, len(places)), squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for column, place in enumerate(places):
        try:
            photo, mask = _example(split.read(int(place)), dataset.labels)
        except Exception:  # its place stays empty
            continue
        axes[0, column].imshow(photo)
        axes[0, column].set_title(plain_text(_short(split.pairs[int(place)].name)), fontsize=7)
        axes[1, column].imshow(mask, interpolation="nearest")


def _short(name: str) -> str:
    """A name that fits above an example."""
    return name if len(name) <= 16 else f"...{name[-13:]}"


def _example(sample: Sample, labels: Labels) -> tuple[RGBImage, RGBImage]:
    """Photo and coloured mask, shrunk to what the figure can show; void is white."""
    height, width = sample.labels.shape
    shrink = min(1.0, LONGEST / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    photo = Image.fromarray(sample.image).resize(size, Image.Resampling.BILINEAR)
    small = np.asarray(Image.fromarray(sample.labels).resize(size, Image.Resampling.NEAREST))
    colored = labels.colorize(small)
    colored[small == VOID] = 255
    return np.asarray(photo), colored
