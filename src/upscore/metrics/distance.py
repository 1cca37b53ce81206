"""The exact distance of each pixel of a label map to the nearest other label.

It is the distance transform of the mask of the pixel's own label, computed for all labels at once:
columns first, then rows, as Meijster, Roerdink and Hesselink (2000) and Felzenszwalb and
Huttenlocher (2012) do for one mask. In a row, no pixel beyond the next other label can be nearer
than that label, so each run of one label is processed alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from upscore.core.jit.compile import jit, jit_inline, log_compilation
from upscore.core.labels import LabelMap

Distances = npt.NDArray[np.int32]
"""(H, W) int32, squared Euclidean distances between centres of pixels."""

KERNELS = "the boundary scores"
"""Their name in the message that they are compiled."""


def squared_distances(
    labels: npt.NDArray[np.integer[Any]], *, limit: int, border: bool = False
) -> Distances:
    """Squared distance of each pixel to the nearest pixel with another label.

    Args:
        labels: (H, W) uint8 or int32; all values are labels, void as well.
        limit: distances of a pixel more than this (1 to 46339) count as equal.
        border: whether the outside of the image counts as another label.

    Returns:
        (H, W) int32: at least 1, and at most ``(limit + 1) ** 2``.
    """
    assert 1 <= limit < 46340
    out = np.empty(labels.shape, np.int32)
    if labels.size:
        with log_compilation(KERNELS):
            _squared_distances(np.ascontiguousarray(labels), limit, border, out)
    return out


def near_other_label(labels: LabelMap, *, distance: int) -> npt.NDArray[np.bool_]:
    """Whether a pixel with another label is at most ``distance`` rows and columns away.

    These pixels are what ``distance`` erosions by a square of 3x3 pixels remove from the mask of
    each label. Void is a label here, and so is the outside of the image.

    Args:
        labels: (H, W) uint8.
        distance: 1 or more pixels.

    Returns:
        (H, W) bool.
    """
    assert distance >= 1
    wide = labels.astype(np.int16)
    lowest = ndimage.minimum_filter(wide, 2 * distance + 1, mode="constant", cval=-1)
    near: npt.NDArray[np.bool_] = ndimage.maximum_filter(wide, 2 * distance + 1) != lowest
    return near


@jit_inline
def _along_columns(labels: npt.NDArray[Any], far: Any, border: bool, steps: Distances) -> None:
    """Steps up or down to another label, at most ``far``, into ``steps`` (H, W)."""
    height, width = labels.shape
    edge = 1 if border else far
    for x in range(width):
        steps[0, x] = edge
    for y in range(1, height):
        for x in range(width):
            same = labels[y, x] == labels[y - 1, x]
            steps[y, x] = min(steps[y - 1, x] + 1, far) if same else 1
    for x in range(width):
        steps[height - 1, x] = min(steps[height - 1, x], edge)
    for y in range(height - 2, -1, -1):
        for x in range(width):
            same = labels[y, x] == labels[y + 1, x]
            steps[y, x] = min(steps[y, x], steps[y + 1, x] + 1 if same else 1)


@jit
def _squared_distances(labels: npt.NDArray[Any], limit: int, border: bool, out: Distances) -> None:
    height, width = labels.shape
    far = np.int32(limit + 1)
    steps = np.empty((height, width), np.int32)
    _along_columns(labels, far, border, steps)
    # the parabolas (x - site)^2 + low of which one is the lowest at each x, from the left
    sites = np.empty(width + 2, np.int64)
    lows = np.empty(width + 2, np.int64)
    begins = np.empty(width + 2, np.int64)  # the first x where each of them is the lowest
    for y in range(height):
        left = 0
        while left < width:
            right = left + 1
            while right < width and labels[y, right] == labels[y, left]:
                right += 1
            num = 0
            for site in range(left - 1, right + 1):
                if site < left or site == right:
                    if not border and (site < 0 or site == width):
                        continue
                    low = np.int64(0)
                else:
                    if steps[y, site] >= far:
                        continue
                    low = np.int64(steps[y, site]) * steps[y, site]
                while num > 0:
                    x = begins[num - 1]
                    if (x - sites[num - 1]) ** 2 + lows[num - 1] <= (x - site) ** 2 + low:
                        break
                    num -= 1
                begin = np.int64(left)
                if num > 0:
                    other = sites[num - 1]
                    above = site * site - other * other + low - lows[num - 1]
                    begin = above // (2 * (site - other)) + 1
                    if begin >= right:
                        continue
                sites[num], lows[num], begins[num] = site, low, begin
                num += 1
            for x in range(right - 1, left - 1, -1):
                value = np.int64(far) * far
                if num > 0:
                    value = min(value, (x - sites[num - 1]) ** 2 + lows[num - 1])
                    if x == begins[num - 1]:
                        num -= 1
                out[y, x] = value
            left = right
