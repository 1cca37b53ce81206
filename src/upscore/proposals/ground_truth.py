"""Boxes of the objects that people annotated: what recall is measured against, and its ceiling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from upscore.core.json import JSONObject
from upscore.core.labels import VOID, LabelMap
from upscore.data.instances import number_objects
from upscore.errors import SettingsError
from upscore.proposals.base import Proposals


@dataclass(frozen=True)
class TrueObject:
    """An annotated object.

    Attributes:
        box: x1, y1, x2, y2 in whole pixels, half-open, tight around its pixels.
        label: class index.
        area: number of its pixels.
        number: what :func:`number_objects` gives its pixels.
    """

    box: tuple[int, int, int, int]
    label: int
    area: int
    number: int = field(default=0, compare=False)


@dataclass(frozen=True)
class GroundTruth:
    """Boxes of instance masks, or of the connected regions of each class.

    Attributes:
        min_area: objects of fewer pixels are left out (in a mask drawn by hand, regions of a few
            pixels are slips of the brush).

    Raises:
        SettingsError: ``min_area`` below 1.
    """

    min_area: int = 1

    def __post_init__(self) -> None:
        if self.min_area < 1:
            raise SettingsError(f"min_area is {self.min_area}; allowed: 1 or more pixels")

    def settings(self) -> JSONObject:
        return {"kind": "GroundTruth", "min_area": self.min_area}

    def from_masks(
        self,
        labels: LabelMap,
        instances: npt.NDArray[np.integer[Any]] | None = None,
        *,
        void: int = VOID,
        background: int | None = 0,
    ) -> Proposals:
        """The objects' boxes, the largest area first; the score is its share of the image.

        Arguments and errors are those of :meth:`objects`.
        """
        objects = self.objects(labels, instances, void=void, background=background)
        boxes = np.array([item.box for item in objects], np.float32).reshape(-1, 4)
        areas = np.array([item.area for item in objects], np.float32)
        return Proposals(boxes, areas / np.float32(labels.size))

    def objects(
        self,
        labels: LabelMap,
        instances: npt.NDArray[np.integer[Any]] | None = None,
        *,
        void: int = VOID,
        background: int | None = 0,
    ) -> list[TrueObject]:
        """The objects of an image, the largest area first, equal ones from top and left.

        With ``instances``, each number is an object; its class is that of most of its pixels that
        are neither void nor background, and one without such pixels is none. Without, each region
        of one class that hangs together over pixels' edges is an object: touching objects of a
        class count as one, and one that another cuts in two counts as two.

        Args:
            labels: (H, W) uint8.
            instances: (H, W) integers from 0 on; 0 and ``void`` are no objects.
            void: the value of pixels that nobody annotated, in both maps.
            background: the class that is no object; None where all classes are.

        Raises:
            DataError: not a label map, instances of another shape, of a type without integers, or
                negative.
        """
        numbered = number_objects(labels, instances, void=void)
        found = []
        for number, window in enumerate(ndimage.find_objects(numbered), start=1):
            if window is None:
                continue
            inside = numbered[window] == number
            area = int(np.count_nonzero(inside))
            label = _label(labels[window][inside], void, background)
            if label is not None and area >= self.min_area:
                rows, columns = window
                box = columns.start, rows.start, columns.stop, rows.stop
                found.append(TrueObject(box, label, area, number))
        return sorted(found, key=lambda item: (-item.area, item.box[1], item.box[0], item.label))


def _label(inside: npt.NDArray[np.uint8], void: int, background: int | None) -> int | None:
    """The most frequent class among an object's pixels, the lowest of equals."""
    votes = np.bincount(inside, minlength=256)
    for nothing in (void, background):
        if nothing is not None and 0 <= nothing < 256:
            votes[nothing] = 0
    return int(votes.argmax()) if votes.any() else None
