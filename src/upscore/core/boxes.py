"""Boxes: (K, 4) float32 of x1, y1, x2, y2 in pixels, half-open, so that x2 - x1 is the width.

x2 may be the image's width; boxes may leave the image unless a function excludes that.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.errors import DataError, SettingsError

Boxes = npt.NDArray[np.float32]
"""(K, 4) float32 xyxy, half-open, pixels."""


def require_boxes(boxes: object, name: str = "boxes") -> Boxes:
    """``boxes`` as (K, 4) float32; K may be 0, and a box may be empty (x2 = x1), not inverted.

    Raises:
        DataError: another shape, no numbers, NaN or infinity, x2 < x1 or y2 < y1.
    """
    array: npt.NDArray[Any] = np.asarray(boxes)
    if array.ndim != 2 or array.shape[1] != 4:
        raise DataError(
            f"{name} have shape {array.shape}; expected (K, 4), one row of x1, y1, x2, y2 each, "
            "and (0, 4) for none"
        )
    if array.dtype.kind not in "fiu":
        raise DataError(f"{name} have dtype {array.dtype}; expected numbers, best float32")
    if not np.isfinite(array).all():
        row = int((~np.isfinite(array)).any(axis=1).argmax())
        raise DataError(f"{name} hold NaN or infinity in row {row}: {_show(array[row])}")
    inverted = (array[:, 2] < array[:, 0]) | (array[:, 3] < array[:, 1])
    if inverted.any():
        row = int(inverted.argmax())
        raise DataError(
            f"{name} hold {_show(array[row])} in row {row} ({int(inverted.sum())} like it); "
            "expected x1, y1, x2, y2 with x1 <= x2 and y1 <= y2 (of x, y, width, height, add the "
            "first two to the last two)"
        )
    return np.ascontiguousarray(array, np.float32)


def _areas(boxes: Boxes) -> npt.NDArray[np.float32]:
    areas: npt.NDArray[np.float32] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas


def largest_first(boxes: object) -> Boxes:
    """Boxes by falling area, the earlier of equals first. Raises DataError as require_boxes."""
    array = require_boxes(boxes)
    return array[np.argsort(-_areas(array), kind="stable")]


def iou_matrix(a: object, b: object) -> npt.NDArray[np.float32]:
    """Intersection over union of each of ``a`` (A, 4) with each of ``b`` (B, 4): (A, B) float32.

    Two empty boxes have 0. Takes some five times the memory of the result while it works. Raises
    DataError as require_boxes.
    """
    first, second = require_boxes(a), require_boxes(b)
    size = np.minimum(first[:, None, 2:], second[None, :, 2:])
    size -= np.maximum(first[:, None, :2], second[None, :, :2])
    np.maximum(size, 0, out=size)
    both = size[..., 0] * size[..., 1]
    either = _areas(first)[:, None] + _areas(second)[None] - both
    result = np.zeros_like(both)
    np.divide(both, either, out=result, where=either > 0)
    return result


def clip_boxes(boxes: object, height: int, width: int) -> Boxes:
    """The part of each box inside an image of ``height`` x ``width``: x in [0, W], y in [0, H].

    A box beside the image becomes an empty one at its border; none is dropped.

    Raises:
        DataError: as :func:`require_boxes`.
        SettingsError: a negative size.
    """
    if height < 0 or width < 0:
        raise SettingsError(f"an image of {width}x{height}; expected sizes of 0 or more")
    limit = np.array([width, height, width, height], np.float32)
    clipped: Boxes = np.clip(require_boxes(boxes), np.float32(0), limit)
    return clipped


def grow_boxes(boxes: object, factor: float) -> Boxes:
    """Width and height times ``factor``, about the centre; below 1 shrinks.

    Raises:
        DataError: as :func:`require_boxes`.
        SettingsError: a factor that is not a finite number above 0.
    """
    if not (factor > 0 and math.isfinite(factor)):
        raise SettingsError(f"boxes cannot grow by a factor of {factor}; expected a number above 0")
    array = require_boxes(boxes)
    return _around_centre(array, (array[:, 2:] - array[:, :2]) * np.float32(factor))


def square_boxes(boxes: object) -> Boxes:
    """Squares of each box's longer side with the same centre; they may leave the image.

    Raises DataError as require_boxes.
    """
    array = require_boxes(boxes)
    longer = (array[:, 2:] - array[:, :2]).max(axis=1, keepdims=True)
    return _around_centre(array, longer.repeat(2, axis=1))


def _around_centre(boxes: Boxes, size: npt.NDArray[np.float32]) -> Boxes:
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.concatenate([centre - size / 2, centre + size / 2], axis=1)


def _show(box: npt.NDArray[Any]) -> str:
    return "(" + ", ".join(f"{float(value):g}" for value in box) + ")"
