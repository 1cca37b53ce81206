"""The one protocol: a segmenter turns an RGB image of any size into class scores."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.errors import DataError

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


def require_rgb(image: object) -> None:
    """Refuse whatever is not an (H, W, 3) uint8 array with pixels in it.

    Raises:
        DataError: says what was found and how to convert it.
    """
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"an image is a {type(image).__name__}; want a uint8 array of shape (H, W, 3)"
        )
    if image.dtype != np.uint8:
        raise DataError(
            f"an image has dtype {image.dtype}; want uint8 with values 0..255 "
            "(for floats in [0, 1]: (image * 255).round().astype(np.uint8))"
        )
    if image.ndim != 3 or image.shape[2] != 3:
        raise DataError(
            f"an image has shape {image.shape}; want (H, W, 3), red first "
            "(for a grey one: np.repeat(image[:, :, None], 3, axis=2))"
        )
    if image.size == 0:
        raise DataError(f"an image has shape {image.shape}; want at least one pixel")


def softmax(scores: Scores) -> Scores:
    """Softmax over the first axis, written into ``scores`` itself: one array, not three."""
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0)
    return scores
