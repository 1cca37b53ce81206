"""Activations of DeconvNet's decoder for one object, coarse to fine (figure 4 of the paper)."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib import colormaps
from torch import Tensor

from upscore.core.labels import RGBImage
from upscore.models.base import Network
from upscore.models.checkpoint import SavedModel
from upscore.report.document import Row
from upscore.reproduce.objects import ObjectCrop

LEAST_SIDE = 224
"""Smallest longer side of an activation picture, in pixels."""


def decoder_layers(model: Network) -> list[tuple[str, list[str]]]:
    """The names of unpooling and deconvolution layers: fc6_deconv, then a list for each size."""
    names = {path.rpartition(".")[2] for path, _ in model.named_modules()}
    found = [("fc6_deconv", ["fc6_deconv"])]
    for stage in range(5, 0, -1):
        layers = [f"unpool{stage}", *(f"deconv{stage}_{index}" for index in (1, 2, 3))]
        found.append((f"unpool{stage}", [name for name in layers if name in names]))
    return found


def analyse(saved: SavedModel, example: ObjectCrop) -> tuple[Row, ...]:
    """Pictures of the input crop and of one activation of each decoder layer.

    Of a layer's channels, the one that differs most between object and surroundings: the largest
    difference of its mean inside and outside, in standard deviations of the channel.

    Returns:
        A row for each size of the decoder's maps.
    """
    mask = torch.from_numpy(example.mask)
    model = saved.model.eval()
    crop = torch.from_numpy(example.crop)[None].permute(0, 3, 1, 2)
    images = saved.input_spec.apply(crop.contiguous())
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
            shots.append((text, heat(map_)))
        if title == "fc6_deconv":
            shots.insert(0, ("the object as it is seen", example.crop))
            shots.append(("where the network says its class", _flat(winners == example.label)))
        of_data = frozenset({0}) if title == "fc6_deconv" else frozenset()
        rows.append(Row("", tuple(shots), of_data=of_data))
    return tuple(rows)


def best_channel(features: Tensor, mask: Tensor) -> tuple[Tensor, int]:
    """The channel of (C, h, w) features that separates the mask (H, W) best from the rest.

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


def heat(map_: Tensor, *, low: float | None = None, high: float | None = None) -> RGBImage:
    """A map in the viridis colours, enlarged without interpolation.

    Args:
        map_: (h, w).
        low, high: values of the darkest and the brightest colour; the map's own where None.
    """
    values = map_.numpy()
    low = float(values.min()) if low is None else low
    high = float(values.max()) if high is None else high
    scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
    colors = (colormaps["viridis"](scaled)[..., :3] * 255).round().astype(np.uint8)
    return enlarged(colors)


def enlarged(picture: RGBImage) -> RGBImage:
    """A picture enlarged by a whole factor without interpolation, to at least 224 pixels."""
    times = max(1, -(-LEAST_SIDE // max(picture.shape[:2])))
    return np.repeat(np.repeat(picture, times, axis=0), times, axis=1)


def _flat(mask: Tensor) -> RGBImage:
    grey = np.where(mask.numpy(), np.uint8(255), np.uint8(40))
    return enlarged(np.repeat(grey[..., None], 3, axis=2))
