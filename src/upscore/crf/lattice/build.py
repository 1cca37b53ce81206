"""Build the permutohedral lattice of an image's features: vertices, pixels and neighbours.

Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice"
(Eurographics 2010). Features of D dimensions are lifted into the hyperplane of D+1 coordinates that
sum up to zero (section 3.1), and each pixel belongs to the D+1 vertices of the simplex around it
with barycentric weights. Filtering is splat (pixels to vertices), blur with [1/2, 1, 1/2] along
each of the D+1 lattice directions, slice (vertices to pixels). This module builds the lattice;
:mod:`upscore.crf.lattice.filter` filters with it.

The filter is bound by memory access, so the data are laid out as follows:

- Vertices are grouped into *cells*, blocks of the lattice in its first two features (tiles of the
  image, for position features). Entries (pixel, corner of its simplex) are first sorted into their
  cells; each cell then has a small hash table of its own, which stays in the cache, and threads
  process cells without races. Only the first three of the D+1 directions leave a cell.
- The blur works in place along *chains*, runs of vertices that are neighbours in one direction. A
  vertex without such neighbours is in no chain and costs nothing. Chains are listed by length
  (2, 3, 4, longer), so that the short ones need no branches.
- Splatting processes a cell's entries in the order of the pixels, so that pixel rows are read in
  order while the cell's vertices stay in the cache.
"""

# ruff: noqa: ARG001  (run_parallel passes the same first three arguments to all kernels)
# mypy: disable-error-code="assignment,return-value,no-any-return"
# (kernels mix Python and numpy integers, which the compiler unifies)

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from upscore.core.jit.compile import jit, jit_inline, jit_strict
from upscore.core.jit.threads import Barrier, run_parallel
from upscore.errors import DataError

Float32s = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]
UInt32s = npt.NDArray[np.uint32]

ENTRIES_PER_CELL = 2048
"""Target average: a cell's vertices with eight classes then fit into a core's L1 and L2 caches."""

MAX_FEATURE = 30000.0
"""Beyond this, float32 is too coarse to place a pixel inside its simplex."""

SEGMENTS = 5
"""Offsets of a cell's chains in one direction: of length 2, 3, 4 and more, and the end."""

Stages = tuple[
    Int64s, Int64s, Int64s, Int64s, Int64s, Int64s, Int64s, Int64s, npt.NDArray[np.bool_]
]
"""Cells and their bounds for each thread, for each of four stages, and which cells are exact."""

NOT_FOUND = np.uint32(0xFFFFFFFF)
NO_KEY = np.int64(-(2**63))
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""2^64 / golden ratio: the multiplier of Fibonacci hashing."""


@dataclass(frozen=True)
class Lattice:
    """The lattices of all pairwise terms of one image, concatenated, ready for filtering.

    E = N * corners entries, M vertices, L cells; ``corners`` is the sum of D+1 over the terms.
    """

    columns: Int64s
    """(terms + 1,) where each term's corners begin."""
    slice_vertex: UInt32s
    """(N, corners) the vertices of each pixel."""
    slice_weight: Float32s
    """(N, corners) barycentric weights."""
    splat_pixel: UInt32s
    """(E,) the pixels of each cell's entries, cell by cell."""
    splat_vertex: UInt32s
    """(E,) their vertices."""
    splat_weight: Float32s
    """(E,) and their weights."""
    entry_begin: Int64s
    """(L + 1,) where each cell's entries begin."""
    cell_begin: Int64s
    """(L + 1,) where each cell's vertices begin."""
    chains: UInt32s
    """Vertices of all chains; those longer than 4 are preceded by their length."""
    segments: Int64s
    """(max D+1, L, SEGMENTS) into ``chains``."""
    stages: Stages
    """The cells of each stage of the filter, in order: see :mod:`upscore.crf.lattice.filter`."""

    @property
    def num_vertices(self) -> int:
        return int(self.cell_begin[-1])


