"""Edge groups: pixels of a thinned edge map joined into curves, and how curves continue each other.

Zitnick and Dollar, "Edge boxes", ECCV 2014, section 3.1; ties and orders are those of the released
code (columns one after the other), so that groups are its groups.

Group 0 means no group in all arrays here.
"""

# mypy: disable-error-code="assignment,arg-type,return-value"
# (kernels mix Python's and numpy's numbers, which the compiler makes the same)

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from upscore.core.jit.compile import jit, jit_inline
from upscore.edges.maps import PI, Map
from upscore.proposals.edge_boxes.parameters import EdgeBoxesParameters

Int32s = npt.NDArray[np.int32]
Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]

REACH = 2
"""Groups with pixels so near to each other (in rows and in columns) may continue each other."""

LEAST_AFFINITY = np.float32(0.05)
"""Paths between groups end where the product of their affinities falls below this."""


class Groups(NamedTuple):
    """G - 1 groups of an edge map, numbered from 1.

    Attributes:
        ids: (H, W) int32, the group of each pixel, 0 for none.
        mass: (G,) float64, sum of the strengths.
        last_x, last_y: (G,) int32, the last pixel, columns one after the other: a group counts as
            inside a box where this is.
        first_link: (G + 1,) int64; the links of group g are ``first_link[g]:first_link[g + 1]``.
        linked: int32, the group at the link's other end.
        affinity: float32, falling within each group, at least ``LEAST_AFFINITY``.
    """

    ids: Int32s
    mass: Float64s
    last_x: Int32s
    last_y: Int32s
    first_link: npt.NDArray[np.int64]
    linked: Int32s
    affinity: Float32s


def find_groups(strength: Map, orientation: Map, parameters: EdgeBoxesParameters) -> Groups:
    """Groups of a thinned edge map (H, W) and their affinities.

    Weak pixels, and those at the image's border, are in no group.
    """
    ids, xs, ys = _grow(
        strength,
        orientation,
        np.float32(parameters.edge_min_magnitude),
        np.float32(parameters.edge_merge_threshold),
        parameters.cluster_min_magnitude,
    )
    is_group = np.bincount(np.maximum(ids, 0).ravel()) > 0  # some groups were dissolved
    is_group[0] = False
    ids = np.where(is_group, np.cumsum(is_group), 0).astype(np.int32)[np.maximum(ids, 0)]
    count = 1 + int(is_group.sum())
    mass, last_x, last_y, own, other, affinity = _describe(
        strength, orientation, ids, count, xs, ys, parameters.gamma
    )
    # both ways, and for each group the strongest first; of equals those of the smaller group, and
    # of its pairs the newest
    order = np.lexsort((-np.arange(len(own)), own))
    order = order[affinity[order] >= LEAST_AFFINITY]
    origin = np.stack([own[order], other[order]], axis=1).ravel()
    linked = np.stack([other[order], own[order]], axis=1).ravel()
    affinity = affinity[order].repeat(2)
    order = np.lexsort((-affinity, origin))
    first_link = np.searchsorted(origin[order], np.arange(count + 1))
    return Groups(ids, mass, last_x, last_y, first_link, linked[order], affinity[order])


@jit_inline
def _turn(a: float, b: float) -> float:
    """Change of orientation in units of pi, 0 to 1/2."""
    change = abs(a - b) / PI
    return np.float32(1) - change if change > np.float32(0.5) else change


@jit
def _grow(
    strength: Map, orientation: Map, least: float, most_turn: float, least_mass: float
) -> tuple[Int32s, Int32s, Int32s]:
    """Ids (H, W), 0 or less for none, and the edge pixels, columns one after the other.

    A group starts at the first pixel that is free and takes, again and again, that of the pixels
    beside it which turns least from the pixel that met it first.
    """
    height, width = strength.shape
    ids = np.full((height, width), -1, np.int32)  # -1: no edge, 0: still free
    num_pixels = 0
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            if strength[y, x] > least:
                ids[y, x] = 0
                num_pixels += 1
    xs, ys = np.empty(num_pixels, np.int32), np.empty(num_pixels, np.int32)
    at = 0
    for x in range(1, width - 1):
        for y in range(1, height - 1):
            if ids[y, x] == 0:
                xs[at], ys[at] = x, y
                at += 1

    met_by = np.zeros((height, width), np.int32)
    edge_x, edge_y = np.empty(num_pixels, np.int32), np.empty(num_pixels, np.int32)
    edge_turn = np.empty(num_pixels, np.float32)
    group = 1
    for k in range(num_pixels):
        x, y = xs[k], ys[k]
        if ids[y, x] != 0:
            continue
        turned = np.float32(0)
        length = 0
        while turned < most_turn:
            ids[y, x] = group
            for side_x in range(x - 1, x + 2):
                for side_y in range(y - 1, y + 2):
                    if ids[side_y, side_x] != 0 or met_by[side_y, side_x] == group:
                        continue
                    met_by[side_y, side_x] = group
                    edge_x[length], edge_y[length] = side_x, side_y
                    edge_turn[length] = _turn(orientation[side_y, side_x], orientation[y, x])
                    length += 1
            if length == 0:
                break
            best = 0
            for i in range(1, length):
                if edge_turn[i] < edge_turn[best]:
                    best = i
            x, y = edge_x[best], edge_y[best]
            turned += edge_turn[best]
            length -= 1
            for i in range(best, length):
                edge_x[i], edge_y[i] = edge_x[i + 1], edge_y[i + 1]
                edge_turn[i] = edge_turn[i + 1]
        group += 1

    mass = np.zeros(group, np.float64)
    for k in range(num_pixels):
        mass[ids[ys[k], xs[k]]] += strength[ys[k], xs[k]]
    num_free = 0
    for k in range(num_pixels):
        if mass[ids[ys[k], xs[k]]] <= least_mass:
            ids[ys[k], xs[k]] = 0
            edge_x[num_free], edge_y[num_free] = xs[k], ys[k]
            num_free += 1
    _share_out(ids, orientation, edge_x, edge_y, num_free)

    return ids, xs, ys


