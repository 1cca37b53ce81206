"""Pixels counted by class within groups: bands around boundaries, sizes of objects."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from upscore.core.jit.compile import jit, log_compilation
from upscore.core.labels import VOID, LabelMap
from upscore.errors import SettingsError
from upscore.metrics.confusion import mean_of_known, ratios, require_num_classes
from upscore.metrics.distance import KERNELS

Counts = npt.NDArray[np.int64]
"""(groups, 3, C) int64: pixels right, in the truth, and predicted, of each class."""


class GroupedCounts:
    """Pixel counts over any number of images, by group and class.

    Void pixels count nowhere. IoU, recall and accuracy are ratios of sums over all images, as those
    of a confusion matrix are; without a denominator they are None.
    """

    def __init__(self, num_classes: int, num_groups: int) -> None:
        require_num_classes(num_classes)
        self.counts: Counts = np.zeros((num_groups, 3, num_classes), np.int64)

    @property
    def num_classes(self) -> int:
        return int(self.counts.shape[2])

    def settings(self) -> dict[str, Any]:
        """The settings that two counts must share to be added: name -> JSON value."""
        return {"classes": self.num_classes}

    def __iadd__(self, other: Self) -> Self:
        """Add the counts of other images.

        Raises:
            SettingsError: counted with other classes or settings.
        """
        mine, theirs = self.settings(), other.settings()
        if mine != theirs:
            raise SettingsError(f"cannot add counts made with {theirs} to counts made with {mine}")
        self.counts += other.counts
        return self

    def class_iou(self, groups: slice | int = slice(None)) -> list[float | None]:
        """IoU of each class over some groups; None for one in neither truth nor prediction."""
        right, truth, predicted = self._over(groups)
        return ratios(right, truth + predicted - right)

    def class_recall(self, groups: slice | int = slice(None)) -> list[float | None]:
        """Share of each class's true pixels that were found; None for one not in the truth."""
        right, truth, _ = self._over(groups)
        return ratios(right, truth)

    def miou(self, groups: slice | int = slice(None)) -> float | None:
        """Mean IoU of the classes that occur in truth or prediction."""
        return mean_of_known(self.class_iou(groups))

    def mean_recall(self, groups: slice | int = slice(None)) -> float | None:
        """Mean recall of the classes that occur in the truth."""
        return mean_of_known(self.class_recall(groups))

    def accuracy(self, groups: slice | int = slice(None)) -> float | None:
        """Share of the true pixels that are right."""
        right, truth, _ = self._over(groups)
        (share,) = ratios(right.sum(keepdims=True), truth.sum(keepdims=True))
        return share

    def pixels(self, groups: slice | int = slice(None)) -> int:
        """True pixels."""
        return int(self._over(groups)[1].sum())

    def _over(self, groups: slice | int) -> Counts:
        part = self.counts[groups]
        return part if part.ndim == 2 else part.sum(axis=0)


def tally(
    groups: npt.NDArray[np.integer[Any]],
    truth: LabelMap,
    prediction: LabelMap,
    shape: tuple[int, int],
) -> Counts:
    """Count one image.

    Args:
        groups: (H, W) integers; pixels of group ``num_groups`` or above are not counted.
        truth, prediction: (H, W) uint8, checked by ``confusion.require_maps``. Void pixels of the
            truth are not counted.
        shape: numbers of groups and of classes.

    Returns:
        (num_groups, 3, C) int64.
    """
    counts = np.zeros((shape[0], 3, shape[1]), np.int64)
    with log_compilation(KERNELS):
        _tally(groups.ravel(), truth.ravel(), prediction.ravel(), VOID, counts)
    return counts


@jit
def _tally(
    groups: npt.NDArray[Any], truth: LabelMap, prediction: LabelMap, void: int, counts: Counts
) -> None:
    for i in range(len(truth)):
        group, true, predicted = groups[i], truth[i], prediction[i]
        if true == void or group >= len(counts):
            continue
        counts[group, 1, true] += 1
        counts[group, 2, predicted] += 1
        if true == predicted:
            counts[group, 0, true] += 1
