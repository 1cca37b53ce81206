"""What DeconvNet's layers say of one object, coarse to fine (figure 4 of the paper)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib import colormaps
from PIL import Image
from torch import Tensor

from upscore.core.boxes import grow_boxes, square_boxes
from upscore.core.labels import LabelMap, RGBImage
from upscore.core.regions import connected_regions
from upscore.inference.crop_resize import see_windows
from upscore.models.base import Network
from upscore.models.checkpoint import load_model
from upscore.proposals.deconvnet_boxes import crop_with_padding, whole_pixels
from upscore.report.document import Row

LEAST_SIDE = 224
"""Pixels that a picture of an activation is enlarged to."""

Box = npt.NDArray[np.float32]


def object_box(labels: LabelMap, label: int) -> Box:
    """Box (4,) xyxy of the largest connected region of a class, which must occur."""
    regions = connected_regions(np.where(labels == label, np.uint8(1), np.uint8(255)))
    areas = np.bincount(regions.ravel())
    areas[0] = 0
    rows, columns = np.nonzero(regions == areas.argmax())
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)


def decoder_layers(model: Network) -> list[tuple[str, list[str]]]:
    """The names of unpooling and deconvolution layers: fc6_deconv, then a list for each size."""
    names = {path.rpartition(".")[2] for path, _ in model.named_modules()}
    found = [("fc6_deconv", ["fc6_deconv"])]
    for stage in range(5, 0, -1):
        layers = [f"unpool{stage}", *(f"deconv{stage}_{index}" for index in (1, 2, 3))]
        found.append((f"unpool{stage}", [name for name in layers if name in names]))
    return found


def analyse(
    model_folder: Path,
    photo: RGBImage,
    labels: LabelMap,
    label: int,
    *,
    growth: float,
    square: bool,
    size: tuple[int, int],
) -> tuple[Row, ...]:
    """The object as the network sees it, and one activation of each decoder layer.

    Of a layer's channels, the one that tells the object best from what is around it: the largest
    difference of its mean inside and outside, in standard deviations of the channel.

    Args:
        label: the class; its largest region in ``labels`` is the object.
        growth, square, size: of the box, as in the network's training.

    Returns:
        A row for each size of the decoder's maps.

    Raises:
        NotFoundError, RunError: no such model.
    """
    box = grow_boxes(object_box(labels, label)[None], growth)
    if square:
        box = square_boxes(box)
    window = whole_pixels(box[0])
    crop = see_windows(np.ascontiguousarray(photo), [window], size, antialias=True)
    target = Image.fromarray(crop_with_padding(labels, box[0], 255))
    resized = np.asarray(target.resize((size[1], size[0]), Image.Resampling.NEAREST))
    mask = torch.from_numpy(resized == label)

    saved = load_model(model_folder)
    model = saved.model.eval()
    images = saved.input_spec.apply(torch.from_numpy(crop).permute(0, 3, 1, 2).contiguous())
    layers = decoder_layers(model)
    outputs = model.layer_outputs(images, [name for _, names in layers for name in names])
    with torch.no_grad():
        winners = model(images)[0].argmax(dim=0)
    rows = []
    for title, names in layers:
        shots: list[tuple[str, RGBImage | None]] = []
        for name in names:
            map_, channel = best_channel(outputs[name][0].float(), mask)
            text = f"{name}, {map_.shape[0]}x{map_.shape[1]}, channel {channel}"
            shots.append((text, _heat(map_)))
        if title == "fc6_deconv":
            shots.insert(0, ("the object as it is seen", crop[0]))
            shots.append(("where the network says its class", _flat(winners == label)))
        seen = frozenset({0}) if title == "fc6_deconv" else frozenset()
        rows.append(Row("", tuple(shots), of_data=seen))
    return tuple(rows)


def best_channel(features: Tensor, mask: Tensor) -> tuple[Tensor, int]:
    """The channel of (C, h, w) features that tells the mask (H, W) best from the rest.

    Returns:
        Its map (h, w), and its number; channel 0 where no channel has any contrast.
    """
    height, width = features.shape[1:]
    part = torch.nn.functional.adaptive_avg_pool2d(mask[None].float(), (height, width))[0]
    if not 0 < float(part.sum()) < part.numel():
        part = torch.full_like(part, 0.5)
    inside = (features * part).sum(dim=(1, 2)) / part.sum()
    outside = (features * (1 - part)).sum(dim=(1, 2)) / (1 - part).sum()
    spread = features.flatten(1).std(dim=1, correction=0)
    contrast = torch.where(spread > 0, (inside - outside) / spread.clamp_min(1e-12), -torch.inf)
    channel = int(contrast.argmax())
    return features[channel], channel


def _heat(map_: Tensor) -> RGBImage:
    """Viridis, which rises in grey too; enlarged without blending, so that sizes can be seen."""
    values = map_.numpy()
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
    colors = (colormaps["viridis"](scaled)[..., :3] * 255).round().astype(np.uint8)
    return _enlarged(colors)


def _flat(mask: Tensor) -> RGBImage:
    grey = np.where(mask.numpy(), np.uint8(255), np.uint8(40))
    return _enlarged(np.repeat(grey[..., None], 3, axis=2))


def _enlarged(picture: RGBImage) -> RGBImage:
    times = max(1, -(-LEAST_SIDE // max(picture.shape[:2])))
    return np.repeat(np.repeat(picture, times, axis=0), times, axis=1)


def settings_of(recipe: dict[str, Any]) -> tuple[float, bool, tuple[int, int]]:
    """Growth, square and input size of a recipe of crops."""
    crops, augment = recipe.get("crops", {}), recipe.get("augment", {})
    height, width = augment.get("crop") or augment.get("resize") or (224, 224)
    return float(crops.get("growth", 1.2)), bool(crops.get("square", False)), (height, width)
