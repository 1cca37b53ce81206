"""Kernels of the lattice filter and of the mean field update: all that runs in each iteration.

Class maps are (blocks, N, 8) float32, eight classes in a block, pixels in the order of the lattice.
Each block is filtered completely before the next one, so that the values of the lattice, (M, 8),
take little memory and mostly stay in the cache.

Inner loops use unsigned indices: numba handles negative indices of signed ones, which takes a third
of the time. No kernel here allocates. The order of all sums is independent of the number of
threads, so results are the same bit by bit.
"""

# ruff: noqa: ARG001  (run_parallel passes the same first three arguments to all kernels)
# mypy: disable-error-code="assignment"
# (kernels mix Python and numpy integers, which the compiler unifies)

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from upscore.core.jit.compile import jit, jit_inline
from upscore.core.jit.simd import (
    LANES,
    absolute,
    add,
    broadcast,
    exp,
    fma,
    horizontal_max,
    horizontal_min,
    horizontal_sum,
    load,
    log,
    maximum,
    minimum,
    multiply,
    store,
    subtract,
)
from upscore.core.jit.threads import Barrier, wait
from upscore.crf import validation as arrays
from upscore.crf.lattice.build import Float32s, Int64s, Stages, UInt32s

Float64s = npt.NDArray[np.float64]

MAX_ENERGY = np.float32(arrays.MAX_ENERGY)
MIN_PROBABILITY = np.float32(arrays.MIN_PROBABILITY)

STRIP = 32
"""Pixels that are transposed at once between (C, N) and (blocks, N, 8)."""

SHARE = 4096
"""Pixels of one partial sum of the divergence."""


@jit_inline
def _blur_cell(values: Float32s, chains: UInt32s, segment: Int64s) -> None:
    """Blur with [1/2, 1, 1/2] along the chains of one cell and direction, in place."""
    begin_2, begin_3, begin_4 = np.uint64(segment[0]), np.uint64(segment[1]), np.uint64(segment[2])
    begin_more, end = np.uint64(segment[3]), np.uint64(segment[4])
    half = broadcast(np.float32(0.5))
    for at in range(begin_2, begin_3, np.uint64(2)):
        i, j = chains[at], chains[at + np.uint64(1)]
        a, b = load(values, i), load(values, j)
        store(values, i, fma(half, b, a))
        store(values, j, fma(half, a, b))
    for at in range(begin_3, begin_4, np.uint64(3)):
        i, j, k = chains[at], chains[at + np.uint64(1)], chains[at + np.uint64(2)]
        a, b, c = load(values, i), load(values, j), load(values, k)
        store(values, i, fma(half, b, a))
        store(values, j, fma(half, add(a, c), b))
        store(values, k, fma(half, b, c))
    for at in range(begin_4, begin_more, np.uint64(4)):
        i, j, k, m = (
            chains[at],
            chains[at + np.uint64(1)],
            chains[at + np.uint64(2)],
            chains[at + np.uint64(3)],
        )
        a, b, c, d = load(values, i), load(values, j), load(values, k), load(values, m)
        store(values, i, fma(half, b, a))
        store(values, j, fma(half, add(a, c), b))
        store(values, k, fma(half, add(b, d), c))
        store(values, m, fma(half, c, d))
    at = begin_more
    while at < end:
        length = np.uint64(chains[at])
        i, j = chains[at + np.uint64(1)], chains[at + np.uint64(2)]
        a, b = load(values, i), load(values, j)
        store(values, i, fma(half, b, a))
        for after in range(at + np.uint64(3), at + np.uint64(1) + length):
            k = chains[after]
            c = load(values, k)
            store(values, j, fma(half, add(a, c), b))
            a, b, j = b, c, k
        store(values, j, fma(half, a, b))
        at += length + np.uint64(1)


@jit_inline
def _splat_cell(
    values: Float32s, maps: Float32s, first_row: int, first_vertex: int, after_vertex: int,
    first_entry: int, after_entry: int, splat_pixel: UInt32s, splat_vertex: UInt32s,
    splat_weight: Float32s,
) -> None:  # fmt: skip
    """Splat: the weighted sum over its pixels for each vertex of a cell."""
    zero = broadcast(np.float32(0))
    for vertex in range(first_vertex, after_vertex):
        store(values, vertex, zero)
    for entry in range(np.uint64(first_entry), np.uint64(after_entry)):
        vertex = splat_vertex[entry]
        row = load(maps, first_row + splat_pixel[entry])
        store(values, vertex, fma(broadcast(splat_weight[entry]), row, load(values, vertex)))


