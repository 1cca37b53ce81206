"""Scores of the pixels in a band around the true boundaries, for all widths of it at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.labels import LabelMap
from upscore.errors import SettingsError
from upscore.metrics.confusion import require_maps
from upscore.metrics.distance import squared_distances
from upscore.metrics.stratified import GroupedCounts, tally

WIDTHS = 40
"""The widest band of DeepLab's figure, in pixels."""


@dataclass(frozen=True)
class BandScores:
    """Scores within ``width`` pixels of a boundary, in [0, 1]; None where nothing is counted."""

    width: int
    pixel_accuracy: float | None
    miou: float | None
    pixels: int


class Trimap(GroupedCounts):
    """Pixel accuracy and mIoU in bands of 1, 2, ... pixels around the true boundaries.

    Kohli, Ladický and Torr (2009, section 5) and Krähenbühl and Koltun (2011, figure 5) count the
    pixels near the boundaries of accurate annotations, for growing widths, so that the interiors,
    which are most of an image and easy, do not hide errors at edges. Here the band of width w holds
    the pixels of the truth with a pixel of another label at a Euclidean distance of at most w
    between their centres. So w = 1 is one pixel on both sides of a boundary. The prediction does
    not change the band. Image borders are no boundaries.

    Void is another label: a labelled region ends where void begins. That is DeepLab's trimap (Chen
    et al. 2015, section 5.2) on VOC, whose void outlines the objects, five pixels wide, so that
    without it narrow bands would be empty. Void pixels themselves are in no band.

    All widths come from one distance transform. Sums go over all images, as for mIoU.

    Args:
        num_classes: 1 to 255.
        widths: the largest width, 1 or more pixels.

    Raises:
        SettingsError: one of them is not in its range.
    """

    def __init__(self, num_classes: int, *, widths: int = WIDTHS) -> None:
        if not 1 <= widths <= 1000:
            raise SettingsError(f"widths is {widths}; allowed: 1 to 1000 pixels")
        super().__init__(num_classes, widths)

    @property
    def widths(self) -> int:
        return len(self.counts)

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"widths": self.widths}

    def update(self, truth: LabelMap, prediction: LabelMap) -> None:
        """Count one image; maps and errors as for :func:`upscore.metrics.confusion.count`."""
        require_maps(truth, prediction, self.num_classes)
        distances = squared_distances(truth, limit=self.widths)
        bands = _bands(self.widths)[distances]
        self.counts += tally(bands, truth, prediction, (self.widths, self.num_classes))

    def scores(self) -> tuple[BandScores, ...]:
        """One entry a width, from 1 on."""
        bands = [(width, slice(width)) for width in range(1, self.widths + 1)]
        return tuple(
            BandScores(width, self.accuracy(band), self.miou(band), self.pixels(band))
            for width, band in bands
        )


@cache
def _bands(widths: int) -> npt.NDArray[np.uint16]:
    """Squared distance -> the narrowest band that holds it, from 0 on; ``widths`` for none."""
    squares = np.arange((widths + 1) ** 2 + 1)
    limits = np.arange(1, widths + 1) ** 2
    return np.searchsorted(limits, squares).astype(np.uint16)
