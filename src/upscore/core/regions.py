"""Connected regions of a label map."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from upscore.core.jit.compile import jit, log_compilation
from upscore.core.labels import VOID, LabelMap


def connected_regions(labels: LabelMap, *, void: int = VOID) -> npt.NDArray[np.int32]:
    """Number the regions of equal label (edge neighbours) from 1 on; void pixels are 0.

    Numbers rise with the first pixel of each region, row by row. All classes are done in one pass
    of a union-find over provisional numbers (Rosenfeld and Pfaltz 1966), and a second one that
    writes the final ones.

    Args:
        labels: (H, W) uint8 with at least one pixel.

    Returns:
        (H, W) int32.
    """
    regions = np.empty(labels.shape, np.int32)
    with log_compilation("the regions of label maps"):
        _number(np.ascontiguousarray(labels), void, regions)
    return regions


@jit
def _number(labels: LabelMap, void: int, regions: npt.NDArray[np.int32]) -> None:
    height, width = labels.shape
    # of each provisional number one of the same region that is not larger; a root is its own
    below = np.empty(height * width + 1, np.int32)
    num = 0
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if label == void:
                regions[y, x] = 0
                continue
            left = x > 0 and labels[y, x - 1] == label
            up = y > 0 and labels[y - 1, x] == label
            if not up:
                if left:
                    regions[y, x] = regions[y, x - 1]
                else:
                    num += 1
                    below[num] = num
                    regions[y, x] = num
                continue
            number = regions[y - 1, x]
            # where the pixel between the two is of the label as well, they were joined before
            if left and labels[y - 1, x - 1] != label:
                other = regions[y, x - 1]
                while below[number] != number:
                    below[number] = below[below[number]]
                    number = below[number]
                while below[other] != other:
                    below[other] = below[below[other]]
                    other = below[other]
                number, other = min(number, other), max(number, other)
                below[other] = number
            regions[y, x] = number
    final = 0
    for i in range(1, num + 1):  # smaller numbers are final already
        if below[i] == i:
            final += 1
            below[i] = final
        else:
            below[i] = below[below[i]]
    for y in range(height):
        for x in range(width):
            if regions[y, x] > 0:
                regions[y, x] = below[regions[y, x]]
