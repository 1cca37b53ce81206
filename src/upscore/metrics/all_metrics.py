"""All scores in addition to mIoU: near boundaries, and by the size and thinness of objects."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from upscore.core.labels import LabelMap, Labels
from upscore.metrics.boundary import BoundaryF, BoundaryIoU
from upscore.metrics.object_size import COCO_SIZES, THINNESS, Bins, ObjectSizes
from upscore.metrics.trimap import Trimap


class Details:
    """Trimap, boundary IoU, boundary F, and scores by object, over any number of images.

    Args:
        labels: the classes; one called ``background`` is no object.
        bins: the sizes of objects.
    """

    def __init__(self, labels: Labels, *, bins: Bins = COCO_SIZES) -> None:
        num = len(labels)
        self.trimap = Trimap(num)
        self.boundary_iou = BoundaryIoU(num)
        self.boundary_f = BoundaryF(num)
        self.sizes = ObjectSizes(num, bins=bins, background=labels.background)
        self.thinness = ObjectSizes(num, bins=THINNESS, background=labels.background)

    def update(
        self,
        truth: LabelMap,
        prediction: LabelMap,
        instances: npt.NDArray[np.integer[Any]] | None = None,
    ) -> None:
        """Count one image.

        Args:
            truth, prediction: as for :func:`upscore.metrics.confusion.count`.
            instances: as for :meth:`upscore.metrics.object_size.ObjectSizes.update`.

        Raises:
            DataError: as those two.
        """
        for score in (self.trimap, self.boundary_iou, self.boundary_f):
            score.update(truth, prediction)
        for sizes in (self.sizes, self.thinness):
            sizes.update(truth, prediction, instances)

    def __iadd__(self, other: Self) -> Self:
        """Add the counts of other images. Raises SettingsError for other classes or sizes."""
        for name, score in vars(self).items():
            score += getattr(other, name)
        return self

    def to_json(self) -> dict[str, Any]:
        """The ratios, as scores.json and compare.json hold them."""
        return {
            "boundary_iou": {
                "ratio": self.boundary_iou.ratio,
                "mean": self.boundary_iou.miou(),
                "per_class": self.boundary_iou.class_iou(),
            },
            "boundary_f": {
                "tolerance": self.boundary_f.tolerance,
                "mean": self.boundary_f.mean_f(),
                "per_class": self.boundary_f.class_f(),
            },
            "trimap": [asdict(band) for band in self.trimap.scores()],
            "sizes": _sizes(self.sizes),
            "thinness": _sizes(self.thinness),
        }


def _sizes(sizes: ObjectSizes) -> dict[str, Any]:
    return {
        "groups": sizes.bins.describe(),
        "by_group": [
            {
                "name": name,
                "objects": int(sizes.objects[group]),
                "pixels": sizes.pixels(group),
                "miou": sizes.miou(group),
                "mean_recall": sizes.mean_recall(group),
                "pixel_recall": sizes.accuracy(group),
                "iou": sizes.class_iou(group),
                "recall": sizes.class_recall(group),
            }
            for group, name in enumerate(sizes.bins.names)
        ],
    }
