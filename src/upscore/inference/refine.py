"""Refinement of any segmenter's probabilities by a dense CRF."""

from __future__ import annotations

import numpy as np

from upscore.core.images import require_rgb
from upscore.core.labels import RGBImage
from upscore.core.runtime import DeviceName
from upscore.crf.mean_field import DenseCRF
from upscore.inference.segmenter import ScoreMap, Segmenter, log_scores, softmax
from upscore.inference.tiles import blended_windows

CRF_TILE = 2048
"""Side in pixels of the tiles in which larger photos are refined. The memory of a CRF grows with
the area: a tile of 21 classes takes some 2.4 GB beyond the probabilities."""


def crf_device(device: DeviceName) -> str:
    """The device of a CRF: a GPU if ``device`` is cuda, but not for ``auto``."""
    return "cuda" if device == "cuda" else "cpu"


class Refine(Segmenter):
    """Another segmenter's probabilities, refined over the whole photo by a dense CRF.

    The marginals of the CRF are the probabilities, their logarithms the scores, so that this can
    be tiled or averaged like a network.

    Args:
        segmenter: the source of the probabilities.
        crf: the CRF, as :meth:`upscore.crf.CRFSettings.build` makes it.
    """

    def __init__(self, segmenter: Segmenter, crf: DenseCRF) -> None:
        self.labels = segmenter.labels
        self.segmenter = segmenter
        self.crf = crf

    def probabilities(self, image: RGBImage) -> ScoreMap:
        require_rgb(image)
        return self.crf(image, probabilities=self.segmenter.probabilities(image))


def refine(
    crf: DenseCRF, image: RGBImage, probabilities: ScoreMap, *, tile: int = CRF_TILE
) -> ScoreMap:
    """Refine given probabilities, as ``Refine`` does those of a segmenter.

    Args:
        image: (H, W, 3) uint8.
        probabilities: (C, H, W) float32; they are not changed.
        tile: side in pixels; larger photos are refined in overlapping tiles, whose logarithms are
            blended as :class:`Tiled` blends scores.

    Returns:
        (C, H, W) float32 in [0, 1], a new array.
    """
    height, width, _ = image.shape
    if max(height, width) <= tile:
        return crf(image, probabilities=probabilities)

    def score(rows: slice, columns: slice) -> ScoreMap:
        part = np.ascontiguousarray(probabilities[:, rows, columns])
        return log_scores(crf(image[rows, columns], probabilities=part))

    whole: ScoreMap = np.empty_like(probabilities)
    for rows, columns, part in blended_windows(score, len(probabilities), height, width, tile=tile):
        whole[:, rows, columns] = softmax(part)
        del part
    return whole
