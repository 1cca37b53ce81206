"""Instance masks: a number for each object of a label map."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.labels import VOID, LabelMap
from upscore.core.regions import connected_regions
from upscore.errors import DataError


def number_objects(
    labels: LabelMap, instances: npt.NDArray[np.integer[Any]] | None = None, *, void: int = VOID
) -> npt.NDArray[np.int32]:
    """(H, W) int32: the number, from 1 on, of the object or connected region of each pixel.

    Args:
        labels: (H, W) uint8.
        instances: (H, W) integers from 0 on; 0 and ``void`` are no objects. Without, each connected
            region of one class is an object.
        void: the value of pixels without annotation, in both maps.

    Raises:
        DataError: not a label map, instances of another shape, of a type without integers, or
            negative.
    """
    if not isinstance(labels, np.ndarray) or labels.dtype != np.uint8 or labels.ndim != 2:
        found = (
            f"shape {labels.shape} and dtype {labels.dtype}"
            if isinstance(labels, np.ndarray)
            else f"a {type(labels).__name__}"
        )
        raise DataError(f"a label map has {found}; expected (H, W) uint8 class indices")
    if labels.size == 0:
        raise DataError(f"a label map has shape {labels.shape}: it has no pixels")
    if instances is None:
        return connected_regions(labels, void=void)
    array: npt.NDArray[Any] = np.asarray(instances)
    if array.shape != labels.shape or array.dtype.kind not in "iu":
        raise DataError(
            f"instances have shape {array.shape} and dtype {array.dtype}; expected integers of the "
            f"labels' shape {labels.shape}"
        )
    if int(array.min()) < 0:
        raise DataError(
            f"instances hold {int(array.min())}; expected 0 for no object, and 1, 2, ..."
        )
    # consecutive numbers, so that large or sparse ones cost nothing later
    numbers, places = np.unique(array, return_inverse=True)
    is_object = (numbers != 0) & (numbers != void)
    table = np.where(is_object, np.cumsum(is_object), 0).astype(np.int32)
    numbered: npt.NDArray[np.int32] = table[places.reshape(array.shape)]
    return numbered
