"""A dense CRF around any segmenter."""

from __future__ import annotations

import numpy as np

from upscore.core.images import require_rgb
from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.crf.mean_field import DenseCRF
from upscore.inference.segmenter import Scores, Segmenter

CRF_TILE = 2048
"""Pixels. The CRF takes larger photos in tiles of this side, as its memory grows with the area: at
this one, with 21 classes, some 2 GiB beyond the probabilities."""


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
        marginals = self.probabilities(image)
        np.maximum(marginals, np.finfo(np.float32).tiny, out=marginals)  # a zero would give -inf
        return np.log(marginals, out=marginals)

    def predict(self, image: RGBImage) -> LabelMap:
        """(H, W) uint8, the class of the highest marginal. Raises as ``probabilities``."""
        labels: LabelMap = self.probabilities(image).argmax(axis=0).astype(np.uint8)
        return labels
