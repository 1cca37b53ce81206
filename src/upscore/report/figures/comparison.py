"""Figures and pictures of a comparison."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from upscore.core.draw import error_map, titled, with_legend
from upscore.core.files import make_folder
from upscore.core.images import write_image
from upscore.core.labels import VOID, LabelMap, Labels, RGBImage
from upscore.core.plural import plural
from upscore.data.dataset import Split
from upscore.errors import UpscoreError
from upscore.metrics.comparison import Comparison, ModelScores, PredictedMaps
from upscore.metrics.confusion import class_iou
from upscore.report.figures.scores import PAPER, plain_frame, plain_text, series_style

CELL = 480
"""Width of a picture in a sheet; wider ones are shrunk."""

GAP = 8
WHITE = 255
OURS = re.compile(r"\d{2,}-[^/]*\.png")
"""Names of the pictures that this module writes, and so may clear away."""


def write_pictures(
    comparison: Comparison, labelled: Sequence[PredictedMaps], split: Split, out: Path, *, num: int
) -> dict[int, str]:
    """Draw the images with the largest differences into ``out/differences``.

    Pictures of an earlier comparison are removed. A photo that can no longer be read is skipped.

    Args:
        labelled: what the comparison was made of.
        num: at most so many.

    Returns:
        Path within ``out`` by row of ``comparison.images``, the largest difference first.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = out / "differences"
    make_folder(folder)
    for old in folder.iterdir():
        if OURS.fullmatch(old.name):
            old.unlink(missing_ok=True)
    drawn: dict[int, str] = {}
    for row in comparison.most_different(num):
        place = comparison.places[row]
        try:
            sample = split.read(place)
        except UpscoreError:
            continue
        predictions = []
        for one, item in zip(comparison.models, labelled, strict=True):
            packed = item.maps[place]
            assert not isinstance(packed, str)
            value = one.image_miou[row]
            score = "" if value is None else f": mIoU {value:.3f}"
            predictions.append((f"{one.name}{score}", packed.unpack()))
        sheet = side_by_side(sample.image, sample.labels, predictions, split.labels)
        name = re.sub(r"[^\w.-]+", "_", sample.name)[-80:]
        path = folder / f"{len(drawn) + 1:02d}-{name}.png"
        write_image(path, sheet)
        drawn[row] = f"{folder.name}/{path.name}"
    return drawn


def side_by_side(
    photo: RGBImage,
    truth: LabelMap,
    predictions: Sequence[tuple[str, LabelMap]],
    labels: Labels,
) -> RGBImage:
    """The photo above the truth, then of each prediction its labels above its errors.

    Args:
        predictions: title and (H, W) uint8 of each.

    Returns:
        (h, w, 3) uint8, with the legend of the classes that occur.
    """
    columns = [(("photo", photo), ("truth", labels.colorize(truth)))]
    for title, prediction in predictions:
        errors = error_map(truth, prediction)
        columns.append(((title, labels.colorize(prediction)), ("wrong pixels", errors)))
    stacked = [
        np.vstack(
            [titled(_shrunk(picture, smooth=picture is photo), title) for title, picture in c]
        )
        for c in columns
    ]
    gap = np.full((stacked[0].shape[0], GAP, 3), WHITE, np.uint8)
    parts = [part for column in stacked for part in (column, gap)][:-1]
    sheet = np.ascontiguousarray(np.hstack(parts))
    present: set[int] = set()
    for one in (truth, *(prediction for _, prediction in predictions)):
        present |= set(np.unique(one).tolist())
    return with_legend(sheet, labels, present - {VOID})


def _shrunk(picture: RGBImage, *, smooth: bool) -> RGBImage:
    height, width, _ = picture.shape
    if width <= CELL:
        return picture
    size = CELL, max(1, round(height * CELL / width))
    way = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(picture).resize(size, way))


