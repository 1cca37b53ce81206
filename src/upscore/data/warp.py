"""A part of a photo and its mask in any direction and size, by one resampling."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from upscore.core.labels import VOID, LabelMap, RGBImage


def warp_pair(
    image: RGBImage,
    labels: LabelMap,
    size: tuple[int, int],
    centre: npt.NDArray[np.float64],
    matrix: npt.NDArray[np.float64],
) -> tuple[RGBImage, LabelMap]:
    """A part of a pair in any direction and size, of (height, width) pixels, by one resampling.

    A point at (y, x) from the result's centre shows what is at ``centre + matrix @ (y, x)`` of the
    pair; photo bilinear, mask nearest. Where a step in the result is 2 pixels or more of the pair,
    whole blocks of these are averaged first. Outside: void and the mean colour of the part.

    Args:
        size: height and width of the result.
        centre: (2,) y, x in pixels, the first pixel being from 0 to 1.
        matrix: (2, 2).
    """
    half = np.array(size) / 2
    reach = np.abs(matrix) @ half + 1
    low = np.floor(np.maximum(centre - reach, 0)).astype(int)
    high = np.ceil(centre + reach).astype(int)
    image, labels = (part[low[0] : high[0], low[1] : high[1]] for part in (image, labels))
    start = centre - low - matrix @ half
    (yy, yx), (xy, xx) = matrix
    rows = [xx, xy, start[1], yx, yy, start[0]]
    block = max(1, int(np.linalg.norm(matrix, axis=1).min() + 1e-6))
    mean = image[::4, ::4].reshape(-1, 3).mean(axis=0).astype(int)
    affine = Image.Transform.AFFINE
    photo = Image.fromarray(image).reduce(block) if block > 1 else Image.fromarray(image)
    photo = photo.transform(
        size[::-1],
        affine,
        [value / block for value in rows],
        Image.Resampling.BILINEAR,
        fillcolor=tuple(mean.tolist()),
    )
    mask = Image.fromarray(labels).transform(
        size[::-1], affine, rows, Image.Resampling.NEAREST, fillcolor=VOID
    )
    return np.asarray(photo), np.asarray(mask)
