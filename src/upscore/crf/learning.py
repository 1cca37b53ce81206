"""Learn the weights and the compatibility matrix of a dense CRF by gradient descent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from upscore.core.labels import VOID, LabelMap, RGBImage
from upscore.crf.layer import CRFLayer
from upscore.crf.settings import CRFSettings
from upscore.crf.validation import Energies

ITERATIONS = 5
"""Mean field updates while learning, as in CRF-RNN; the learned settings keep their own number."""

CROPS, CROP = 4, 120
"""Crops of a step, and their side in pixels: a seventh of a photo of 480x360 costs a seventh."""

LEARNING_RATE = 0.15


def learn_crf(
    start: CRFSettings,
    read: Callable[[int], tuple[RGBImage, Energies, LabelMap]],
    num_images: int,
    *,
    num_classes: int,
    weights_only: bool = False,
    steps: int = 60,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> CRFSettings:
    """Lower the cross entropy of the refined probabilities on random crops, with Adam.

    Deviations are not learned: they, the number of iterations and all else stay as in ``start``.

    Args:
        start: the initial values.
        read: the photo (H, W, 3) uint8, the energies (C, H, W) float32 and the true labels (H, W)
            uint8 of an image, 255 void, by its index.
        num_images: images that ``read`` knows.
        weights_only: leave the compatibility matrix, all of whose C x C entries are learned
            otherwise.
        steps: of gradient descent; the learning rate falls to zero along a half cosine.
        seed: of the crops.
        progress: called with (steps done, steps).
    """
    crf = replace(start.build(), iterations=ITERATIONS)
    layer = CRFLayer(crf, num_classes=num_classes, learn_compatibility=not weights_only)
    learned = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rng = np.random.default_rng(seed)
    for step in range(steps):
        optimizer.zero_grad()
        for place in rng.integers(num_images, size=CROPS):
            photo, scores, labels = _crop(*read(int(place)), rng)
            loss = F.nll_loss(
                layer(photo, scores), labels, ignore_index=VOID, reduction="sum"
            )  # of an all-void crop 0, where the mean would be NaN
            (loss / (CROPS * CROP**2)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            layer.weights.clamp_(min=0)  # what settings allow
        if progress:
            progress(step + 1, steps)
    return _settings(start, layer)


def _crop(
    photo: RGBImage, energies: Energies, labels: LabelMap, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A square at a random place, or the whole of a smaller image, as a batch of one."""
    top, left = (int(rng.integers(max(size - CROP, 0) + 1)) for size in labels.shape)
    rows, columns = slice(top, top + CROP), slice(left, left + CROP)
    return (
        torch.from_numpy(photo[rows, columns].transpose(2, 0, 1).copy())[None],
        -torch.from_numpy(energies[:, rows, columns])[None],
        torch.from_numpy(labels[rows, columns].astype(np.int64))[None],
    )


def _settings(start: CRFSettings, layer: CRFLayer) -> CRFSettings:
    """``start`` with the layer's numbers, to four digits."""

    def rounded(values: Tensor) -> list[float]:
        return [float(f"{value:.4g}") for value in values.tolist()]

    content = start.to_json()
    names = [name for name in ("gaussian", "bilateral") if content[name] is not None]
    for name, weight in zip(names, rounded(layer.weights), strict=True):
        content[name]["weight"] = weight
    if layer.compatibility.requires_grad:
        content["compatibility"] = [rounded(row) for row in layer.compatibility]
    return CRFSettings.model_validate(content)
