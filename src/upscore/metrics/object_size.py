"""Scores by the size of objects, and by how thin they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from upscore.core.labels import VOID, LabelMap
from upscore.core.regions import connected_regions
from upscore.data.instances import number_objects
from upscore.errors import SettingsError
from upscore.metrics.confusion import mean_of_known, require_maps
from upscore.metrics.distance import squared_distances
from upscore.metrics.stratified import GroupedCounts, tally

Regions = npt.NDArray[np.int32]
"""(H, W) int32: pixels of one object or connected region have one number, 0 is none."""


@dataclass(frozen=True)
class Bins:
    """The groups of objects of one measure.

    Attributes:
        measure: ``area`` in pixels, ``share`` of the image's pixels, or ``thinness``: the area over
            the square of the width, which is the diameter of the largest disc inside, in whole
            pixels (1 for a square, 0.8 for a disc, n for a strip n times as long as wide). Objects
            end at the image border.
        names: of the groups, from the lowest on.
        limits: the lower limits of all groups but the first, rising.

    Raises:
        SettingsError: limits that do not rise or are not one fewer than the names.
    """

    measure: str
    names: tuple[str, ...]
    limits: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.measure not in ("area", "share", "thinness"):
            raise SettingsError(f"measure is {self.measure!r}; allowed: area, share, thinness")
        rising = all(a < b for a, b in zip(self.limits, self.limits[1:], strict=False))
        if not self.names or len(self.limits) != len(self.names) - 1 or not rising:
            raise SettingsError(
                f"{len(self.names)} groups with limits {self.limits}; expected rising limits, one "
                "fewer than groups"
            )

    def of(self, regions: Regions) -> npt.NDArray[np.int64]:
        """The group of every region, by its number; number 0 gets ``len(names)``, no group."""
        areas = np.bincount(regions.ravel(), minlength=1).astype(np.float64)
        if self.measure == "thinness":
            values = areas / inner_widths(regions, len(areas)) ** 2
        else:
            values = areas / regions.size if self.measure == "share" else areas
        groups = np.searchsorted(self.limits, values, side="right")
        groups[0] = len(self.names)
        return groups

    def describe(self) -> str:
        """``area in pixels: small below 1,024, medium below 9,216, large from there on``."""
        what = {"area": "area in pixels", "share": "share of the image",
                "thinness": "area over squared width"}[self.measure]  # fmt: skip
        parts = [
            f"{name} below {limit:,g}" for name, limit in zip(self.names, self.limits, strict=False)
        ]
        return f"{what}: {', '.join([*parts, f'{self.names[-1]} from there on'])}"


COCO_SIZES = Bins("area", ("small", "medium", "large"), (32.0**2, 96.0**2))
"""COCO's detection benchmark (cocodataset.org, after Lin et al. 2014): 32^2 and 96^2 pixels."""

RELATIVE_SIZES = Bins("share", ("small", "medium", "large"), (0.005, 0.05))
"""Ours, for photos of other resolutions: what COCO's limits are in one of 500x375, rounded."""

THINNESS = Bins("thinness", ("compact", "elongated", "thin"), (2.0, 5.0))
"""Ours: strips up to twice, up to five times, and more than five times as long as wide."""


