"""The two transforms of Winograd's F(4x4, 3x3), eight channels at a time.

An image is cut into tiles of 4x4 outputs, which read 6x6 inputs. With the matrices of Lavin and
Gray (CVPR 2016, section 4.1) a tile d becomes B^T d B before the products with the transformed
weights, and the 6x6 products m become A^T m A after them. Both are done rows first, then columns,
with the sums that rows share taken once.
"""

# mypy: disable-error-code="no-untyped-call"
# (lanes are values of kernels, which the type checker does not know)

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.jit.compile import jit, jit_inline
from upscore.core.jit.simd import LANES, add, broadcast, fma, load, store, subtract

Floats = npt.NDArray[np.float32]

IN, OUT = 6, 4
"""Sides of a tile's inputs and outputs."""


@jit_inline
def _before(
    d0: Any, d1: Any, d2: Any, d3: Any, d4: Any, d5: Any, into: Floats, first: int, step: int
) -> None:
    """B^T d of six numbers, into six rows of ``into``."""
    two, four = broadcast(np.float32(2)), broadcast(np.float32(4))
    minus_four, minus_five = broadcast(np.float32(-4)), broadcast(np.float32(-5))
    store(into, first, fma(four, d0, fma(minus_five, d2, d4)))
    even, odd = fma(minus_four, d2, d4), fma(minus_four, d1, d3)
    store(into, first + step, add(even, odd))
    store(into, first + 2 * step, subtract(even, odd))
    even, odd = subtract(d4, d2), subtract(d3, d1)
    store(into, first + 3 * step, fma(two, odd, even))
    store(into, first + 4 * step, fma(broadcast(np.float32(-2)), odd, even))
    store(into, first + 5 * step, fma(four, d1, fma(minus_five, d3, d5)))


@jit_inline
def _after(m0: Any, m1: Any, m2: Any, m3: Any, m4: Any, m5: Any) -> Any:
    """A^T m of six numbers: four."""
    a, b, c, d = add(m1, m2), subtract(m1, m2), add(m3, m4), subtract(m3, m4)
    return (
        add(m0, add(a, c)),
        fma(broadcast(np.float32(2)), d, b),
        fma(broadcast(np.float32(4)), c, a),
        add(m5, fma(broadcast(np.float32(8)), d, b)),
    )


@jit
def take_tiles(image: Floats, first: int, tiles: Floats) -> None:
    """Cut tiles from ``first`` on, counted through rows and images, and transform them.

    Args:
        image: (N, H, W, C / 8, 8); outside it is 0.
        tiles: (36, T, C / 8, 8), written.
    """
    height, width, groups = image.shape[1:4]
    down, across = -(-height // OUT), -(-width // OUT)
    num = tiles.shape[1]
    patch = np.empty((IN * IN, LANES), np.float32)
    zero = broadcast(np.float32(0))
    for t in range(num):
        n, rest = divmod(first + t, down * across)
        top, left = rest // across * OUT - 1, rest % across * OUT - 1
        corner = (n * height + top) * width + left
        for group in range(groups):
            for x in range(IN):
                d0 = d1 = d2 = d3 = d4 = d5 = zero
                if 0 <= left + x < width:
                    at = (corner + x) * groups + group
                    step = width * groups
                    if top >= 0:
                        d0 = load(image, at)
                    d1 = load(image, at + step)
                    if top + 2 < height:
                        d2 = load(image, at + 2 * step)
                    if top + 3 < height:
                        d3 = load(image, at + 3 * step)
                    if top + 4 < height:
                        d4 = load(image, at + 4 * step)
                    if top + 5 < height:
                        d5 = load(image, at + 5 * step)
                _before(d0, d1, d2, d3, d4, d5, patch, x, IN)
            for y in range(IN):
                at = y * IN
                _before(
                    load(patch, at), load(patch, at + 1), load(patch, at + 2),
                    load(patch, at + 3), load(patch, at + 4), load(patch, at + 5),
                    tiles, (at * num + t) * groups + group, num * groups,
                )  # fmt: skip


@jit
def lay_tiles(products: Floats, bias: Floats, first: int, image: Floats) -> None:
    """Transform products into 4x4 outputs, add the bias, and write what lies in the image.

    Args:
        products: (36, T, O / 8, 8) of the tiles from ``first`` on.
        bias: (O / 8, 8).
        image: (N, H, W, O / 8, 8), written.
    """
    height, width, groups = image.shape[1:4]
    down, across = -(-height // OUT), -(-width // OUT)
    num = products.shape[1]
    half = np.empty((OUT * IN, LANES), np.float32)
    for t in range(num):
        n, rest = divmod(first + t, down * across)
        top, left = rest // across * OUT, rest % across * OUT
        rows, columns = min(OUT, height - top), min(OUT, width - left)
        for group in range(groups):
            step = IN * num * groups
            for x in range(IN):
                at = (x * num + t) * groups + group
                y0, y1, y2, y3 = _after(
                    load(products, at), load(products, at + step), load(products, at + 2 * step),
                    load(products, at + 3 * step), load(products, at + 4 * step),
                    load(products, at + 5 * step),
                )  # fmt: skip
                store(half, x, y0)
                store(half, IN + x, y1)
                store(half, 2 * IN + x, y2)
                store(half, 3 * IN + x, y3)
            more = load(bias, group)
            for y in range(rows):
                at = y * IN
                y0, y1, y2, y3 = _after(
                    load(half, at), load(half, at + 1), load(half, at + 2), load(half, at + 3),
                    load(half, at + 4), load(half, at + 5),
                )  # fmt: skip
                at = ((n * height + top + y) * width + left) * groups + group
                store(image, at, add(more, y0))
                if columns > 1:
                    store(image, at + groups, add(more, y1))
                if columns > 2:
                    store(image, at + 2 * groups, add(more, y2))
                if columns > 3:
                    store(image, at + 3 * groups, add(more, y3))
