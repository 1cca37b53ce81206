"""Test-time augmentation: averages over the mirrored photo and over sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from upscore.core.images import require_rgb
from upscore.core.labels import RGBImage
from upscore.core.option_values import require_scales
from upscore.inference.segmenter import ScoreMap, Segmenter


class TestTimeAugmentation(Segmenter):
    """The mean of another segmenter's probabilities over scaled and mirrored copies of the photo.

    Each copy's probabilities are mirrored back and resized bilinearly to the photo's size; all
    copies have the same weight.

    Args:
        base: the segmenter of a copy.
        flip: use the left-right mirrored copy of each scale too.
        scales: sides of the copies as multiples of the photo's, each over 0 and at most 8.

    Raises:
        SettingsError: no scale, or one out of range.
    """

    def __init__(
        self, base: Segmenter, *, flip: bool = False, scales: Sequence[float] = (1.0,)
    ) -> None:
        require_scales(scales)
        self.labels = base.labels
        self.base = base
        self.flip = flip
        self.scales = tuple(scales)

    def probabilities(self, image: RGBImage) -> ScoreMap:
        require_rgb(image)
        height, width, _ = image.shape
        total: ScoreMap | None = None
        for scale in self.scales:
            size = (
                max(1, math.floor(height * scale + 0.5)),
                max(1, math.floor(width * scale + 0.5)),
            )
            scaled = _resize_image(image, size)
            for mirrored in (False, True) if self.flip else (False,):
                part = self.base.probabilities(scaled[:, ::-1] if mirrored else scaled)
                part = _resize_map(part[..., ::-1] if mirrored else part, (height, width))
                if total is None:
                    total = part
                else:
                    total += part
        assert total is not None
        total /= len(self.scales) * (2 if self.flip else 1)
        return total


def _resize_image(image: RGBImage, size: tuple[int, int]) -> RGBImage:
    if image.shape[:2] == size:
        return image
    height, width = size
    picture = Image.fromarray(np.ascontiguousarray(image))
    resized: RGBImage = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    return resized


def _resize_map(scores: ScoreMap, size: tuple[int, int]) -> ScoreMap:
    if scores.shape[1:] == size:
        return np.ascontiguousarray(scores)
    tensor = torch.from_numpy(np.ascontiguousarray(scores))[None]
    array: ScoreMap = F.interpolate(tensor, size=size, mode="bilinear", align_corners=False)[
        0
    ].numpy()
    return array
