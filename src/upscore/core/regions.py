"""Connected regions of a label map."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from upscore.core.labels import VOID, LabelMap


def connected_regions(labels: LabelMap, *, void: int = VOID) -> npt.NDArray[np.int32]:
    """Number the regions of equal label (edge neighbours) from 1 on; void pixels are 0.

    One pass for all classes: pixels stand on the even places of a grid of twice the size, and the
    places between two pixels are set where both have the same label.

    Args:
        labels: (H, W) uint8 with at least one pixel.

    Returns:
        (H, W) int32.
    """
    height, width = labels.shape
    valid = labels != void
    grid = np.zeros((2 * height - 1, 2 * width - 1), bool)
    grid[::2, ::2] = valid
    grid[::2, 1::2] = (labels[:, 1:] == labels[:, :-1]) & valid[:, 1:]
    grid[1::2, ::2] = (labels[1:] == labels[:-1]) & valid[1:]
    numbered, _ = ndimage.label(grid)
    regions: npt.NDArray[np.int32] = np.ascontiguousarray(numbered[::2, ::2])
    return regions
