"""Crops of a photo at a network's input size, and scores of crops pasted back into a map.

A window is x1, y1, x2, y2 in whole pixels, half-open; it may leave the photo. Both directions use
the bilinear resize with half-pixel centres of Pillow, torch (``align_corners=False``) and MATLAB's
``imresize``; ``antialias`` widens the triangle filter when shrinking. Only the part of a window
inside the photo is read or computed, in float32, so that work and memory do not grow with the part
outside.
"""

# mypy: disable-error-code="assignment,arg-type,no-any-return"
# (kernels mix Python's and numpy's numbers, which the compiler makes the same)

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from upscore.core.jit.compile import jit, jit_inline, log_compilation
from upscore.core.jit.threads import Barrier, num_threads, run_parallel
from upscore.core.labels import RGBImage

NOTHING = np.float32(0)

Window = tuple[int, int, int, int]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def overlaps(window: Window, height: int, width: int) -> bool:
    """Whether a window and the photo have a pixel in common."""
    x1, y1, x2, y2 = window
    return x1 < width and y1 < height and x2 > 0 and y2 > 0


def extract_crops(
    image: RGBImage, windows: Sequence[Window], size: tuple[int, int], *, antialias: bool
) -> npt.NDArray[np.uint8]:
    """Crops of a photo, resized to ``size`` = (h, w): (N, h, w, 3) uint8, black outside the photo.

    Args:
        image: (H, W, 3) uint8, rows one after the other.
    """
    crops = np.empty((len(windows), *size, 3), np.uint8)
    corners = np.array(windows, np.int64).reshape(-1, 4)
    with log_compilation("windows of a photo"):
        run_parallel(_extract, num_threads(None), image, corners, antialias, crops)
    return crops


def paste_crops(
    scores: Floats, windows: Sequence[Window], canvas: Floats, *, add: bool, antialias: bool
) -> None:
    """Resize each window's scores to the window and combine them with ``canvas``, in place.

    Args:
        scores: (N, h, w, C), classes of a pixel side by side.
        windows: N of them.
        canvas: (H, W, C), changed where windows cover it.
        add: whether to sum up; otherwise the maximum is taken.
    """
    corners = np.array(windows, np.int64).reshape(-1, 4)
    with log_compilation("windows of a photo"):
        run_parallel(_paste, num_threads(None), scores, corners, canvas, add, antialias)


@jit_inline
def _taps(
    source: int, target: int, first: int, num: int, antialias: bool
) -> tuple[Ints, Ints, Floats]:
    """First source pixels, their numbers and weights of ``num`` pixels of ``target``."""
    scale = source / target
    reach = max(scale, 1.0) if antialias else 1.0  # half the width of the triangle
    starts, counts = np.empty(num, np.int64), np.empty(num, np.int64)
    weights = np.empty((num, math.floor(2 * reach) + 2), np.float32)
    for k in range(num):
        centre = (first + k + 0.5) * scale
        low = max(0, math.floor(centre - reach + 0.5))
        high = min(source, math.floor(centre + reach + 0.5))
        high = max(low + 1, min(high, low + weights.shape[1]))
        total = 0.0
        for j in range(low, high):
            total += max(0.0, 1 - abs(j + 0.5 - centre) / reach)
        for j in range(low, high):
            weights[k, j - low] = max(0.0, 1 - abs(j + 0.5 - centre) / reach) / total
        starts[k] = low
        counts[k] = high - low
    return starts, counts, weights


@jit
def _extract(
    part: int,
    parts: int,
    barrier: Barrier,  # noqa: ARG001
    image: RGBImage,
    windows: Ints,
    antialias: bool,
    crops: RGBImage,
) -> None:
    """Part p extracts the windows p, p + parts, ..."""
    height, width = image.shape[:2]
    rows, columns = crops.shape[1:3]
    pixels = image.reshape(height, width * 3)
    line = np.empty(width * 3, np.float32)
    for n in range(part, len(windows), parts):
        x1, y1, x2, y2 = windows[n, 0], windows[n, 1], windows[n, 2], windows[n, 3]
        tops, heights, down = _taps(y2 - y1, rows, 0, rows, antialias)
        lefts, widths, across = _taps(x2 - x1, columns, 0, columns, antialias)
        left, right = max(x1, 0) * 3, min(x2, width) * 3
        for y in range(rows):
            line[left:right] = 0
            for j in range(max(0, -y1 - tops[y]), min(heights[y], height - y1 - tops[y])):
                weight = down[y, j]
                row = pixels[y1 + tops[y] + j]
                for i in range(left, right):
                    line[i] += weight * np.float32(row[i])
            for x in range(columns):
                red = green = blue = np.float32(0)
                at = x1 + lefts[x]
                for j in range(max(0, -at), min(widths[x], width - at)):
                    weight = across[x, j]
                    red += weight * line[(at + j) * 3]
                    green += weight * line[(at + j) * 3 + 1]
                    blue += weight * line[(at + j) * 3 + 2]
                crops[n, y, x, 0] = np.uint8(red + np.float32(0.5))
                crops[n, y, x, 1] = np.uint8(green + np.float32(0.5))
                crops[n, y, x, 2] = np.uint8(blue + np.float32(0.5))


@jit
def _paste(
    part: int,
    parts: int,
    barrier: Barrier,  # noqa: ARG001
    scores: Floats,
    windows: Ints,
    canvas: Floats,
    add: bool,
    antialias: bool,
) -> None:
    """Each part writes a band of the canvas's rows."""
    height, width, classes = canvas.shape
    rows, columns = scores.shape[1:3]
    lines = scores.reshape(len(scores), rows, columns * classes)
    line = np.empty(columns * classes, np.float32)
    cell = np.empty(classes, np.float32)
    band_top, band_bottom = height * part // parts, height * (part + 1) // parts
    for n in range(len(windows)):
        x1, y1, x2, y2 = windows[n, 0], windows[n, 1], windows[n, 2], windows[n, 3]
        left, right = max(x1, 0), min(x2, width)
        top, bottom = max(y1, band_top), min(y2, band_bottom)
        if left >= right or top >= bottom:
            continue
        tops, heights, down = _taps(rows, y2 - y1, top - y1, bottom - top, antialias)
        lefts, widths, across = _taps(columns, x2 - x1, left - x1, right - left, antialias)
        begin = lefts[0] * classes
        end = (lefts[right - left - 1] + widths[right - left - 1]) * classes
        for y in range(top, bottom):
            line[begin:end] = 0
            for j in range(heights[y - top]):
                weight = down[y - top, j]
                row = lines[n, tops[y - top] + j]
                for i in range(begin, end):
                    line[i] += weight * row[i]
            for x in range(left, right):
                at, count = lefts[x - left] * classes, widths[x - left]
                first = across[x - left, 0]
                second = across[x - left, 1] if count > 1 else NOTHING
                near = at + classes if count > 1 else at
                for c in range(classes):  # two taps are enough, unless the window is small
                    cell[c] = first * line[at + c] + second * line[near + c]
                for j in range(2, count):
                    weight = across[x - left, j]
                    for c in range(classes):
                        cell[c] += weight * line[at + j * classes + c]
                if add:
                    for c in range(classes):
                        canvas[y, x, c] += cell[c]
                else:
                    for c in range(classes):
                        canvas[y, x, c] = max(canvas[y, x, c], cell[c])
