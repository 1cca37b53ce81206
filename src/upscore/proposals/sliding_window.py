"""Boxes of every place and size, whatever the image shows: what any source must beat."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from upscore.core.images import require_rgb
from upscore.core.json import JSONObject
from upscore.core.labels import RGBImage
from upscore.errors import SettingsError
from upscore.proposals.base import Proposals


@dataclass(frozen=True)
class SlidingWindows:
    """Sliding boxes of several sizes and shapes, from coarse to fine.

    Boxes of a size and shape lie evenly over the image, at most ``stride`` of their sides apart,
    wholly inside it, on whole pixels. Large sizes come first, and within a size those nearest to
    the image's centre. The score is 1 for the first box and falls evenly with the rank.

    Attributes:
        scales: sides of a box as shares of the image's sides, each over 0 and at most 1; taken
            from large to small.
        aspects: what the width is multiplied and the height divided by the square root of, so that
            1 has the image's own shape; sides end at the image's.
        stride: largest distance of neighbours as a share of their side, over 0 and at most 1.
        max_boxes: how many of the first are kept.

    Raises:
        SettingsError: a setting outside its range, or no scale or aspect.
    """

    scales: tuple[float, ...] = (1.0, 0.7, 0.5, 0.35, 0.25, 0.175, 0.125, 0.085)
    aspects: tuple[float, ...] = (1.0, 0.5, 2.0)
    stride: float = 0.35
    max_boxes: int = 2000

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale <= 1 for scale in self.scales):
            raise SettingsError(f"scales are {self.scales}; expected numbers over 0 and at most 1")
        if not self.aspects or not all(0 < a < math.inf for a in self.aspects):
            raise SettingsError(f"aspects are {self.aspects}; expected finite numbers over 0")
        if not 0 < self.stride <= 1:
            raise SettingsError(f"stride is {self.stride}; allowed: over 0 and at most 1")
        if self.max_boxes < 1:
            raise SettingsError(f"max_boxes is {self.max_boxes}; allowed: 1 or more")

    def settings(self) -> JSONObject:
        return {
            "kind": "Grid",
            "scales": list(self.scales),
            "aspects": list(self.aspects),
            "stride": self.stride,
            "max_boxes": self.max_boxes,
        }

    def __call__(self, image: RGBImage, *, name: str = "") -> Proposals:  # noqa: ARG002
        """Boxes of an image (H, W, 3) uint8; only its size matters.

        Raises:
            DataError: not such an image.
        """
        require_rgb(image)
        height, width, _ = image.shape
        found = np.zeros((0, 4), np.int64)
        for scale in sorted(set(self.scales), reverse=True):
            level = [self._lattice(scale, aspect, height, width) for aspect in self.aspects]
            found = _first_of_each(np.concatenate([found, _central_first(level, height, width)]))
            if len(found) >= self.max_boxes:
                break
        found = found[: self.max_boxes]
        ranks = np.arange(len(found), dtype=np.float32)
        return Proposals(found.astype(np.float32), 1 - ranks / np.float32(len(found)))

    def _lattice(
        self, scale: float, aspect: float, height: int, width: int
    ) -> npt.NDArray[np.int64]:
        """(K, 4) boxes of one size and shape, row by row."""
        x1, x2 = self._along(width, scale * math.sqrt(aspect))
        y1, y2 = self._along(height, scale / math.sqrt(aspect))
        rows, columns = (part.ravel() for part in np.indices((len(y1), len(x1))))
        return np.stack([x1[columns], y1[rows], x2[columns], y2[rows]], axis=1)

    def _along(self, length: int, share: float) -> tuple[npt.NDArray[np.int64], ...]:
        """Beginnings and ends of intervals of ``share`` of ``length``, evenly from end to end."""
        side = min(length, max(1, round(length * share)))
        count = 1 + math.ceil((length - side) / (side * self.stride))
        begins = np.rint(np.linspace(0, length - side, count)).astype(np.int64)
        return begins, begins + side


def _central_first(
    boxes: list[npt.NDArray[np.int64]], height: int, width: int
) -> npt.NDArray[np.int64]:
    """All boxes by the distance of their centre from the image's, in shares of its sides."""
    every = np.concatenate(boxes)
    # twice the distance in pixels is a whole number, so equal distances are equal exactly
    across = np.abs(every[:, 0] + every[:, 2] - width) * height
    down = np.abs(every[:, 1] + every[:, 3] - height) * width
    return every[np.argsort(across * across + down * down, kind="stable")]


def _first_of_each(boxes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Without repetitions, which small images have, in the order of first occurrence."""
    _, places = np.unique(boxes, axis=0, return_index=True)
    return boxes[np.sort(places)]


Grid = SlidingWindows
"""The name that this source has on command lines and in stores."""