class ObjectSizes(GroupedCounts):
    """IoU and recall of the pixels of small, medium and large objects, by class.

    An object is what one number of an instance mask marks; without such a mask, and for pixels that
    it leaves out, a connected region of one class (pixels that share a side), as in
    :class:`upscore.proposals.ground_truth.GroundTruth`. Background is no object. An object's size
    is the number of its pixels that are neither void nor background; the class of each pixel is
    always that of the label map, also where an instance mask holds pixels of several.
    Means over classes are over those with objects in the group, as in COCO's evaluation, and so
    over the same classes for every prediction.

    Recall of a group is the share of its objects' pixels that got their class. For the IoU, pixels
    that wrongly got a class, which are part of no object, need a group too. As unmatched detections
    in COCO's evaluation, they are grouped by what they are part of: each connected region of a
    predicted class counts in the group with most of its right pixels (the smaller group of equals),
    and one without a right pixel in the group of its own size. So every pixel is in one group, and
    over all groups the counts are those of the confusion matrix.

    Args:
        num_classes: 1 to 255.
        bins: the groups; ``COCO_SIZES``, ``RELATIVE_SIZES``, ``THINNESS`` or others.
        background: the class that is no object; None where all are.

    Attributes:
        objects: (groups,) int64, number of objects; an object's pixels may have several classes.

    Raises:
        SettingsError: one of them is not in its range.
    """

    def __init__(
        self, num_classes: int, *, bins: Bins = COCO_SIZES, background: int | None = 0
    ) -> None:
        super().__init__(num_classes, len(bins.names))
        if background is not None and not 0 <= background < num_classes:
            raise SettingsError(
                f"background is {background}; allowed: 0 to {num_classes - 1}, or None"
            )
        self.bins = bins
        self.background = background
        self.objects = np.zeros(len(bins.names), np.int64)

    def settings(self) -> dict[str, Any]:
        bins = self.bins.describe()
        return super().settings() | {"bins": bins, "background": self.background}

    def __iadd__(self, other: Self) -> Self:
        super().__iadd__(other)
        self.objects += other.objects
        return self

    def miou(self, groups: slice | int = slice(None)) -> float | None:
        """Mean IoU of the classes with objects in the groups."""
        pairs = zip(self.class_iou(groups), self.class_recall(groups), strict=True)
        return mean_of_known([iou for iou, recall in pairs if recall is not None])

    def update(
        self,
        truth: LabelMap,
        prediction: LabelMap,
        instances: npt.NDArray[np.integer[Any]] | None = None,
    ) -> None:
        """Count one image.

        Args:
            truth, prediction: as for :func:`upscore.metrics.confusion.count`.
            instances: (H, W) integers from 0 on; 0 and 255 are no object.

        Raises:
            DataError: as ``count``, and for instances of another shape or type, or negative ones.
        """
        require_maps(truth, prediction, self.num_classes)
        if not truth.size:
            return
        num_groups = len(self.counts)
        objects = self._objects(truth, instances)
        groups = self.bins.of(objects)
        present = np.bincount(objects.ravel()) > 0
        self.objects += np.bincount(groups[present], minlength=num_groups + 1)[:num_groups]
        of_truth = groups[objects]
        counts = tally(of_truth, truth, prediction, (num_groups, self.num_classes))
        counts[:, 2] = counts[:, 0]  # right pixels; the wrong ones follow
        valid = truth != VOID
        wrong = valid & (prediction != truth)
        if self.background is not None:
            wrong &= prediction != self.background
        if wrong.any():
            regions = self._regions(np.where(valid, prediction, np.uint8(VOID)))
            # the right pixels of each region in each group; those of no group are left out
            right = (prediction == truth) & (of_truth < num_groups)
            num_regions = int(regions.max()) + 1
            codes = regions[right] * np.int64(num_groups) + of_truth[right]
            votes = np.bincount(codes, minlength=num_regions * num_groups)
            votes = votes.reshape(num_regions, num_groups)
            of_regions = votes.argmax(axis=1)
            missed = votes.max(axis=1) == 0
            if missed[1:].any():
                of_regions[missed] = self.bins.of(regions)[missed]
            codes = of_regions[regions[wrong]] * np.int64(self.num_classes) + prediction[wrong]
            added = np.bincount(codes, minlength=num_groups * self.num_classes)
            counts[:, 2] += added.reshape(num_groups, self.num_classes)
        self.counts += counts

    def _objects(self, truth: LabelMap, instances: npt.NDArray[np.integer[Any]] | None) -> Regions:
        if instances is None:
            return self._regions(truth)
        numbers = number_objects(truth, instances)
        nothing = truth == VOID
        if self.background is not None:
            nothing |= truth == self.background
        numbers = np.where(nothing, np.int32(0), numbers)
        rest = np.where(numbers > 0, np.uint8(VOID), truth)
        others = self._regions(rest)
        return np.where(others > 0, others + numbers.max(), numbers).astype(np.int32)

    def _regions(self, labels: LabelMap) -> Regions:
        """Connected regions of every class but the background."""
        if self.background is not None:
            labels = np.where(labels == self.background, np.uint8(VOID), labels)
        return connected_regions(labels)


def inner_widths(regions: Regions, num: int) -> npt.NDArray[np.float64]:
    """Diameter of the largest disc within each region, in pixels: 1 for a line of one pixel.

    Twice the largest distance from a pixel's centre to that of one outside, less one: a strip of
    an odd number of pixels has that number, of an even number, one less. The outside of the image
    is outside the region.

    Args:
        regions: (H, W) int32.
        num: more than the largest number in it.

    Returns:
        (num,) float64; 1 for numbers that do not occur.
    """
    squares = squared_distances(regions, limit=min(regions.shape), border=True)
    largest = np.ones(num, np.int32)
    np.maximum.at(largest, regions.ravel(), squares.ravel())
    widths: npt.NDArray[np.float64] = 2 * np.sqrt(largest.astype(np.float64)) - 1
    return widths