def build_lattice(features: list[Float32s], order: Int64s, *, threads: int) -> Lattice:
    """Build the lattices of one or more terms' features, (N, D) each, pixels in ``order`` (N,).

    Raises:
        DataError: features too far apart for their deviations, or more entries than 2^32.
    """
    num = len(order)
    columns = np.cumsum([0, *(rows.shape[1] + 1 for rows in features)])
    corners = int(columns[-1])
    if num * corners >= 2**32:
        raise DataError(f"{num} pixels x {corners} corners are too many; cut the image into parts")
    slice_vertex = np.empty(num * corners, np.uint32)
    slice_weight = np.empty(num * corners, np.float32)
    splat_pixel = np.empty(num * corners, np.uint32)
    splat_vertex = np.empty(num * corners, np.uint32)
    splat_weight = np.empty(num * corners, np.float32)
    parts = []
    vertices = 0
    for rows, column in zip(features, columns.tolist(), strict=False):
        part = _build_term(
            rows, order, corners, column, vertices, num * column,
            slice_vertex, slice_weight, splat_pixel, splat_vertex, splat_weight, threads,
        )  # fmt: skip
        parts.append(part)
        vertices += part.num_vertices
    chains, segments = _join_chains(parts, int(np.diff(columns).max()))
    entry_begin = np.concatenate([part.entry_begin for part in parts] + [[num * corners]])
    cell_begin = np.concatenate([part.cell_begin for part in parts] + [[vertices]])
    return Lattice(
        columns=columns,
        slice_vertex=slice_vertex.reshape(num, corners),
        slice_weight=slice_weight.reshape(num, corners),
        splat_pixel=splat_pixel,
        splat_vertex=splat_vertex,
        splat_weight=splat_weight,
        entry_begin=entry_begin,
        cell_begin=cell_begin,
        chains=chains,
        segments=segments,
        stages=_stages(parts, entry_begin, cell_begin, threads),
    )


@dataclass(frozen=True)
class _TermLattice:
    num_vertices: int
    entry_begin: Int64s
    cell_begin: Int64s
    chains: list[UInt32s]
    segments: Int64s
    grid: Int64s
    """(cells, 2) a and b of each cell."""
    exact: bool
    """Whether a cell is a single pair of a and b."""


def _stages(
    parts: list[_TermLattice], entry_begin: Int64s, cell_begin: Int64s, threads: int
) -> Stages:
    """The four stages of the filter: see :func:`upscore.crf.lattice.filter._filter_block`."""
    grid = np.concatenate([part.grid for part in parts])
    counts = [len(part.grid) for part in parts]
    exact = np.repeat([part.exact for part in parts], counts)
    term = np.repeat(np.arange(len(parts)), counts)
    a, b = grid.T
    # what a cell costs: its entries, which are splatted, and its vertices, which are blurred
    splat, blur = np.diff(entry_begin), 2 * np.diff(cell_begin)
    everything = np.arange(len(a))

    def stage(
        work: Int64s, group: Int64s, within: Int64s, chosen: Int64s = everything
    ) -> tuple[Int64s, Int64s]:
        """Cells sorted by group; no group is divided among threads."""
        cells = chosen[np.lexsort((within[chosen], group[chosen], term[chosen]))]
        new = np.diff(term[cells] * 2**40 + group[cells], prepend=-1) != 0
        ends = np.append(np.flatnonzero(new), len(cells))
        total = np.append(0, np.cumsum(work[cells]))
        return cells.astype(np.int64), ends[_even(total[ends], threads)].astype(np.int64)

    diagonal = a - b + 2**20
    return (
        *stage(splat, everything, everything, np.flatnonzero(~exact)),
        *stage(splat * exact + blur, np.where(exact, diagonal, everything), a),
        *stage(blur, everything, a),
        *stage(2 * blur, a, -b),
        exact,
    )


def _join_chains(parts: list[_TermLattice], num_directions: int) -> tuple[UInt32s, Int64s]:
    pieces: list[UInt32s] = []
    num_cells = sum(len(part.cell_begin) for part in parts)
    segments = np.zeros((num_directions, num_cells, SEGMENTS), np.int64)
    at = cell = 0
    for part in parts:
        after = cell + len(part.cell_begin)
        for direction, chain in enumerate(part.chains):
            segments[direction, cell:after] = part.segments[direction] + at
            pieces.append(chain)
            at += len(chain)
        cell = after
    return np.concatenate(pieces), segments


