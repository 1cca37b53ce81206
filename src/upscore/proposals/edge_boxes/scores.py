"""The score of a box: mass of the edge groups that it holds whole (Zitnick, Dollar 2014, 3.2).

A box here is four pixel indices x0, y0, x1, y1, the outermost rows and columns that belong to it.
Its score is

    (sum of (1 - w_g) m_g  -  mass in the inner box) / (w // 2 + h // 2) ** kappa,

w = x1 - x0, h = y1 - y0, over the groups g inside. w_g is 1 for a group that lies on the box's
outermost rows or columns, otherwise the largest product of affinities over paths from such a group,
0 where it is below 0.05 (equations 2 to 4, with the released code's norm, which makes scores
2 ** (1 + kappa) times the paper's). Paths do not depend on the box, so that they are found once for
each group; the released code leaves those out that step over the box's outline and back.
"""

# mypy: disable-error-code="assignment,arg-type,return-value,no-any-return"
# (kernels mix Python's and numpy's numbers, which the compiler makes the same)

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from upscore.core.jit.compile import jit, jit_inline
from upscore.edges.maps import Map
from upscore.proposals.edge_boxes.groups import (
    LEAST_AFFINITY,
    Float32s,
    Groups,
    Int32s,
    longer,
)
from upscore.proposals.edge_boxes.parameters import EdgeBoxesParameters

NOTHING = np.float32(0)

MOST_PATHS = 256
"""Only the strongest paths from a group count; few groups of photos have so many."""


Int64s = npt.NDArray[np.int64]


class Tables(NamedTuple):
    """What boxes of one edge map are scored with; memory grows with pixels, not with boxes.

    Masses are whole numbers of a unit, so that sums over boxes of large photos stay exact, and
    equal in whichever order they are taken.

    Attributes:
        places: (H, W, 4) int32, what is known of each pixel, in one place of the memory:
            twice the number of runs that have started up to it, rows one after the other,
            and 1 more where it is part of a run; the same for columns; the mass of groups whose
            last pixel is not right of it or below; the strength not right of it or below.
        starts: (R + 1, 2) int64, of each run of pixels in a row, then in a column: where its
            entries in ``paths`` begin; first of the paths that end in groups whose last pixel is
            below the row or right of the column, then of the others. They stop where those of the
            next run begin.
        paths: (P, 2) int32, twice the group where a path from a run's group ends, and the mass
            there times the largest product of affinities on the way. Written out for each run, so
            that all that a box's side meets is one piece of memory.
        last: (G,) int64, the last pixel of each group, x * 2 ** 32 + y.
        norm: for each w // 2 + h // 2, unit / (...) ** kappa; 0 for 0.
    """

    places: Int32s
    starts: Int64s
    paths: Int32s
    last: Int64s
    norm: Float32s


Workspace = Int64s
"""(2 G,) int64: what one thread writes to while it scores boxes. Of each group the number of the
last box that met it times 2 ** 32, plus the mass that it lost there; and, to have it near, its
``last``. The first number of group 0 is that of the last box of all."""

GUARD = (1 << 62) + (1 << 31)
"""The bits above x and y in ``last``; a negative difference of either clears its bit."""


