"""A dense CRF around any segmenter."""

from __future__ import annotations

import numpy as np

from upscore.core.images import require_rgb
from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.core.runtime import DeviceName
from upscore.crf.mean_field import DenseCRF
from upscore.inference.segmenter import Scores, Segmenter, log_scores, softmax
from upscore.inference.tiles import blended_rows

CRF_TILE = 2048
"""Pixels. The CRF takes larger photos in tiles of this side, as its memory grows with the area: at
this one, with 21 classes, some 2 GiB beyond the probabilities."""


def crf_device(device: DeviceName) -> str:
    """Where a CRF is computed: on a GPU if ``device`` asks for one, but not for ``auto``."""
    return "cuda" if device == "cuda" else "cpu"


class Refine:
    """Another segmenter's probabilities, refined over the whole photo by a dense CRF.

    The marginals of the CRF are the probabilities, their logarithms the scores, so that this can
    be tiled or averaged like a network.

    Args:
        segmenter: what labels the photo first.
        crf: what refines that, as :meth:`upscore.crf.CRFSettings.build` makes it.
    """

    def __init__(self, segmenter: Segmenter, crf: DenseCRF) -> None:
        self.segmenter = segmenter
        self.crf = crf

    @property
    def labels(self) -> Labels:
        return self.segmenter.labels

    def probabilities(self, image: RGBImage) -> Scores:
        """(H, W, 3) uint8 -> marginals (C, H, W) float32 in [0, 1].

        Raises:
            DataError: not such an image.
        """
        require_rgb(image)
        return self.crf(image, probabilities=self.segmenter.probabilities(image))

    def scores(self, image: RGBImage) -> Scores:
        """Logarithm of the marginals, (C, H, W) float32. Raises as ``probabilities``."""
        return log_scores(self.probabilities(image))

    def predict(self, image: RGBImage) -> LabelMap:
        """(H, W) uint8, the class of the highest marginal. Raises as ``probabilities``."""
        labels: LabelMap = self.probabilities(image).argmax(axis=0).astype(np.uint8)
        return labels


def refine(
    crf: DenseCRF, image: RGBImage, probabilities: Scores, *, tile: int = CRF_TILE
) -> Scores:
    """Probabilities that are there already, refined: what ``Refine`` gives, without a segmenter.

    Args:
        image: (H, W, 3) uint8.
        probabilities: (C, H, W) float32, left as they are.
        tile: side in pixels; larger photos are refined in overlapping tiles, whose logarithms are
            blended as :class:`Tiled` blends scores.

    Returns:
        (C, H, W) float32 in [0, 1], a new array.
    """
    height, width, _ = image.shape
    if max(height, width) <= tile:
        return crf(image, probabilities=probabilities)

    def score(rows: slice, columns: slice) -> Scores:
        part = np.ascontiguousarray(probabilities[:, rows, columns])
        return log_scores(crf(image[rows, columns], probabilities=part))

    whole: Scores = np.empty_like(probabilities)
    for top, rows in blended_rows(score, len(probabilities), height, width, tile=tile):
        whole[:, top : top + rows.shape[1]] = softmax(rows)
    return whole
