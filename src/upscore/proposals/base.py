"""Boxes of an image with their scores, and the interface of the sources that find them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from upscore.core.boxes import Boxes, require_boxes
from upscore.core.images import require_rgb
from upscore.core.json import JSONObject
from upscore.core.labels import RGBImage
from upscore.errors import DataError, SettingsError


@dataclass(frozen=True, eq=False)
class Proposals:
    """Boxes of one image, best first.

    Attributes:
        boxes: (K, 4) float32 xyxy, half-open, pixels, none of them empty; K may be 0. They may
            leave the image. Read-only.
        scores: (K,) float32, never rising; the higher the likelier an object. They compare within
            one image of one source. Read-only.

    Raises:
        DataError: other shapes, NaN or infinity, empty or inverted boxes, a score that rises.
    """

    boxes: Boxes
    scores: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        boxes = require_boxes(self.boxes)
        empty = (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
        if empty.any():
            row = int(empty.argmax())
            raise DataError(
                f"proposals hold an empty box in row {row}: {boxes[row].tolist()}; leave those out"
            )
        scores: npt.NDArray[Any] = np.asarray(self.scores)
        if scores.shape != (len(boxes),) or scores.dtype.kind not in "fiu":
            raise DataError(
                f"scores have shape {scores.shape} and dtype {scores.dtype}; expected one number "
                f"for each of {len(boxes)} boxes"
            )
        scores = np.ascontiguousarray(scores, np.float32)
        if not np.isfinite(scores).all():
            row = int((~np.isfinite(scores)).argmax())
            raise DataError(f"scores hold NaN or infinity in row {row}")
        rising = scores[1:] > scores[:-1]
        if rising.any():
            row = int(rising.argmax())
            raise DataError(
                f"scores rise from {scores[row]:g} to {scores[row + 1]:g} in row {row + 1}; "
                "expected the best box first (Proposals.sorted sorts)"
            )
        object.__setattr__(self, "boxes", _read_only(boxes, self.boxes))
        object.__setattr__(self, "scores", _read_only(scores, self.scores))

    @classmethod
    def sorted(cls, boxes: object, scores: object) -> Proposals:
        """Proposals of boxes in any order, best first, the earlier of equals first.

        Raises:
            DataError: as the class does.
        """
        values: npt.NDArray[Any] = np.asarray(scores)
        array: npt.NDArray[Any] = np.asarray(boxes)
        if values.ndim != 1 or values.dtype.kind not in "fiu" or len(values) != len(array):
            return cls(array, values)  # says what is wrong
        order = np.argsort(-values.astype(np.float64), kind="stable")
        return cls(array[order], values[order])

    @classmethod
    def none(cls) -> Proposals:
        """No box at all."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.scores)

    def top(self, count: int) -> Proposals:
        """The best ``count``, or all where there are fewer.

        Raises:
            SettingsError: a negative count.
        """
        if count < 0:
            raise SettingsError(f"the best {count} boxes; expected a count of 0 or more")
        return Proposals(self.boxes[:count], self.scores[:count])


def _read_only(array: npt.NDArray[np.float32], given: object) -> npt.NDArray[np.float32]:
    """``array`` that nobody can write to; copied where that would lock the caller's own."""
    if not array.flags.writeable:
        return array
    if isinstance(given, np.ndarray) and np.shares_memory(array, given):
        array = array.copy()
    array.flags.writeable = False
    return array


class ProposalSource(Protocol):
    """Where boxes come from.

    Sources pickle and are cheap to make: they load and compile what they need when first called.
    """

    def __call__(self, image: RGBImage, *, name: str = "") -> Proposals:
        """Boxes of an image (H, W, 3) uint8 RGB.

        Args:
            name: of the photo in its data set, for sources that look boxes up.

        Raises:
            DataError: no such image.
        """
        ...

    def settings(self) -> JSONObject:
        """What the boxes depend on beside the image: JSON values, ``kind`` among them."""
        ...


def image_key(image: RGBImage) -> str:
    """SHA-256 of an image's size and pixels, hex: the same for equal content in other files.

    Raises:
        DataError: not such an image.
    """
    require_rgb(image)
    digest = hashlib.sha256(f"{image.shape[0]} {image.shape[1]}\n".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()