def build_tables(strength: Map, groups: Groups, parameters: EdgeBoxesParameters) -> Tables:
    """Tables of a thinned edge map (H, W) and its groups."""
    height, width = strength.shape
    total = float(strength.sum(dtype=np.float64))
    unit = 2.0 ** (math.ceil(math.log2(max(total, 1.0))) - 29)
    half = np.arange(height // 2 + width // 2 + 2, dtype=np.float64)
    half[0] = np.inf
    places = np.zeros((height, width, 4), np.int32)
    rows = _runs(groups.ids, places[..., 0])
    columns = _runs(groups.ids.T, places[..., 1].T)
    places[..., 1] += 2 * len(rows)
    mass = _sums(strength, groups, np.float32(parameters.edge_min_magnitude), unit, places)
    first, to, weight = _paths(groups)
    value = np.floor(weight * mass[to].astype(np.float64) + 0.5).astype(np.int32)
    starts = np.zeros((len(rows) + len(columns) + 1, 2), np.int64)
    _count_paths(rows, first, to, groups.last_y, starts[1 : len(rows) + 1])
    _count_paths(columns, first, to, groups.last_x, starts[len(rows) + 1 :])
    np.cumsum(starts, axis=0, out=starts)
    starts[:, 1] += starts[-1, 0]
    paths = np.empty((starts[-1, 1], 2), np.int32)
    _write_paths(rows, first, to, value, groups.last_y, starts, paths)
    _write_paths(columns, first, to, value, groups.last_x, starts[len(rows) :], paths)
    last = (groups.last_x.astype(np.int64) << 32) + groups.last_y
    norm = (unit / half**parameters.kappa).astype(np.float32)
    return Tables(places, starts, paths, last, norm)


def new_workspaces(tables: Tables, threads: int) -> Workspace:
    """Workspaces of several threads, one to a row."""
    count = tables.last.size
    size = -(-count // 4) * 8  # rows end where lines of the cache do
    workspaces = np.zeros((threads, size), np.int64)
    workspaces[:, 1 : 2 * count : 2] = tables.last
    return workspaces


@jit
def _count_paths(runs: Int32s, first: Int64s, to: Int32s, last: Int32s, counts: Int64s) -> None:
    """Of each run, the paths that end beyond its row or column, and the others."""
    for k in range(len(runs)):
        group, place = runs[k, 0], runs[k, 1]
        beyond = 0
        for path in range(first[group], first[group + 1]):
            beyond += np.int64(last[to[path]] > place)
        counts[k, 0], counts[k, 1] = beyond, first[group + 1] - first[group] - beyond


@jit
def _write_paths(
    runs: Int32s, first: Int64s, to: Int32s, value: Int32s, last: Int32s, starts: Int64s,
    paths: Int32s,
) -> None:  # fmt: skip
    for k in range(len(runs)):
        group, place = runs[k, 0], runs[k, 1]
        beyond, other = starts[k, 0], starts[k, 1]
        for path in range(first[group], first[group + 1]):
            if last[to[path]] > place:
                paths[beyond, 0], paths[beyond, 1] = 2 * to[path], value[path]
                beyond += 1
            else:
                paths[other, 0], paths[other, 1] = 2 * to[path], value[path]
                other += 1


@jit
def _paths(groups: Groups) -> tuple[Int64s, Int32s, Float32s]:
    """Paths from each group (Dijkstra 1959), the strongest first.

    Paths from group g are ``first[g]:first[g + 1]`` of the others: where they end, and the product
    of affinities on the way.
    """
    count = groups.mass.size
    first = np.zeros(count + 1, np.int64)
    capacity = 16 * count + MOST_PATHS
    path_to, path_weight = np.empty(capacity, np.int32), np.empty(capacity, np.float32)
    best = np.zeros(count, np.float32)
    open_groups = np.empty(count, np.int32)
    end = 0
    for start in range(1, count):
        if end + MOST_PATHS > capacity:
            capacity *= 2
            path_to, path_weight = longer(path_to, capacity), longer(path_weight, capacity)
        begin = end
        open_groups[0], best[start] = start, 1
        num_open = 1
        while num_open > 0 and end - begin < MOST_PATHS:
            at = 0
            for k in range(1, num_open):
                if best[open_groups[k]] > best[open_groups[at]]:
                    at = k
            group = open_groups[at]
            weight = best[group]
            num_open -= 1
            open_groups[at] = open_groups[num_open]
            path_to[end], path_weight[end] = group, weight
            best[group] = 2  # done: nothing is better
            end += 1
            for link in range(groups.first_link[group], groups.first_link[group + 1]):
                through = weight * groups.affinity[link]
                if through < LEAST_AFFINITY:
                    break
                other = groups.linked[link]
                if through > best[other]:
                    if best[other] == 0:
                        open_groups[num_open] = other
                        num_open += 1
                    best[other] = through
        for k in range(begin, end):
            best[path_to[k]] = 0
        for k in range(num_open):
            best[open_groups[k]] = 0
        first[start + 1] = end
    return first, path_to[:end].copy(), path_weight[:end].copy()


@jit
def _sums(strength: Map, groups: Groups, least: float, unit: float, places: Int32s) -> Int64s:
    """The masses of groups in units; the last two of ``places`` are filled."""
    height, width = strength.shape
    mass = np.zeros(groups.mass.size, np.int64)
    for y in range(height):
        along = 0
        for x in range(width):
            value = int(strength[y, x] / unit + 0.5)
            if groups.ids[y, x] > 0:
                mass[groups.ids[y, x]] += value
            if x > 0 and y > 0:  # as in the released code
                if strength[y, x] > least:
                    along += value
                places[y, x, 3] = places[y - 1, x, 3] + along
    for g in range(1, mass.size):
        places[groups.last_y[g], groups.last_x[g], 2] = mass[g]
    for y in range(1, height):  # no group is in the first row
        along = 0
        for x in range(width):
            along += places[y, x, 2]
            places[y, x, 2] = places[y - 1, x, 2] + along
    return mass


@jit
def _runs(ids: Int32s, code: Int32s) -> Int32s:
    """(N, 2) int32: group and row of each run along the second axis; ``code`` (H, W) becomes twice
    the number of runs that have started, and 1 more in a run."""
    height, width = ids.shape
    count = 0
    for y in range(height):
        before = 0
        for x in range(width):
            if ids[y, x] > 0 and ids[y, x] != before:
                count += 1
            before = ids[y, x]
            code[y, x] = 2 * count + (1 if before > 0 else 0)
    found = np.empty((count, 2), np.int32)
    count = 0
    for y in range(height):
        before = 0
        for x in range(width):
            if ids[y, x] > 0 and ids[y, x] != before:
                found[count, 0], found[count, 1] = ids[y, x], y
                count += 1
            before = ids[y, x]
    return found


@jit_inline
def _begin(code: int) -> int:
    """Of the runs from this pixel on."""
    return np.uint64((code >> 1) - (code & 1))


@jit_inline
def _end(code: int) -> int:
    """Of the runs up to this pixel."""
    return np.uint64(code >> 1)


@jit_inline
def score_box(
    tables: Tables,
    workspace: Workspace,
    x0: int,
    y0: int,
    x1: int,
    y1: int,
    least: float,
    moved: int,
) -> float:
    """The score where it is above ``least``, otherwise 0.

    Loops have no branches that depend on the groups: a wrong guess of the processor costs more
    than a step in vain.

    Args:
        moved: the side to begin with: 0 to 3 for the upper, lower, left and right one.
    """
    half_width, half_height = (x1 - x0) >> 1, (y1 - y0) >> 1
    inner_x, inner_y = x0 + (half_width >> 1), y0 + (half_height >> 1)
    left, top, right, bottom = np.uint64(x0), np.uint64(y0), np.uint64(x1), np.uint64(y1)
    inner_left, inner_top = np.uint64(max(inner_x - 1, 0)), np.uint64(max(inner_y - 1, 0))
    inner_right, inner_bottom = np.uint64(inner_x + half_width), np.uint64(inner_y + half_height)
    row, column, mass, strength = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3)
    places = tables.places
    # groups whose last pixel is on the box's outline do not count, in whichever way they are summed
    whole = (
        np.int64(places[bottom, right, mass])
        - np.int64(places[top, right, mass])
        - np.int64(places[bottom, left, mass])
        + np.int64(places[top, left, mass])
        - np.int64(places[inner_bottom, inner_right, strength])
        + np.int64(places[inner_top, inner_right, strength])
        + np.int64(places[inner_bottom, inner_left, strength])
        - np.int64(places[inner_top, inner_left, strength])
    )
    norm = tables.norm[np.uint64(half_width + half_height)]
    score = np.float32(whole) * norm
    if score > least:
        zero, one = np.uint64(0), np.uint64(1)
        starts, paths = tables.starts, tables.paths
        here = workspace[zero] + (np.int64(1) << 32)
        workspace[zero] = here
        guard = np.int64(GUARD)
        from_first = guard - (np.int64(x0 + 1) << 32) - np.int64(y0 + 1)
        to_last = guard + (np.int64(x1) << 32) + np.int64(y1)
        for k in range(4):
            side = (moved + k) & 3
            if side == 0:
                begin, end = _begin(places[top, left, row]), _end(places[top, right, row])
            elif side == 1:
                begin, end = _begin(places[bottom, left, row]), _end(places[bottom, right, row])
            elif side == 2:
                begin, end = _begin(places[top, left, column]), _end(places[bottom, left, column])
            else:
                begin, end = _begin(places[top, right, column]), _end(places[bottom, right, column])
            # of the upper and left sides, the paths to groups below or on the right
            half = np.uint64(side & 1)
            path, stop = np.uint64(starts[begin, half]), np.uint64(starts[end, half])
            while path < stop:
                other, lost = np.uint64(paths[path, zero]), here + paths[path, one]
                path += one
                last = workspace[other + one]
                inside = ((last + from_first) & (to_last - last) & guard) == guard
                before = max(workspace[other], here)
                after = max(before, lost)
                workspace[other] = after
                whole -= (after - before) if inside else 0
            score = np.float32(whole) * norm
            if score <= least:
                return NOTHING
    return score if score > least else NOTHING