@jit_inline
def _fetch_cell(values: Float32s, first_vertex: int, after_vertex: int, spare: int) -> None:
    """Prefetch the rows of a cell in order, before the chains access them in random order.

    ``spare``: a row that receives their sum, so that the reads are not optimised away.
    """
    read = broadcast(np.float32(0))
    for vertex in range(first_vertex, after_vertex):
        read = add(read, load(values, vertex))
    store(values, spare, read)


@jit_inline
def _filter_block(
    part: int, parts: int, barrier: Barrier, stages: Stages, values: Float32s, maps: Float32s,
    first_row: int, cell_begin: Int64s, entry_begin: Int64s, splat_pixel: UInt32s,
    splat_vertex: UInt32s, splat_weight: Float32s, chains: UInt32s, segments: Int64s,
) -> None:  # fmt: skip
    """Splat and blur one block of eight classes; all threads have finished when it returns.

    Each cell is loaded into the cache as few times as the order of the directions allows. Chains of
    the first direction leave a cell only along its diagonal of the grid, to cells processed before
    it, so each cell is splatted and then blurred at once. Chains of the third direction leave it
    along its column, to cells processed after it, so the remaining directions, which stay within a
    cell, follow at once. (Cells of several a and b have no diagonals: they are splatted first.)
    """
    cells_0, bounds_0, cells_1, bounds_1, cells_2, bounds_2, cells_3, bounds_3, exact = stages
    num_directions = len(segments)
    spare = cell_begin[-1] + part
    for at in range(bounds_0[part], bounds_0[part + 1]):
        cell = cells_0[at]
        _splat_cell(values, maps, first_row, cell_begin[cell], cell_begin[cell + 1],
                    entry_begin[cell], entry_begin[cell + 1], splat_pixel, splat_vertex,
                    splat_weight)  # fmt: skip
    wait(barrier, parts)
    for at in range(bounds_1[part], bounds_1[part + 1]):
        cell = cells_1[at]
        if exact[cell]:
            _splat_cell(values, maps, first_row, cell_begin[cell], cell_begin[cell + 1],
                        entry_begin[cell], entry_begin[cell + 1], splat_pixel, splat_vertex,
                        splat_weight)  # fmt: skip
        _blur_cell(values, chains, segments[0, cell])
    wait(barrier, parts)
    for at in range(bounds_2[part], bounds_2[part + 1]):
        cell = cells_2[at]
        _fetch_cell(values, cell_begin[cell], cell_begin[cell + 1], spare)
        _blur_cell(values, chains, segments[1, cell])
    wait(barrier, parts)
    for at in range(bounds_3[part], bounds_3[part + 1]):
        cell = cells_3[at]
        _fetch_cell(values, cell_begin[cell], cell_begin[cell + 1], spare)
        for direction in range(2, num_directions):
            _blur_cell(values, chains, segments[direction, cell])
    wait(barrier, parts)


