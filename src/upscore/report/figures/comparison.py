"""Figures and pictures of a comparison."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
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
from upscore.report.figures.layout import (
    NARROW,
    SMALL,
    WIDE,
    fold,
    legend_below,
    new_figure,
    set_letters,
    set_title,
)
from upscore.report.figures.scores import (
    NAMES_UP_TO,
    PAPER,
    Theme,
    plain_frame,
    plain_text,
    series_style,
)

CELL = 480
"""Width of a picture in a sheet; wider ones are shrunk."""

GAP = 8
UPRIGHT_UP_TO = 3
"""Models, in bars side by side; the numbers above more of them are turned."""
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


def trimap_figure(comparison: Comparison, *, theme: Theme = PAPER) -> Figure:
    """Pixel accuracy and mIoU in the band around true boundaries, against its width."""
    figure = new_figure(WIDE, 3.2)
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
                **series_style(place, theme=theme),
                markevery=5,
                markersize=4.5,
                label=plain_text(one.name) if axes is left else None,
            )
    for axes, title in ((left, "pixel accuracy"), (right, "mIoU")):
        axes.set_xlabel("pixels from a true boundary, at most")
        axes.set_title(title)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
        plain_frame(axes, theme=theme, grid="y")
    return _finished(figure, f"Near boundaries, {_images(comparison)}", theme)


def sizes_figure(comparison: Comparison, *, theme: Theme = PAPER) -> Figure:
    """mIoU by size and by thinness of the objects, one bar for each model."""
    figure = new_figure(WIDE, 3.2)
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
        _bars(axes, names, values, comparison.models, labelled=axes is panels[0], theme=theme)
        axes.set_title(title)
    panels[0].set_ylabel("mIoU")
    objects = comparison.objects_from
    return _finished(figure, f"Objects ({objects}), {_images(comparison)}", theme)


def _bars(
    axes: Axes,
    names: Sequence[str],
    values: Sequence[Sequence[float | None]],
    models: Sequence[ModelScores],
    *,
    labelled: bool,
    theme: Theme,
) -> None:
    thick = 0.8 / len(values)
    for place, (one, heights) in enumerate(zip(models, values, strict=True)):
        left = np.arange(len(names)) - 0.4 + (place + 0.5) * thick
        axes.bar(
            left,
            [height or 0.0 for height in heights],
            thick * 0.94,
            color=theme.series[place % len(theme.series)],
            label=plain_text(one.name) if labelled else None,
        )
        for x, height in zip(left, heights, strict=True):
            text = "none" if height is None else f"{height:.2f}"
            axes.text(
                x, (height or 0.0) + 0.02, text, ha="center", va="bottom", color=theme.ink,
                fontsize=7, rotation=0 if len(values) <= UPRIGHT_UP_TO else 90,
            )  # fmt: skip
    axes.set_xticks(range(len(names)), names)
    upright = len(values) <= UPRIGHT_UP_TO
    axes.set_ylim(0, 1.1 if upright else 1.22)  # a number fits above a bar of 1
    axes.set_yticks(np.linspace(0, 1, 6))
    plain_frame(axes, theme=theme, grid="y")


def class_differences(comparison: Comparison, *, theme: Theme = PAPER) -> Figure:
    """Difference in IoU of each class to the first model, a mark for each of the others.

    Classes without truth are left out and counted.
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
    pixels = first.confusion.matrix.sum(axis=1)
    occurs = [i for i in range(len(names)) if pixels[i]]
    order = sorted(occurs, key=lambda i: (np.isnan(gains[0][i]), -gains[0][i], i))
    many = len(order) > NAMES_UP_TO
    figure = new_figure(NARROW, min(24.0, 1.5 + (0.1 if many else 0.21) * len(order)))
    axes = figure.add_subplot()
    rows = np.arange(len(order))
    axes.axvline(0, color=theme.ink, linewidth=1)
    for place, (one, gain) in enumerate(zip(others, gains, strict=True), 1):
        values = np.array([gain[i] for i in order])
        style = series_style(place, theme=theme) | {"linestyle": ""}
        if len(others) == 1:
            axes.hlines(rows, 0, values, color=style["color"], linewidth=2)
        axes.plot(values, rows, **style, label=plain_text(one.name))
    axes.set_ylim(max(len(order), 1) - 0.5, -0.5)
    axes.set_xlabel(fold(f"IoU difference to {plain_text(first.name)}", 40))
    lost = len(names) - len(order)
    more = f"\nnot in the truth: {lost} of {len(names)} classes" if lost else ""
    plain_frame(axes, theme=theme, grid="x")
    _finished(figure, f"By class, {_images(comparison)}{more}", theme)
    size = 5.5 if many else SMALL[NARROW]
    axes.set_yticks(rows, [plain_text(names[i]) for i in order], fontsize=size)
    return figure


def _finished(figure: Figure, title: str, theme: Theme) -> Figure:
    """The figure with its title and legend, in the theme's colours."""
    set_letters(figure, color=theme.ink)
    set_title(figure, title, color=theme.ink)
    handles, names = figure.axes[0].get_legend_handles_labels()
    legend_below(figure, handles, names, labelcolor=theme.ink)
    return figure


def _images(comparison: Comparison) -> str:
    return f"{plural(len(comparison.images), 'image')} of {comparison.split}"
