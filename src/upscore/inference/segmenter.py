"""The one protocol: a segmenter turns an RGB image of any size into class scores."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from upscore.core.labels import LabelMap, Labels, RGBImage

Scores = npt.NDArray[np.float32]
"""(C, H, W) float32."""


class Segmenter(Protocol):
    """Whole-image networks, ensembles and refinements are all segmenters."""

    @property
    def labels(self) -> Labels:
        """The classes that the first axis of the scores stands for."""

    def scores(self, image: RGBImage) -> Scores:
        """(H, W, 3) uint8 -> class scores (C, H, W) float32 at the image's size."""

    def probabilities(self, image: RGBImage) -> Scores:
        """Softmax of the scores over the classes: (C, H, W) float32 in [0, 1]."""

    def predict(self, image: RGBImage) -> LabelMap:
        """(H, W) uint8, the class of the highest score."""


def softmax(scores: Scores) -> Scores:
    """Softmax over the first axis, written into ``scores`` itself: one array, not three."""
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0)
    return scores


def log_scores(probabilities: Scores) -> Scores:
    """Scores whose softmax is ``probabilities``: their logarithm, written into the array itself."""
    np.maximum(probabilities, np.finfo(np.float32).tiny, out=probabilities)  # 0 would give -inf
    return np.log(probabilities, out=probabilities)