@jit
def filter_once(
    part: int, parts: int, barrier: Barrier, stages: Stages, values: Float32s, maps: Float32s,
    results: Float32s, cell_begin: Int64s, entry_begin: Int64s, splat_pixel: UInt32s,
    splat_vertex: UInt32s, splat_weight: Float32s, chains: UInt32s, segments: Int64s,
    slice_vertex: UInt32s, slice_weight: Float32s,
) -> None:  # fmt: skip
    """Filter ``maps`` (blocks, N, 8) into ``results``, which may be the same array."""
    blocks, num = maps.shape[0], maps.shape[1]
    corners = np.uint64(slice_vertex.shape[1])
    for block in range(blocks):
        _filter_block(part, parts, barrier, stages, values, maps, block * num, cell_begin,
                      entry_begin, splat_pixel,
                      splat_vertex, splat_weight, chains,
                      segments)  # fmt: skip
        for pixel in range(np.uint64(part * num // parts), np.uint64((part + 1) * num // parts)):
            value = broadcast(np.float32(0))
            for corner in range(corners):
                weight = broadcast(slice_weight[pixel, corner])
                value = fma(weight, load(values, slice_vertex[pixel, corner]), value)
            store(results, np.uint64(block * num) + pixel, value)
        wait(barrier, parts)


@jit
def blur_mass(
    part: int, parts: int, barrier: Barrier, stages: Stages, values: Float32s, ones: Float32s,
    cell_begin: Int64s, entry_begin: Int64s, splat_pixel: UInt32s, splat_vertex: UInt32s,
    splat_weight: Float32s, chains: UInt32s, segments: Int64s, slice_vertex: UInt32s,
    slice_weight: Float32s, columns: Int64s, alphas: Float32s, norms: Float32s,
) -> None:  # fmt: skip
    """Filter a map of ones with each term into ``norms`` (terms, N)."""
    num = norms.shape[1]
    _filter_block(part, parts, barrier, stages, values, ones, 0, cell_begin, entry_begin,
                  splat_pixel, splat_vertex, splat_weight, chains, segments)  # fmt: skip
    for pixel in range(part * num // parts, (part + 1) * num // parts):
        for term in range(len(alphas)):
            norm = np.float32(0)
            for corner in range(columns[term], columns[term + 1]):
                norm += slice_weight[pixel, corner] * values[slice_vertex[pixel, corner], 0]
            norms[term, pixel] = norm * alphas[term]


@jit
def fold_weights(
    part: int, parts: int, barrier: Barrier, splat_weight: Float32s, splat_pixel: UInt32s,
    slice_weight: Float32s, columns: Int64s, before: Float32s, after: Float32s,
) -> None:  # fmt: skip
    """Multiply normalisation, term weights and the filter's constant into the barycentric weights.

    ``before``, ``after``: (terms, N) factors of the input and the output of each term's filter.
    """
    num = len(slice_weight)
    for term in range(len(before)):
        first, num_entries = columns[term] * num, (columns[term + 1] - columns[term]) * num
        for entry in range(
            first + part * num_entries // parts, first + (part + 1) * num_entries // parts
        ):
            splat_weight[entry] *= before[term, splat_pixel[entry]]
        for pixel in range(part * num // parts, (part + 1) * num // parts):
            for corner in range(columns[term], columns[term + 1]):
                slice_weight[pixel, corner] *= after[term, pixel]


@jit
def update(
    part: int, parts: int, barrier: Barrier, unary: Float32s, messages: Float32s, maps: Float32s,
    strength: float, mixing: Float32s, row: Float32s, changes: Float32s,
) -> None:  # fmt: skip
    """``maps`` = softmax(-unary - mu messages), all (blocks, N, 8); messages may be maps.

    mu is -``strength`` times the identity, or the transpose of ``mixing`` (C, blocks, 8) if that is
    not empty. ``changes`` (parts,): the largest change of a marginal in each part. ``row``: (parts,
    blocks or more, 8) workspace.
    """
    blocks, num = unary.shape[0], unary.shape[1]
    potts = broadcast(np.float32(strength))
    change = broadcast(np.float32(0))
    lowest = broadcast(np.float32(-3e38))
    first = part * row.shape[1]
    for pixel in range(np.uint64(part * num // parts), np.uint64((part + 1) * num // parts)):
        highest = lowest
        for block in range(blocks):
            at = np.uint64(block * num) + pixel
            if len(mixing) == 0:
                score = subtract(multiply(potts, load(messages, at)), load(unary, at))
            else:
                score = subtract(broadcast(np.float32(0)), load(unary, at))
                for source in range(len(mixing)):
                    message = messages[source // LANES, pixel, source % LANES]
                    score = fma(broadcast(-message), load(mixing, source * blocks + block), score)
            store(row, first + block, score)
            highest = maximum(highest, score)
        peak = broadcast(horizontal_max(highest))
        mass = broadcast(np.float32(0))
        for block in range(blocks):
            power = exp(subtract(load(row, first + block), peak))
            store(row, first + block, power)
            mass = add(mass, power)
        inverse = broadcast(np.float32(1) / horizontal_sum(mass))
        for block in range(blocks):
            at = np.uint64(block * num) + pixel
            new = multiply(inverse, load(row, first + block))
            change = maximum(change, absolute(subtract(new, load(maps, at))))
            store(maps, at, new)
    changes[part] = horizontal_max(change)


@jit
def divergence(
    part: int, parts: int, barrier: Barrier, unary: Float32s, messages: Float32s, maps: Float32s,
    strength: float, mixing: Float32s, shares: Float64s,
) -> None:  # fmt: skip
    """``shares`` (ceil(N / SHARE),): partial sums over pixels of q log q + q u + q (mu m) / 2."""
    blocks, num = unary.shape[0], unary.shape[1]
    for share in range(part, len(shares), parts):
        amount = 0.0
        for pixel in range(share * SHARE, min((share + 1) * SHARE, num)):
            for block in range(blocks):
                for lane in range(LANES):
                    q = np.float64(maps[block, pixel, lane])
                    if q == 0:
                        continue
                    pair = -strength * messages[block, pixel, lane]
                    if len(mixing) > 0:
                        pair = 0.0
                        for source in range(len(mixing)):
                            message = messages[source // LANES, pixel, source % LANES]
                            pair += mixing[source, block, lane] * message
                    amount += q * (np.log(q) + unary[block, pixel, lane] + pair / 2)
        shares[share] = amount


@jit
def load_unary(
    part: int, parts: int, barrier: Barrier, given: Float32s, likely: bool, tolerance: float,
    order: Int64s, unary: Float32s, wrong: npt.NDArray[np.bool_],
) -> None:  # fmt: skip
    """Convert ``given`` (C, N) in raster order to energies (blocks, N, 8).

    The lowest energy of each pixel becomes 0. ``given`` holds energies or, if ``likely``,
    probabilities. ``wrong`` (parts,) is set where a part holds values that
    :mod:`upscore.crf.validation` refuses. Padding classes get an energy that keeps their marginals
    at 0.
    """
    num_classes, num = given.shape
    blocks = len(unary)
    most = broadcast(MAX_ENERGY)
    least = broadcast(MIN_PROBABILITY)
    filler = np.float32(0) if likely else np.float32(3e38)
    bad = False
    first, after = part * num // parts, (part + 1) * num // parts
    for begin in range(first, after, STRIP):
        end = min(begin + STRIP, after)
        for c in range(blocks * LANES):
            block, lane = c // LANES, c % LANES
            for pixel in range(begin, end):
                value = filler
                if c < num_classes:
                    value = given[c, order[pixel]]
                unary[block, pixel, lane] = value
        for pixel in range(begin, end):
            low = load(unary, pixel)
            if likely:
                mass = low
                high = low
                for block in range(1, blocks):
                    row = load(unary, block * num + pixel)
                    low, high, mass = minimum(low, row), maximum(high, row), add(mass, row)
                mass_sum = horizontal_sum(mass)
                bad = bad or not abs(mass_sum - np.float32(1)) <= tolerance
                bad = bad or not horizontal_min(low) >= np.float32(0)
                peak = log(maximum(broadcast(horizontal_max(high)), least))
                for block in range(blocks):
                    row = load(unary, block * num + pixel)
                    energy = subtract(peak, log(maximum(row, least)))
                    store(unary, block * num + pixel, energy)
            else:
                for block in range(1, blocks):
                    low = minimum(low, load(unary, block * num + pixel))
                base = broadcast(horizontal_min(low))
                check = broadcast(np.float32(0))
                for block in range(blocks):
                    row = subtract(load(unary, block * num + pixel), base)
                    # 0 times what is not finite is NaN
                    check = fma(broadcast(np.float32(0)), row, check)
                    store(unary, block * num + pixel, minimum(row, most))
                bad = bad or horizontal_sum(check) != np.float32(0)  # NaN is
        for c in range(num_classes, blocks * LANES):
            for pixel in range(begin, end):
                unary[c // LANES, pixel, c % LANES] = MAX_ENERGY
    wrong[part] = bad


@jit
def store_marginals(
    part: int, parts: int, barrier: Barrier, maps: Float32s, order: Int64s, results: Float32s
) -> None:
    """Convert marginals (blocks, N, 8) in the order of the lattice to (C, N) in raster order."""
    num_classes, num = results.shape
    first, after = part * num // parts, (part + 1) * num // parts
    for begin in range(first, after, STRIP):
        end = min(begin + STRIP, after)
        for c in range(num_classes):
            for pixel in range(begin, end):
                results[c, order[pixel]] = maps[c // LANES, pixel, c % LANES]
