"""Intervals of a difference of two mIoU, given the images or the trainings that were scored."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt
from scipy.stats import t

from upscore.errors import SettingsError
from upscore.metrics.confusion import Matrix, mean_of_known, ratios

NUM_DRAWS = 2000

Overlaps = npt.NDArray[np.int64]
"""(N, 2, C) int64: of each image and class, the pixels in truth and prediction, and in either."""


def overlaps(matrix: Matrix) -> npt.NDArray[np.int64]:
    """The row of :data:`Overlaps`, (2, C), for an image's confusion matrix (C, C)."""
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
        level: share of the draws inside the interval, in (0, 1).

    Raises:
        SettingsError: no image, or not as many of both.
    """
    return mean_difference_interval([first], [second], level=level, seed=seed)


def mean_difference_interval(
    first: Sequence[Overlaps], second: Sequence[Overlaps], *, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """As :func:`difference_interval`, of the mean mIoU of several trainings of each.

    Each draw of images is the same for all of them, so the interval is that of the images alone;
    see :func:`spread_interval` for that of the trainings.

    Args:
        first, second: counts of one training each, one or more.
    """
    counts = [len(one) for one in (*first, *second)]
    if len(set(counts)) != 1 or not counts[0]:
        raise SettingsError(
            "expected the counts of the same images of all, found " + " and ".join(map(str, counts))
        )
    rng = np.random.default_rng(seed)
    num = counts[0]
    times = rng.multinomial(num, np.full(num, 1 / num), size=NUM_DRAWS).astype(np.float64)
    before, after = (
        np.mean([_mean_ious(times, one) for one in part], axis=0) for part in (first, second)
    )
    differences = after - before
    known = differences[~np.isnan(differences)]  # a draw of images that are all void has no score
    if not known.size:
        return 0.0, 0.0
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_interval(
    values: Sequence[float], *, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval of the mean of independent values, drawn with replacement (percentiles).

    Raises:
        SettingsError: no value.
    """
    if not len(values):
        raise SettingsError("expected one value or more, found none")
    array = np.asarray(values, np.float64)
    num = len(array)
    rng = np.random.default_rng(seed)
    means = rng.multinomial(num, np.full(num, 1 / num), size=NUM_DRAWS) @ array / num
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def spread_interval(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float] | None:
    """Student's t interval of the mean of values of several trainings; None of fewer than two.

    Args:
        values: one a training, such as differences between trainings of the same seed.
        level: of the interval, in (0, 1).
    """
    if len(values) < 2:
        return None
    reach = float(t.ppf((1 + level) / 2, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return fmean(values) - reach, fmean(values) + reach


def mean_iou_of(counts: Overlaps) -> float | None:
    """mIoU over all images; None where there is nothing to score."""
    return mean_of_known(ratios(*counts.sum(axis=0)))


def _mean_ious(times: npt.NDArray[np.float64], counts: Overlaps) -> npt.NDArray[np.float64]:
    """mIoU of each row of ``times`` (draws, N), which says how often each image counts."""
    hits, either = times @ counts[:, 0], times @ counts[:, 1]
    occurs = either > 0
    iou = np.divide(hits, either, out=np.zeros_like(hits), where=occurs)
    num = occurs.sum(axis=1)
    means = np.full(len(num), np.nan)
    np.divide(iou.sum(axis=1), num, out=means, where=num > 0)
    return means