@jit_inline
def _share_out(ids: Int32s, orientation: Map, xs: Int32s, ys: Int32s, num_free: int) -> None:
    """Free pixels join the group of the pixel beside them that is turned least, until none can."""
    while True:
        left = 0
        for k in range(num_free):
            x, y = xs[k], ys[k]
            least, group = np.float32(1), 0
            for side_x in range(x - 1, x + 2):
                for side_y in range(y - 1, y + 2):
                    if ids[side_y, side_x] <= 0:
                        continue
                    turn = _turn(orientation[side_y, side_x], orientation[y, x])
                    if turn < least:
                        least, group = turn, ids[side_y, side_x]
            if group > 0:
                ids[y, x] = group
            else:
                xs[left], ys[left] = x, y
                left += 1
        if left == num_free:
            break
        num_free = left


@jit
def _describe(
    strength: Map, orientation: Map, ids: Int32s, count: int, xs: Int32s, ys: Int32s, gamma: float
) -> tuple[Float64s, Int32s, Int32s, Int32s, Int32s, Float32s]:
    """Mass and last pixel of each group, and pairs of near groups with their affinities."""
    height, width = ids.shape
    mass = np.zeros(count, np.float64)
    mean_x, mean_y = np.zeros(count, np.float64), np.zeros(count, np.float64)
    doubled_x, doubled_y = np.zeros(count, np.float64), np.zeros(count, np.float64)
    last_x, last_y = np.zeros(count, np.int32), np.zeros(count, np.int32)
    for k in range(xs.size):
        x, y = xs[k], ys[k]
        g = ids[y, x]
        if g == 0:
            continue
        m, angle = np.float64(strength[y, x]), 2 * np.float64(orientation[y, x])
        mass[g] += m
        mean_x[g] += m * x
        mean_y[g] += m * y
        doubled_x[g] += m * math.cos(angle)
        doubled_y[g] += m * math.sin(angle)
        last_x[g], last_y[g] = x, y
    normal = np.zeros(count, np.float64)
    for g in range(1, count):
        mean_x[g] /= mass[g]
        mean_y[g] /= mass[g]
        normal[g] = math.atan2(doubled_y[g], doubled_x[g]) / 2

    # pairs of near groups, each once: a chain of pairs for the smaller number of the two. As in the
    # released code, its pixels in the image's outermost rows and columns do not look for others
    capacity = 4 * count + 16
    own, other = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
    after, affinity = np.empty(capacity, np.int32), np.empty(capacity, np.float32)
    newest = np.full(count, -1, np.int32)
    pairs = 0
    for k in range(xs.size):
        x, y = xs[k], ys[k]
        g = ids[y, x]
        if g == 0 or not (REACH <= x < width - REACH and REACH <= y < height - REACH):
            continue
        for near_x in range(x - REACH, x + REACH + 1):
            for near_y in range(y - REACH, y + REACH + 1):
                near = ids[near_y, near_x]
                if near <= g:
                    continue
                pair = newest[g]
                while pair >= 0 and other[pair] != near:
                    pair = after[pair]
                if pair >= 0:
                    continue
                if pairs == capacity:
                    capacity *= 2
                    own, other = longer(own, capacity), longer(other, capacity)
                    after, affinity = longer(after, capacity), longer(affinity, capacity)
                along = math.atan2(mean_y[g] - mean_y[near], mean_x[g] - mean_x[near])
                # normals against a direction: cosines of the angle to the direction's normal
                straight = abs(math.sin(normal[g] - along) * math.sin(normal[near] - along))
                own[pairs], other[pairs], affinity[pairs] = g, near, straight**gamma
                after[pairs], newest[g] = newest[g], pairs
                pairs += 1
    return mass, last_x, last_y, own[:pairs], other[:pairs], affinity[:pairs]


@jit_inline
def longer(values: npt.NDArray[np.generic], capacity: int) -> npt.NDArray[np.generic]:
    """A copy with room for more."""
    result = np.empty(capacity, values.dtype)
    result[: values.size] = values
    return result
