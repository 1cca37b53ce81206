"""Base class of everything that labels an RGB image of any size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from upscore.core.labels import LabelMap, Labels, RGBImage

ScoreMap = npt.NDArray[np.float32]
"""Class scores or class probabilities of an image, (C, H, W) float32."""


class Segmenter(ABC):
    """A network, an ensemble or a refinement that labels images of any size.

    A subclass sets ``labels`` and defines ``probabilities``; ``scores``, ``predict`` and
    ``predict_batch`` follow from them. It overrides those that it can compute faster, and
    ``scores`` if its network gives scores before a softmax.
    """

    labels: Labels
    """The classes, in the order of the first axis of scores and probabilities."""

    @abstractmethod
    def probabilities(self, image: RGBImage) -> ScoreMap:
        """(H, W, 3) uint8 -> class probabilities (C, H, W) float32 in [0, 1].

        Raises:
            DataError: not such an image.
        """

    def scores(self, image: RGBImage) -> ScoreMap:
        """Class scores whose softmax is ``probabilities``: (C, H, W) float32. Raises as those."""
        return log_scores(self.probabilities(image))

    def predict(self, image: RGBImage) -> LabelMap:
        """The first class of the highest probability: (H, W) uint8. Raises as those."""
        labels: LabelMap = self.probabilities(image).argmax(axis=0).astype(np.uint8)
        return labels

    def predict_batch(self, images: Sequence[RGBImage]) -> list[LabelMap]:
        """Label maps of several images, each of any size, in their order. Raises as ``predict``."""
        return [self.predict(image) for image in images]


def softmax(scores: ScoreMap) -> ScoreMap:
    """Softmax over the first axis, written into ``scores`` itself: one array, not three."""
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0)
    return scores


def log_scores(probabilities: ScoreMap) -> ScoreMap:
    """Scores whose softmax is ``probabilities``: their logarithm, written into the array itself."""
    np.maximum(probabilities, np.finfo(np.float32).tiny, out=probabilities)  # 0 would give -inf
    return np.log(probabilities, out=probabilities)
