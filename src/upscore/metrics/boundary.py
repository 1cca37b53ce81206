"""How well predicted boundaries follow the true ones: boundary IoU and boundary F."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from upscore.core.jit.compile import jit, log_compilation
from upscore.core.labels import VOID, LabelMap
from upscore.errors import SettingsError
from upscore.metrics.confusion import mean_of_known, ratios, require_maps, require_num_classes
from upscore.metrics.distance import KERNELS, near_other_label
from upscore.metrics.stratified import GroupedCounts

RATIO = 0.02
"""Cheng et al.'s width of the band, as a share of the image's diagonal."""

TOLERANCE = 0.0075
"""Csurka et al.'s distance between boundaries that counts as none, likewise."""


class BoundaryIoU(GroupedCounts):
    """IoU of the inner rims of true and predicted masks, by class.

    Cheng, Girshick, Dollár, Berg and Kirillov (2021, equation 1): with G_d the pixels of the true
    mask G at most d away from its contour, and P_d likewise of the prediction P,

        boundary IoU = |G_d and P_d| / |G_d or P_d|

    So large objects, whose mask IoU depends on their interiors, are judged by their edges. As in
    the paper's released code, d is 2 % of the image's diagonal, rounded, at least one pixel;
    distance is counted in erosions by a 3x3 square (the larger of rows and columns); and where a
    mask meets the image border, that is contour. Here a mask is all pixels of a class in an image,
    and sums go over all images before the ratio is taken, as for mIoU.

    Where the truth is void, the prediction is void as well, so both end there, and the void pixels
    are in no mask.

    Args:
        num_classes: 1 to 255.
        ratio: d as a share of the diagonal, in (0, 1].

    Raises:
        SettingsError: one of them is not in its range.
    """

    def __init__(self, num_classes: int, *, ratio: float = RATIO) -> None:
        _require_share("ratio", ratio)
        super().__init__(num_classes, 1)
        self.ratio = ratio

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"ratio": self.ratio}

    def update(self, truth: LabelMap, prediction: LabelMap) -> None:
        """Count one image; maps and errors as for :func:`upscore.metrics.confusion.count`."""
        require_maps(truth, prediction, self.num_classes)
        distance = max(1, round(self.ratio * math.hypot(*truth.shape)))
        rims = []
        for labels in (truth, _without_void(truth, prediction)):
            near = near_other_label(labels, distance=distance)
            rims.append(np.where(near, labels, np.uint8(VOID)))
        true, predicted = rims
        for place, part in enumerate((true[true == predicted], true, predicted)):
            self.counts[0, place] += np.bincount(part.ravel(), minlength=256)[: self.num_classes]


