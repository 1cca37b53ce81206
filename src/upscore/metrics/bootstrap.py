"""How sure a difference of two mIoU is, given the images that happened to be scored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from upscore.errors import SettingsError
from upscore.metrics.confusion import Matrix

NUM_DRAWS = 2000

Overlaps = npt.NDArray[np.int64]
"""(N, 2, C) int64: of each image and class, the pixels in truth and prediction, and in either."""


def overlaps(matrix: Matrix) -> npt.NDArray[np.int64]:
    """The row of :data:`Overlaps`, (2, C), of an image with the confusion matrix (C, C)."""
    hits = np.diagonal(matrix)
    return np.stack([hits, matrix.sum(axis=0) + matrix.sum(axis=1) - hits])


def difference_interval(
    first: Overlaps, second: Overlaps, *, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval of mIoU(second) - mIoU(first), both over one confusion matrix.

    Images are drawn with replacement, the same ones for both (Efron and Tibshirani 1993, chapter
    13: percentile interval), so what is hard for both cancels.

    Args:
        first, second: (N, 2, C) of the same images in the same order.
        level: share of the draws that lie inside, in (0, 1).

    Raises:
        SettingsError: no image, or not as many of both.
    """
    if not len(first) or len(first) != len(second):
        raise SettingsError(
            f"want the counts of the same images twice, found {len(first)} and {len(second)}"
        )
    rng = np.random.default_rng(seed)
    num = len(first)
    times = rng.multinomial(num, np.full(num, 1 / num), size=NUM_DRAWS).astype(np.float64)
    differences = _mean_ious(times, second) - _mean_ious(times, first)
    known = differences[~np.isnan(differences)]  # a draw of images that are all void has no score
    if not known.size:
        return 0.0, 0.0
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _mean_ious(times: npt.NDArray[np.float64], counts: Overlaps) -> npt.NDArray[np.float64]:
    """mIoU of each row of ``times`` (draws, N), which says how often each image counts."""
    hits, either = times @ counts[:, 0], times @ counts[:, 1]
    occurs = either > 0
    iou = np.divide(hits, either, out=np.zeros_like(hits), where=occurs)
    num = occurs.sum(axis=1)
    means = np.full(len(num), np.nan)
    np.divide(iou.sum(axis=1), num, out=means, where=num > 0)
    return means