def _even(work: Int64s, parts: int) -> Int64s:
    """Bounds of ``parts`` runs of about equal work, from the cumulative sum (n + 1,)."""
    shares = work[0] + (work[-1] - work[0]) * np.arange(parts + 1) / parts
    bounds: Int64s = np.searchsorted(work, shares).astype(np.int64)
    bounds[0], bounds[-1] = 0, len(work) - 1
    return bounds


def _build_term(
    rows: Float32s,
    order: Int64s,
    corners: int,
    column: int,
    first_vertex: int,
    first_entry: int,
    slice_vertex: UInt32s,
    slice_weight: Float32s,
    splat_pixel: UInt32s,
    splat_vertex: UInt32s,
    splat_weight: Float32s,
    threads: int,
) -> _TermLattice:
    num, dimensions = rows.shape
    num_entries = num * (dimensions + 1)
    # column by column: numpy reduces the first axis of narrow arrays ten times slower
    low = np.array([column.min() for column in rows.T], np.float64)
    high = np.array([column.max() for column in rows.T], np.float64)
    if max(-low.min(), high.max()) > MAX_FEATURE:
        raise DataError(
            f"features reach {max(-low.min(), high.max()):.4g} standard deviations; expected at "
            f"most {MAX_FEATURE:g}: a deviation is too small for this image (leave its term out, "
            "or raise it)"
        )
    scale = scale_factors(dimensions)
    low, high = low * scale, high * scale
    strides = _strides(low, high)
    table_a, table_b, rank, block = _cells(low, high, num_entries)
    num_cells = rank.size
    grid = np.empty((num_cells, 2), np.int64)
    grid[rank.ravel()] = np.argwhere(rank >= 0)

    # each entry's key and cell, in the order of the pixels
    keys = np.empty(num_entries, np.int64)
    cells = np.empty(num_entries, np.uint32)
    counts = np.zeros((threads, num_cells), np.int64)
    run_parallel(
        _place, threads, rows, order, scale.astype(np.float32), strides,
        table_a[0], table_a[1], table_b[0], table_b[1], rank,
        corners, column, keys, cells, slice_weight, counts,
    )  # fmt: skip
    # sorted into cells; within a cell still in the order of the pixels
    entry_begin = np.zeros(num_cells + 1, np.int64)
    np.cumsum(counts.sum(axis=0), out=entry_begin[1:])
    offsets = entry_begin[:-1] + np.cumsum(counts, axis=0) - counts
    sorted_keys = np.empty(num_entries, np.int64)
    sorted_entries = np.empty(num_entries, np.uint32)
    run_parallel(_sort, threads, corners, column, dimensions + 1, keys, cells, offsets,
                 sorted_keys, sorted_entries)  # fmt: skip
    del keys, cells  # here and below: a third of the memory at its peak
    # a cell's different keys, counted
    bounds = _even(entry_begin, threads)
    num_unique = np.zeros(num_cells, np.int64)
    local = splat_vertex[first_entry : first_entry + num_entries]
    run_parallel(_unique, threads, bounds, entry_begin, sorted_keys, local, num_unique)
    cell_begin = np.zeros(num_cells + 1, np.int64)
    np.cumsum(num_unique, out=cell_begin[1:])
    num_vertices = int(cell_begin[-1])
    sizes = np.int64(1) << np.ceil(np.log2(np.maximum(num_unique, 1) * 1.6 + 1)).astype(np.int64)
    table_begin = np.zeros(num_cells + 1, np.int64)
    np.cumsum(sizes, out=table_begin[1:])
    table_keys = np.empty(table_begin[-1], np.int64)
    table_vertices = np.empty(table_begin[-1], np.uint32)
    vertex_keys = np.empty(num_vertices, np.int64)
    run_parallel(
        _number, threads, bounds, corners, first_vertex, entry_begin, sorted_keys, sorted_entries,
        num_unique, cell_begin, table_begin, table_keys, table_vertices, vertex_keys, slice_vertex,
        slice_weight, splat_pixel[first_entry : first_entry + num_entries], local,
        splat_weight[first_entry : first_entry + num_entries],
    )  # fmt: skip
    del sorted_keys, sorted_entries
    num_directions = dimensions + 1
    workers = min(threads, num_directions)
    segments = np.zeros((num_directions, num_cells, SEGMENTS), np.int64)
    chains = np.empty((num_directions, num_vertices + num_vertices // 5 + 1), np.uint32)
    lengths = np.zeros(num_directions, np.int64)
    following = np.empty((num_directions, num_vertices), np.uint32)
    followed = np.zeros((num_directions, num_vertices), np.bool_)
    run_parallel(
        _link, threads, bounds, grid, strides, rank, block == 1, cell_begin, vertex_keys,
        table_begin, table_keys, table_vertices, following, followed,
    )  # fmt: skip
    del table_keys, table_vertices, vertex_keys
    scratch = np.empty((workers, 4, num_vertices + num_vertices // 5 + 1), np.uint32)
    run_parallel(_chain, workers, first_vertex, cell_begin, following, followed, scratch, chains,
                 lengths, segments)  # fmt: skip
    return _TermLattice(
        num_vertices=num_vertices,
        entry_begin=entry_begin[:-1] + first_entry,
        cell_begin=cell_begin[:-1] + first_vertex,
        grid=grid,
        exact=block == 1,
        chains=[chains[j, : lengths[j]] for j in range(num_directions)],
        segments=segments,
    )


def scale_factors(dimensions: int) -> npt.NDArray[np.float64]:
    """Scale factors (D,) of the features before they are lifted (Adams et al., section 3.1).

    The expected deviation of the filter is rounded to float32 first, as in the reference C++ code.
    """
    deviation = float(np.float32(np.sqrt(2 / 3) * (dimensions + 1)))
    i = np.arange(dimensions)
    return deviation / np.sqrt((i + 1) * (i + 2))


def _strides(low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> Int64s:
    """Multipliers that combine a vertex's D coordinates into one number, its key.

    Keys are linear, so a neighbour's key is the vertex's own plus a constant. They are unique if
    the product of the coordinates' ranges is below 2^63 (always so for images); otherwise the
    multipliers are random, and some two of M vertices share a key with probability M^2 / 2^64.
    """
    dimensions = len(low)
    strides = np.empty(dimensions, np.int64)
    reach = 1
    for j in range(dimensions):
        # coordinate 0 is the sum of all scaled features, coordinate j that of those from j on,
        # less j times the one before
        span = float((high[j:] - low[j:]).sum() + (j * (high[j - 1] - low[j - 1]) if j else 0))
        strides[j] = reach if reach < 2**63 else 0
        reach *= int(np.ceil(span)) + 8 * (dimensions + 1)
    if reach >= 2**63:
        strides = np.random.default_rng(0).integers(-(2**62), 2**62, dimensions) | 1
    return strides


def _cells(
    low: npt.NDArray[np.float64], high: npt.NDArray[np.float64], num_entries: int
) -> tuple[tuple[int, Int64s], tuple[int, Int64s], Int64s, int]:
    """The grid of cells over the first two differences of coordinates, divided by D+1.

    a = (c0 - c1) / (D+1) and b = (c0 - c2) / (D+1) are whole numbers. a depends on the first
    feature only, b on the first two; directions from the fourth on change neither. Returns for a
    and for b the lowest value and a table of grid lines; the grid of cell numbers, along a Z-order
    curve so that neighbouring cells are close in memory; and how many values of a and b a cell
    spans.
    """
    sides = len(low) + 1
    ranges = []
    for ends in (
        (2 * low[0], 2 * high[0]),
        (low[0] + 3 * low[1], high[0] + 3 * high[1]) if len(low) > 1 else (0.0, 0.0),
    ):
        first = int(np.floor(ends[0] / sides)) - 3
        ranges.append((first, int(np.ceil(ends[1] / sides)) + 4 - first))
    wanted = max(1.0, num_entries / ENTRIES_PER_CELL)
    block = max(1, int(np.sqrt(ranges[0][1] * ranges[1][1] / wanted)))
    longest = max(ranges[0][1], ranges[1][1])
    block = max(block, int(longest / (4 * wanted + 64)))
    tables = [(first, np.arange(length, dtype=np.int64) // block) for first, length in ranges]
    shape = (int(tables[0][1][-1]) + 1, int(tables[1][1][-1]) + 1)
    a, b = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    curve = np.zeros(shape, np.int64)
    for bit in range(16):
        curve |= ((a >> bit) & 1) << (2 * bit + 1) | ((b >> bit) & 1) << (2 * bit)
    rank = np.empty(curve.size, np.int64)
    rank[np.argsort(curve, axis=None, kind="stable")] = np.arange(curve.size)
    return tables[0], tables[1], rank.reshape(shape), block


@jit_strict
def _place(
    part: int, parts: int, barrier: Barrier, rows: Float32s, order: Int64s, scale: Float32s,
    strides: Int64s, first_a: int, table_a: Int64s, first_b: int, table_b: Int64s, rank: Int64s,
    corners: int, column: int, keys: Int64s, cells: UInt32s, slice_weight: Float32s,
    counts: Int64s,
) -> None:  # fmt: skip
    """Keys, cells and barycentric weights of the pixels' simplices (Adams et al., section 3.2).

    Pixels on the border of two simplices are common (all of column 0 are), and rounding decides
    which vertices they create. So each operation is rounded as in the reference C++ code.
    """
    num = len(order)
    d = rows.shape[1]
    sides = np.float32(d + 1)
    down = np.float32(1) / sides
    elevated = np.empty(d + 1, np.float32)
    remainder = np.empty(d + 1, np.float32)
    zero = np.empty(d + 1, np.int64)
    rank_of = np.empty(d + 1, np.int64)
    by_rank = np.empty(d + 1, np.int64)
    weights = np.empty(d + 2, np.float32)
    stride_sum = strides.sum()
    for i in range(part * num // parts, (part + 1) * num // parts):
        pixel = order[i]
        running = np.float32(0)
        for j in range(d, 0, -1):
            scaled = rows[pixel, j - 1] * scale[j - 1]
            elevated[j] = running - np.float32(j) * scaled
            running += scaled
        elevated[0] = running
        # the nearest vertex of remainder 0 in each coordinate
        excess = 0
        for j in range(d + 1):
            nearest = np.rint(elevated[j] * down)
            zero[j] = np.int64(nearest) * (d + 1)
            excess += np.int64(nearest)
            remainder[j] = elevated[j] - nearest * sides
            rank_of[j] = 0
        for j in range(d):
            for k in range(j + 1, d + 1):
                if remainder[j] < remainder[k]:
                    rank_of[j] += 1
                else:
                    rank_of[k] += 1
        # back into the hyperplane: change the coordinates with the largest rounding error
        for j in range(d + 1):
            r = rank_of[j] + excess
            if r < 0:
                r += d + 1
                zero[j] += d + 1
                remainder[j] -= sides
            elif r > d:
                r -= d + 1
                zero[j] -= d + 1
                remainder[j] += sides
            rank_of[j] = r
            by_rank[r] = j
        # differences of neighbouring ranks are the barycentric weights
        for j in range(d + 1):
            weights[j] = remainder[by_rank[j]] * down
        base = i * corners + column
        for k in range(1, d + 1):
            slice_weight[base + k] = max(weights[d - k] - weights[d - k + 1], np.float32(0))
        slice_weight[base] = max(np.float32(1) + weights[d] - weights[0], np.float32(0))
        key = np.int64(0)
        for j in range(d):
            key += zero[j] * strides[j]
        a = (zero[0] - zero[1]) // (d + 1) - first_a
        b = np.int64(0) - first_b
        if d > 1:
            b = (zero[0] - zero[2]) // (d + 1) - first_b
        at = i * (d + 1)
        for k in range(d + 1):
            if k:
                # corner k: one more in all coordinates, and d + 1 less in coordinate j
                j = by_rank[d - k + 1]
                key += stride_sum
                if j < d:
                    key -= (d + 1) * strides[j]
                if j == 0:
                    a -= 1
                    if d > 1:
                        b -= 1
                elif j == 1:
                    a += 1
                elif j == 2:
                    b += 1
            keys[at + k] = key
            cell = rank[table_a[a], table_b[b]]
            cells[at + k] = cell
            counts[part, cell] += 1


@jit
def _sort(
    part: int, parts: int, barrier: Barrier, corners: int, column: int, sides: int, keys: Int64s,
    cells: UInt32s, offsets: Int64s, sorted_keys: Int64s, sorted_entries: UInt32s,
) -> None:  # fmt: skip
    num = len(keys) // sides
    for i in range(part * num // parts, (part + 1) * num // parts):
        for k in range(sides):
            cell = cells[i * sides + k]
            at = offsets[part, cell]
            offsets[part, cell] = at + 1
            sorted_keys[at] = keys[i * sides + k]
            sorted_entries[at] = i * corners + column + k


@jit_inline
def _slot(key: int, mask: int) -> int:
    """The first slot to try for a key in a hash table of ``mask + 1`` slots."""
    mixed = np.uint64(key) * _SPREAD
    return np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(mask))


@jit
def _unique(
    part: int, parts: int, barrier: Barrier, bounds: Int64s, entry_begin: Int64s, keys: Int64s,
    local: UInt32s, num_unique: Int64s,
) -> None:  # fmt: skip
    """Number the unique keys of each cell in order of appearance.

    ``local``: the number of each entry's key. The unique keys overwrite the first of the cell's
    ``keys`` (never more than have been read).
    """
    mask = 4095
    table_keys = np.empty(mask + 1, np.int64)
    table_numbers = np.empty(mask + 1, np.uint32)
    for cell in range(bounds[part], bounds[part + 1]):
        begin, end = entry_begin[cell], entry_begin[cell + 1]
        table_numbers[:] = NOT_FOUND
        count = 0
        for entry in range(begin, end):
            key = keys[entry]
            slot = _slot(key, mask)
            while table_numbers[slot] != NOT_FOUND and table_keys[slot] != key:
                slot = (slot + 1) & mask
            number = np.int64(table_numbers[slot])
            if table_numbers[slot] == NOT_FOUND:
                number = count
                table_keys[slot] = key
                table_numbers[slot] = number
                keys[begin + number] = key
                count += 1
                if 2 * count > mask:
                    mask = 2 * mask + 1
                    table_keys = np.empty(mask + 1, np.int64)
                    table_numbers = np.empty(mask + 1, np.uint32)
                    table_numbers[:] = NOT_FOUND
                    for old in range(count):
                        place = _slot(keys[begin + old], mask)
                        while table_numbers[place] != NOT_FOUND:
                            place = (place + 1) & mask
                        table_keys[place] = keys[begin + old]
                        table_numbers[place] = old
            local[entry] = number
        num_unique[cell] = count


@jit
def _number(
    part: int, parts: int, barrier: Barrier, bounds: Int64s, corners: int, first_vertex: int,
    entry_begin: Int64s, keys: Int64s, entries: UInt32s, num_unique: Int64s, cell_begin: Int64s,
    table_begin: Int64s, table_keys: Int64s, table_vertices: UInt32s, vertex_keys: Int64s,
    slice_vertex: UInt32s, slice_weight: Float32s, splat_pixel: UInt32s, splat_vertex: UInt32s,
    splat_weight: Float32s,
) -> None:  # fmt: skip
    """Turn numbers within a cell (``splat_vertex``) into vertex indices; fill the hash tables."""
    for cell in range(bounds[part], bounds[part + 1]):
        begin, base = entry_begin[cell], cell_begin[cell]
        for entry in range(begin, entry_begin[cell + 1]):
            which = entries[entry]
            vertex = first_vertex + base + splat_vertex[entry]
            slice_vertex[which] = vertex
            splat_vertex[entry] = vertex
            splat_weight[entry] = slice_weight[which]
            splat_pixel[entry] = which // np.uint32(corners)
        first, mask = table_begin[cell], table_begin[cell + 1] - table_begin[cell] - 1
        table_keys[first : first + mask + 1] = NO_KEY
        for number in range(num_unique[cell]):
            key = keys[begin + number]
            vertex_keys[base + number] = key
            slot = _slot(key, mask)
            while table_keys[first + slot] != NO_KEY:
                slot = (slot + 1) & mask
            table_keys[first + slot] = key
            table_vertices[first + slot] = base + number


@jit_inline
def _find(
    key: int, cell: int, table_begin: Int64s, table_keys: Int64s, table_vertices: UInt32s
) -> int:
    """The vertex of a cell with this key, or NOT_FOUND."""
    first = table_begin[cell]
    mask = table_begin[cell + 1] - first - 1
    slot = _slot(key, mask)
    there = table_keys[first + slot]
    while there != key and there != NO_KEY:
        slot = (slot + 1) & mask
        there = table_keys[first + slot]
    return table_vertices[first + slot] if there == key else NOT_FOUND


@jit
def _link(
    part: int, parts: int, barrier: Barrier, bounds: Int64s, grid: Int64s, strides: Int64s,
    rank: Int64s, exact: bool, cell_begin: Int64s, vertex_keys: Int64s, table_begin: Int64s,
    table_keys: Int64s, table_vertices: UInt32s, following: UInt32s,
    followed: npt.NDArray[np.bool_],
) -> None:  # fmt: skip
    """The next vertex in each direction, (D+1, M), and whether a vertex is the next of another.

    The first direction is reversed, so that a and b never increase along a chain.
    """
    d = len(strides)
    for cell in range(bounds[part], bounds[part + 1]):
        a, b = grid[cell, 0], grid[cell, 1]
        for direction in range(d + 1):
            step = -strides.sum()
            if direction < d:
                step += (d + 1) * strides[direction]
            if direction == 0:
                step = -step
            first_a = a - 1 if direction < 2 else a
            first_b = b - 1 if d > 1 and (direction == 0 or direction == 2) else b
            for vertex in range(cell_begin[cell], cell_begin[cell + 1]):
                found = NOT_FOUND
                # a cell that spans several values of a and b may hold the neighbour itself
                for at_a in range(first_a, a + 1):
                    for at_b in range(first_b, b + 1):
                        if exact and (at_a != first_a or at_b != first_b):
                            continue
                        if at_a >= 0 and at_b >= 0 and found == NOT_FOUND:
                            found = _find(vertex_keys[vertex] + step, rank[at_a, at_b], table_begin,
                                          table_keys, table_vertices)  # fmt: skip
                following[direction, vertex] = found
                if found != NOT_FOUND:
                    followed[direction, found] = True


@jit
def _chain(
    part: int, parts: int, barrier: Barrier, first_vertex: int, cell_begin: Int64s,
    following: UInt32s, followed: npt.NDArray[np.bool_], scratch: UInt32s, chains: UInt32s,
    lengths: Int64s, segments: Int64s,
) -> None:  # fmt: skip
    """List the chains of each direction; a chain belongs to the cell of its first vertex."""
    lists = scratch[part]
    sizes = np.zeros(4, np.int64)
    for direction in range(part, len(lengths), parts):
        next_vertex = following[direction]
        has_previous = followed[direction]
        at = 0
        for cell in range(len(cell_begin) - 1):
            sizes[:] = 0
            for vertex in range(cell_begin[cell], cell_begin[cell + 1]):
                if has_previous[vertex] or next_vertex[vertex] == NOT_FOUND:
                    continue
                length = 1
                last = next_vertex[vertex]
                while last != NOT_FOUND:
                    length += 1
                    last = next_vertex[last]
                kind = min(length, 5) - 2
                put = sizes[kind]
                if kind == 3:
                    lists[kind, put] = length
                    put += 1
                last = np.uint32(vertex)
                for _ in range(length):
                    lists[kind, put] = first_vertex + last
                    put += 1
                    last = next_vertex[last]
                sizes[kind] = put
            for kind in range(4):
                segments[direction, cell, kind] = at
                chains[direction, at : at + sizes[kind]] = lists[kind, : sizes[kind]]
                at += sizes[kind]
            segments[direction, cell, 4] = at
        lengths[direction] = at