def trimap_figure(comparison: Comparison) -> Figure:
    """Pixel accuracy and mIoU in the band around true boundaries, against its width."""
    figure = Figure(figsize=(9.0, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, one in enumerate(comparison.models):
        bands = one.details.trimap.scores()
        for axes, values in (
            (left, [band.pixel_accuracy for band in bands]),
            (right, [band.miou for band in bands]),
        ):
            axes.plot(
                [band.width for band in bands],
                [np.nan if value is None else value for value in values],
                **series_style(place),
                markevery=5,
                markersize=4.5,
                label=plain_text(one.name) if axes is left else None,
            )
    for axes, title in ((left, "pixel accuracy"), (right, "mIoU")):
        axes.set_xlabel("pixels from a true boundary, at most")
        axes.set_title(title, fontsize=11)
        plain_frame(axes, grid="y")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.suptitle(f"Near boundaries, {_images(comparison)}", fontsize=11)
    return figure


def sizes_figure(comparison: Comparison) -> Figure:
    """mIoU by size and by thinness of the objects, one bar for each model."""
    figure = Figure(figsize=(9.0, 3.9), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, which, title in zip(
        panels, ("sizes", "thinness"), ("by size", "by thinness"), strict=True
    ):
        groups = getattr(comparison.models[0].details, which)
        names = [
            f"{name}\n{number:,} {'object' if number == 1 else 'objects'}"
            for name, number in zip(groups.bins.names, groups.objects.tolist(), strict=True)
        ]
        values = [
            [getattr(one.details, which).miou(group) for group in range(len(names))]
            for one in comparison.models
        ]
        _bars(axes, names, values, comparison.models, labelled=axes is panels[0])
        axes.set_title(title, fontsize=11)
    panels[0].set_ylabel("mIoU")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    objects = comparison.objects_from
    figure.suptitle(f"Objects ({objects}), {_images(comparison)}", fontsize=11)
    return figure


def _bars(
    axes: Axes,
    names: Sequence[str],
    values: Sequence[Sequence[float | None]],
    models: Sequence[ModelScores],
    *,
    labelled: bool,
) -> None:
    thick = 0.8 / len(values)
    for place, (one, heights) in enumerate(zip(models, values, strict=True)):
        left = np.arange(len(names)) - 0.4 + (place + 0.5) * thick
        axes.bar(
            left,
            [height or 0.0 for height in heights],
            thick * 0.94,
            color=PAPER.series[place % len(PAPER.series)],
            label=plain_text(one.name) if labelled else None,
        )
        for x, height in zip(left, heights, strict=True):
            text = "none" if height is None else f"{height:.2f}"
            axes.text(
                x, (height or 0.0) + 0.01, text, ha="center", fontsize=8 if thick > 0.15 else 6
            )
    axes.set_xticks(range(len(names)), names)
    axes.set_ylim(0, 1.06)  # a number fits above a bar of 1
    axes.set_yticks(np.linspace(0, 1, 6))
    plain_frame(axes, grid="y")


def class_differences(comparison: Comparison) -> Figure:
    """IoU of each class less that of the first model, a mark for each of the others.

    Classes that do not occur, or only in what the first one predicts, are left out and counted.
    """
    first, *others = comparison.models
    base = class_iou(first.confusion.matrix)
    names = comparison.labels.names
    gains = [
        [
            np.nan if a is None or b is None else b - a
            for a, b in zip(base, class_iou(one.confusion.matrix), strict=True)
        ]
        for one in others
    ]
    occurs = [i for i in range(len(names)) if not all(np.isnan(gain[i]) for gain in gains)]
    order = sorted(occurs, key=lambda i: (np.isnan(gains[0][i]), -gains[0][i], i))
    height = min(24.0, 2.0 + 0.26 * len(order))
    figure = Figure(figsize=(7.2, height), layout="constrained")
    axes = figure.add_subplot()
    rows = np.arange(len(order))
    axes.axvline(0, color=PAPER.ink, linewidth=1)
    for place, (one, gain) in enumerate(zip(others, gains, strict=True), 1):
        values = np.array([gain[i] for i in order])
        style = series_style(place) | {"linestyle": ""}
        if len(others) == 1:
            axes.hlines(rows, 0, values, color=style["color"], linewidth=2)
        axes.plot(values, rows, **style, label=plain_text(one.name))
    size = 9 if len(order) <= 60 else 5
    axes.set_yticks(rows, [plain_text(names[i]) for i in order], fontsize=size)
    axes.set_ylim(max(len(order), 1) - 0.5, -0.5)
    axes.set_xlabel(f"IoU less that of {plain_text(first.name)}")
    lost = len(names) - len(order)
    more = f" ({lost} of {len(names)} classes do not occur)" if lost else ""
    axes.set_title(f"By class, {_images(comparison)}{more}", fontsize=11)
    plain_frame(axes, grid="x")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def _images(comparison: Comparison) -> str:
    return f"{plural(len(comparison.images), 'image')} of {comparison.split}"
