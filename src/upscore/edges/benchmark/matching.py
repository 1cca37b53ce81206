"""Which pixels of two edge maps are the same edge: one to one, within a distance.

The Berkeley benchmark's assignment: of all ways to pair edge pixels with true pixels within the
tolerance, the one of least cost, where a pair costs its distance and an edge pixel that is left
over 100 tolerances. As leaving over is so dear, the number of pairs is the largest possible in
practice: one pair fewer could only pay if that saved 100 tolerances along one chain of pairs. Among
the largest matchings it is a shortest one.

The algorithm is that of successive shortest paths with prices (Jonker and Volgenant, Computing 38,
1987), kept up to date while edge pixels come and go: from one threshold of an edge map to the next
few do. Scipy solves the same problem (``min_weight_full_bipartite_matching``), and the tests
compare with it, but starts again at each threshold and takes hours where this takes seconds
(benchmarks/edge_matching.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from upscore.core.jit.compile import jit

Ints = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

UNIT = 100
"""Costs are whole numbers, of hundredths of a pixel, as the benchmark has them."""

LEFT_OVER = 100
"""What an edge pixel without a partner costs, in tolerances."""

_FAR = np.int32(2**31 - 1)


class Near(NamedTuple):
    """For each pixel of one map the pixels of another that lie near enough.

    ``others[starts[i] : starts[i + 1]]`` are those near pixel i, and ``costs`` how far they are.
    """

    starts: Ints
    others: Ints
    costs: Ints


class Side(NamedTuple):
    """The pixels of one of the two maps, as the algorithm sees them.

    Attributes:
        near: the pixels of the other map that each of these may be paired with.
        taking_part: bool (N,).
        prices: int32 (N,), see below.
        partners: int32 (N,): the pixel of the other map that each is paired with; -1 for none.
        left_over: what one without a partner costs.
    """

    near: Near
    taking_part: Flags
    prices: Ints
    partners: Ints
    left_over: np.int32

    @classmethod
    def begin(cls, near: Near, left_over: int, *, taking_part: bool) -> Side:
        """Without any pair."""
        num = len(near.starts) - 1
        flags = np.full(num, taking_part)
        prices, partners = np.zeros(num, np.int32), np.full(num, -1, np.int32)
        return cls(near, flags, prices, partners, np.int32(left_over))


class Scratch(NamedTuple):
    """Memory that :func:`_settle` works in; ``distances`` are all _FAR before and after."""

    distances: Ints
    came_from: Ints
    touched: Ints
    heap: Places


class Matching:
    """A matching of least cost between some edge pixels (rows) and all true pixels (columns).

    Args:
        places: (N,) flat indices of all edge pixels that may ever take part, in a map of
            ``truth``'s shape, each once.
        truth: bool (H, W). True pixels are numbered in reading order.
        distance: the tolerance in pixels; Euclidean, inclusive.
    """

    def __init__(self, places: Places, truth: Flags, distance: float) -> None:
        near = _near_pixels(places, truth, distance)
        back = _turned(near, int(np.count_nonzero(truth)))
        self.rows = Side.begin(near, round(UNIT * LEFT_OVER * distance), taking_part=False)
        self.columns = Side.begin(back, 0, taking_part=True)
        self.partners = self.rows.partners
        """(N,): the true pixel of each edge pixel; -1 for none, and for those not in the map."""

    def update(self, rows: Ints) -> Flags:
        """Let the edge pixels ``rows``, and no others, take part.

        Args:
            rows: (n,) numbers of edge pixels, none twice.

        Returns:
            bool (n,): which of them have a partner.
        """
        _update(rows, self.rows, self.columns)
        return self.partners[rows] >= 0


def _near_pixels(places: Places, truth: Flags, distance: float) -> Near:
    reach = int(distance)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    squares = rows**2 + columns**2
    inside = squares <= distance**2
    numbers = np.full(truth.shape, -1, np.int32)
    numbers[truth] = np.arange(np.count_nonzero(truth), dtype=np.int32)
    numbers = np.pad(numbers, reach, constant_values=-1)
    width = truth.shape[1]
    wide = width + 2 * reach
    ringed = (places // width + reach) * wide + places % width + reach
    costs = np.rint(UNIT * np.sqrt(squares[inside])).astype(np.int32)
    return _look_around(ringed, numbers.reshape(-1), (rows * wide + columns)[inside], costs)


@jit
def _look_around(places: Places, numbers: Ints, steps: Places, costs: Ints) -> Near:
    starts = np.zeros(len(places) + 1, np.int32)
    for i in range(len(places)):
        count = 0
        for j in range(len(steps)):
            if numbers[places[i] + steps[j]] >= 0:
                count += 1
        starts[i + 1] = starts[i] + count
    others = np.empty(starts[-1], np.int32)
    found_costs = np.empty(starts[-1], np.int32)
    for i in range(len(places)):
        at = starts[i]
        for j in range(len(steps)):
            number = numbers[places[i] + steps[j]]
            if number >= 0:
                others[at] = number
                found_costs[at] = costs[j]
                at += 1
    return Near(starts, others, found_costs)


@jit
def _turned(near: Near, num: int) -> Near:
    """The same pairs by the other pixel, of which there are ``num``."""
    starts, others, costs = near
    turned = np.zeros(num + 1, np.int32)
    for k in range(len(others)):
        turned[others[k] + 1] += 1
    for i in range(num):
        turned[i + 1] += turned[i]
    at = turned[:-1].copy()
    back = np.empty(len(others), np.int32)
    back_costs = np.empty(len(others), np.int32)
    for i in range(len(starts) - 1):
        for k in range(starts[i], starts[i + 1]):
            place = at[others[k]]
            back[place] = i
            back_costs[place] = costs[k]
            at[others[k]] += 1
    return Near(turned, back, back_costs)


# Prices: price(row) + price(column) <= cost of every pair, with equality for those matched. A row's
# price is at most what leaving it over costs, and just that where it is left over; a column's
# likewise, but leaving it over is free. A matching that has such prices is one of least cost. The
# two sides differ in nothing else, so that one function serves both.


@jit
def _update(rows: Ints, own: Side, columns: Side) -> None:
    num = len(own.partners)
    most = max(num, len(columns.partners))
    scratch = Scratch(
        np.full(most, _FAR, np.int32),
        np.empty(most, np.int32),
        np.empty(most, np.int32),
        np.empty(len(own.near.others) + 1, np.int64),
    )
    wanted = np.zeros(num, np.bool_)
    for k in range(len(rows)):
        wanted[rows[k]] = True

    for row in range(num):
        if not own.taking_part[row] or wanted[row]:
            continue
        own.taking_part[row] = False
        column = own.partners[row]
        if column < 0:
            continue
        own.partners[row] = -1
        columns.partners[column] = -1
        if columns.prices[column] < 0:  # it was in demand: others may take it
            _settle(column, columns, own, scratch)

    for k in range(len(rows)):
        row = rows[k]
        if own.taking_part[row]:
            continue
        own.taking_part[row] = True
        price = own.left_over
        for place in range(own.near.starts[row], own.near.starts[row + 1]):
            price = min(price, own.near.costs[place] - columns.prices[own.near.others[place]])
        own.prices[row] = price
        _settle(row, own, columns, scratch)


@jit
def _settle(root: int, own: Side, other_side: Side, scratch: Scratch) -> None:
    """Give ``root``, a pixel without partner whose price is within bounds, its due.

    Along the cheapest chain from it, over a pixel of the other side and its partner and so on: to a
    free pixel of the other side, or to a partner that is left over instead. Dijkstra's algorithm
    over what is missing to equality.
    """
    starts, others, costs = own.near
    prices, partners, limit = own.prices, own.partners, own.left_over
    taking_part = other_side.taking_part
    other_prices, other_partners = other_side.prices, other_side.partners
    distances, came_from, touched, heap = scratch
    best = limit - prices[root]  # when it is left over itself
    left, goal = root, -1
    num_touched, size = 0, 0
    node, base = root, 0
    while True:
        for place in range(starts[node], starts[node + 1]):
            other = others[place]
            if not taking_part[other]:
                continue
            distance = base + costs[place] - prices[node] - other_prices[other]
            if distance >= best or distance >= distances[other]:
                continue
            if distances[other] == _FAR:
                touched[num_touched] = other
                num_touched += 1
            distances[other] = distance
            came_from[other] = node
            # sift up; the distance is in the high half
            key = (np.int64(distance) << 32) | np.int64(other)
            at = size
            size += 1
            while at > 0 and heap[(at - 1) >> 1] > key:
                heap[at] = heap[(at - 1) >> 1]
                at = (at - 1) >> 1
            heap[at] = key
        other, base = -1, best
        while size > 0 and other < 0:
            top = heap[0]
            size -= 1
            key = heap[size]
            at = 0
            while 2 * at + 1 < size:
                child = 2 * at + 1
                if child + 1 < size and heap[child + 1] < heap[child]:
                    child += 1
                if heap[child] >= key:
                    break
                heap[at] = heap[child]
                at = child
            heap[at] = key
            candidate = top & 0xFFFFFFFF
            if distances[candidate] == top >> 32:  # else a nearer way was found since
                other, base = candidate, top >> 32
        if other < 0 or base >= best:
            break
        if other_partners[other] < 0:
            best, goal = base, other
            break
        node = other_partners[other]
        if base + limit - prices[node] < best:
            best, left = base + limit - prices[node], node

    prices[root] += best
    for k in range(num_touched):
        other = touched[k]
        gain = best - distances[other]
        if gain > 0:
            other_prices[other] -= gain
            prices[other_partners[other]] += gain
        distances[other] = _FAR
    if goal < 0:
        if left == root:
            return
        goal = partners[left]
        partners[left] = -1
    while True:
        node = came_from[goal]
        before = partners[node]
        partners[node] = goal
        other_partners[goal] = node
        if node == root:
            return
        goal = before
