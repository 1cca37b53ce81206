"""Thinning of binary maps to lines of one pixel, as MATLAB's ``bwmorph(map, 'thin', Inf)``."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from upscore.core.jit.compile import jit
from upscore.errors import DataError

Mask = npt.NDArray[np.bool_]


def thin(mask: Mask) -> Mask:
    """Peel a binary map from two sides in turn until nothing more may go.

    Guo and Hall's two-subiteration thinning (CACM 1989, algorithm A1) as Lam, Lee and Suen's survey
    (PAMI 1992, section III-B) states it: what ``bwmorph`` runs. Pixels that touch, by side or
    corner, stay connected, holes stay, ends of lines stay. What lies outside the map counts as
    unset.

    Args:
        mask: bool (H, W).

    Returns:
        bool (H, W), a subset of ``mask``.

    Raises:
        DataError: not two-dimensional, or not bool.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise DataError(f"a mask of shape {mask.shape}, {mask.dtype}; expected bool (H, W)")
    height, width = mask.shape
    ringed = np.zeros((height + 2, width + 2), np.bool_)
    ringed[1:-1, 1:-1] = mask
    thin_flat(ringed.reshape(-1), width + 2, np.flatnonzero(ringed), deletable())
    return ringed[1:-1, 1:-1].copy()


@cache
def deletable() -> npt.NDArray[np.bool_]:
    """(2, 256): may a pixel go, for each of the two subiterations and its eight neighbours.

    Bit i - 1 of the second index is neighbour x_i; x_1 is the right one, and they go round against
    the clock.
    """
    table = np.zeros((2, 256), np.bool_)
    for code in range(256):
        x = [bool(code >> (i - 1) & 1) if i else False for i in range(9)]
        x.append(x[1])  # x_9 is x_1 again
        pairs = range(1, 5)
        crossings = sum(not x[2 * k - 1] and (x[2 * k] or x[2 * k + 1]) for k in pairs)
        one = sum(x[2 * k - 1] or x[2 * k] for k in pairs)
        other = sum(x[2 * k] or x[2 * k + 1] for k in pairs)
        if crossings == 1 and 2 <= min(one, other) <= 3:
            table[0, code] = not ((x[2] or x[3] or not x[8]) and x[1])
            table[1, code] = not ((x[6] or x[7] or not x[4]) and x[5])
    return table


@jit
def thin_flat(
    mask: Mask, stride: int, places: npt.NDArray[np.int64], table: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Thin ``mask`` in place; returns the places that are left, in their order.

    Args:
        mask: a map with a ring of unset pixels, flat.
        stride: width of the map with its ring.
        places: where it is set, as indices into ``mask``.
        table: of :func:`deletable`.
    """
    around = np.array([1, 1 - stride, -stride, -1 - stride, -1, stride - 1, stride, stride + 1])
    left = places.copy()
    num = len(left)
    dropped = np.empty(num, np.bool_)
    quiet = 0
    part = 0
    while quiet < 2:
        gone = 0
        for i in range(num):
            code = 0
            for bit in range(8):
                if mask[left[i] + around[bit]]:
                    code |= 1 << bit
            dropped[i] = table[part, code]
        # only now: a subiteration looks at the map as it was at its begin
        kept = 0
        for i in range(num):
            if dropped[i]:
                mask[left[i]] = False
                gone += 1
            else:
                left[kept] = left[i]
                kept += 1
        num = kept
        quiet = quiet + 1 if gone == 0 else 0
        part = 1 - part
    return left[:num]
