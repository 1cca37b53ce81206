"""Colours of classes where a data set has none: bright, and distinct for colour-blind people too.

The first seven are those of Okabe and Ito, "Color Universal Design" (2008), without black. The rest
are chosen one by one: each is the colour farthest from all before it, as seen with full colour
vision and without green receptors (deuteranopia, the commonest kind; Machado, Oliveira and
Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009).
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

OKABE_ITO = (
    (86, 180, 233), (213, 94, 0), (240, 228, 66), (0, 158, 115), (204, 121, 167), (0, 114, 178),
    (230, 159, 0),
)  # fmt: skip

LEAST_LIGHTNESS, MOST_LIGHTNESS = 35, 90
"""Of 0 to 100 (CIE Lab): neither lost in shadows nor on white paper."""
LEAST_CHROMA = 40
"""Distance from grey in CIE Lab: photos are full of greys."""

MOST_COLORS = 255

DEUTERANOPIA = np.array(
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
)
"""Linear RGB as seen without green receptors, severity 1."""

_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
"""Linear sRGB to XYZ, white of D65."""


def bright_colors(num: int) -> tuple[tuple[int, int, int], ...]:
    """``num`` (0 to 255) RGB colours of 0..255; the first ones are the same for any ``num``.

    Example:
        >>> bright_colors(2)
        ((86, 180, 233), (213, 94, 0))
    """
    return OKABE_ITO[:num] if num <= len(OKABE_ITO) else _all_colors()[:num]


def without_green_receptors(colors: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Colours (..., 3) uint8 as people without green receptors see them, for checks of pictures."""
    seen = np.clip(_linear(colors) @ DEUTERANOPIA.T, 0, 1)
    curved = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    result: npt.NDArray[np.uint8] = np.round(curved * 255).astype(np.uint8)
    return result


@functools.cache
def _all_colors() -> tuple[tuple[int, int, int], ...]:
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    lightness, *hue = _lab(_linear(grid)).T
    vivid = np.hypot(*hue) >= LEAST_CHROMA
    grid = grid[vivid & (lightness >= LEAST_LIGHTNESS) & (lightness <= MOST_LIGHTNESS)]
    chosen = [np.array(color, np.uint8) for color in OKABE_ITO]
    views = _views(grid)
    nearest = np.full(len(grid), np.inf)
    for place in range(MOST_COLORS):
        if place >= len(chosen):
            chosen.append(grid[nearest.argmax()])
        for seen, color in zip(views, _views(chosen[place][None]), strict=True):
            nearest = np.minimum(nearest, np.linalg.norm(seen - color, axis=1))
    return tuple((int(r), int(g), int(b)) for r, g, b in chosen)


def _views(colors: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float64], ...]:
    """Lab of colours (N, 3) as seen with full colour vision and without green receptors."""
    linear = _linear(colors)
    return _lab(linear), _lab(np.clip(linear @ DEUTERANOPIA.T, 0, 1))


def _linear(colors: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    share = colors / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def _lab(linear: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """CIE Lab (N, 3) of linear sRGB (N, 3)."""
    x, y, z = np.moveaxis(_cube(linear @ _XYZ.T / _XYZ.sum(axis=1)), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _cube(ratio: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