class BoundaryF:
    """F of matched boundary pixels, by class: the mean over the images that have the class.

    Csurka, Larlus and Perronnin (2013, section 3), the "BF" of SegNet's tables: with B_t the
    boundary pixels of a class in the truth, B_p in the prediction, and a tolerance of 0.75 % of the
    image's diagonal,

        precision = share of B_p closer than the tolerance to a pixel of B_t
        recall    = share of B_t closer than the tolerance to a pixel of B_p
        F         = 2 precision recall / (precision + recall)

    A boundary pixel of a class is one of its pixels with a side neighbour that has another label;
    image borders are no boundaries. Several pixels may match the same one (DAVIS and the Berkeley
    edge benchmark assign pairs instead). An image's score is the mean over the classes that have a
    boundary in its truth or its prediction (F is 0 where only one of them has), the data set's is
    the mean over images, those without any boundary left out.

    Where the truth is void, the prediction is void as well, so that both end there.

    Args:
        num_classes: 1 to 255.
        tolerance: as a share of the diagonal, in (0, 1].

    Attributes:
        sums, images: (C,): sum of F by class, and number of images in it.
        total, num: sum of the images' scores, and their number.

    Raises:
        SettingsError: one of them is not in its range.
    """

    def __init__(self, num_classes: int, *, tolerance: float = TOLERANCE) -> None:
        require_num_classes(num_classes)
        _require_share("tolerance", tolerance)
        self.tolerance = tolerance
        self.sums = np.zeros(num_classes, np.float64)
        self.images = np.zeros(num_classes, np.int64)
        self.total = 0.0
        self.num = 0

    @property
    def num_classes(self) -> int:
        return len(self.sums)

    def update(self, truth: LabelMap, prediction: LabelMap) -> None:
        """Score one image; maps and errors as for :func:`upscore.metrics.confusion.count`."""
        require_maps(truth, prediction, self.num_classes)
        near = _offsets(self.tolerance * math.hypot(*truth.shape))
        true = boundary_pixels(truth)
        predicted = boundary_pixels(_without_void(truth, prediction))
        with log_compilation(KERNELS):
            found, in_truth = _matched(true, predicted, near)
            right, in_prediction = _matched(predicted, true, near)
        occurs = (in_truth + in_prediction)[: self.num_classes] > 0
        if not occurs.any():
            return
        # 2 P R / (P + R), and 0 where nothing matches or one of them has no boundary
        with np.errstate(invalid="ignore", divide="ignore"):
            precision, recall = right / in_prediction, found / in_truth
            f = np.nan_to_num(2 * precision * recall / (precision + recall))[: self.num_classes]
        self.sums += f
        self.images += occurs
        self.total += float(f[occurs].mean())
        self.num += 1

    def __iadd__(self, other: Self) -> Self:
        """Add the scores of other images.

        Raises:
            SettingsError: scored with other classes or another tolerance.
        """
        mine, theirs = ((b.num_classes, b.tolerance) for b in (self, other))
        if mine != theirs:
            raise SettingsError(
                f"cannot add boundary scores of {theirs[0]} classes at {theirs[1]:g} to scores of "
                f"{mine[0]} classes at {mine[1]:g}"
            )
        self.sums += other.sums
        self.images += other.images
        self.total += other.total
        self.num += other.num
        return self

    def class_f(self) -> list[float | None]:
        """Mean over the images that have the class; None for one without a boundary anywhere."""
        return ratios(self.sums, self.images)

    def mean_f(self) -> float | None:
        """The data set's score: the mean over images of their means over classes."""
        return self.total / self.num if self.num else None

    def mean_class_f(self) -> float | None:
        """The mean over classes of their means over images, where each class counts alike."""
        return mean_of_known(self.class_f())


def boundary_pixels(labels: LabelMap) -> LabelMap:
    """Keep the labels of pixels with a side neighbour of another label; void for all others."""
    edge = np.zeros(labels.shape, np.bool_)
    across = labels[:, 1:] != labels[:, :-1]
    along = labels[1:] != labels[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= along
    edge[:-1] |= along
    return np.where(edge, labels, np.uint8(VOID))


def _without_void(truth: LabelMap, prediction: LabelMap) -> LabelMap:
    return np.where(truth == VOID, np.uint8(VOID), prediction)


def _require_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise SettingsError(f"{name} is {value:g}; allowed: above 0, up to 1 (of the diagonal)")


@lru_cache(maxsize=64)
def _offsets(tolerance: float) -> npt.NDArray[np.int64]:
    """(K, 2) rows and columns to the places closer than ``tolerance``, the nearest first."""
    reach = max(0, math.ceil(tolerance) - 1)
    steps = np.arange(-reach, reach + 1)
    rows, columns = (part.ravel() for part in np.meshgrid(steps, steps, indexing="ij"))
    squares = rows**2 + columns**2
    order = np.argsort(squares, kind="stable")
    order = order[squares[order] < tolerance**2]
    return np.stack([rows[order], columns[order]], axis=1).astype(np.int64)


@jit
def _matched(
    some: LabelMap, others: LabelMap, near: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Of each label, the pixels of ``some`` with such a pixel of ``others`` near, and all."""
    height, width = some.shape
    matched = np.zeros(256, np.int64)
    present = np.zeros(256, np.int64)
    for y in range(height):
        for x in range(width):
            label = some[y, x]
            if label == 255:
                continue
            present[label] += 1
            for k in range(len(near)):
                row, column = y + near[k, 0], x + near[k, 1]
                if 0 <= row < height and 0 <= column < width and others[row, column] == label:
                    matched[label] += 1
                    break
    return matched, present
