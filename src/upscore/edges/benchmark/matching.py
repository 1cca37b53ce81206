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

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Near:
    """For each pixel of one map the pixels of another that lie near enough.

    ``others[starts[i] : starts[i + 1]]`` are those near pixel i, and ``costs`` how far they are.
    """

    starts: Ints
    others: Ints
    costs: Ints


class Matching:
    """A matching of least cost between some edge pixels (rows) and all true pixels (columns).

    Args:
        places: (N,) flat indices of all edge pixels that may ever take part, in a map of
            ``truth``'s shape, each once.
        truth: bool (H, W). True pixels are numbered in reading order.
        distance: the tolerance in pixels; Euclidean, inclusive.
    """

    def __init__(self, places: Places, truth: Flags, distance: float) -> None:
        self.near = _near_pixels(places, truth, distance)
        num, columns = len(places), int(np.count_nonzero(truth))
        self.back = Near(*_turned(*_arrays(self.near), columns))
        self.left_over = round(UNIT * LEFT_OVER * distance)
        self.partners: Ints = np.full(num, -1, np.int32)
        """(N,): the true pixel of each edge pixel; -1 for none, and for those not in the map."""
        self._of_columns = np.full(columns, -1, np.int32)
        self._taking_part = np.zeros(num, np.bool_)
        self._prices = np.zeros(num, np.int32)
        self._column_prices = np.zeros(columns, np.int32)

    def update(self, rows: Ints) -> Flags:
        """Let the edge pixels ``rows``, and no others, take part.

        Args:
            rows: (n,) numbers of edge pixels, none twice.

        Returns:
            bool (n,): which of them have a partner.
        """
        _update(
            rows,
            *_arrays(self.near),
            *_arrays(self.back),
            self._taking_part,
            self._prices,
            self.partners,
            np.int32(self.left_over),
            self._column_prices,
            self._of_columns,
        )
        return self.partners[rows] >= 0


def _arrays(near: Near) -> tuple[Ints, Ints, Ints]:
    return near.starts, near.others, near.costs


def _near_pixels(places: Places, truth: Flags, distance: float) -> Near:
    reach = int(distance)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    squares = rows**2 + columns**2
    inside = squares <= distance**2
    height, width = truth.shape
    wide = width + 2 * reach
    numbers = np.full((height + 2 * reach, wide), -1, np.int32)
    numbers[reach : reach + height, reach : reach + width][truth] = np.arange(
        np.count_nonzero(truth), dtype=np.int32
    )
    ringed = (places // width + reach) * wide + places % width + reach
    costs = np.rint(UNIT * np.sqrt(squares[inside])).astype(np.int32)
    return Near(*_look_around(ringed, numbers.reshape(-1), (rows * wide + columns)[inside], costs))


@jit
def _look_around(
    places: Places, numbers: Ints, steps: Places, costs: Ints
) -> tuple[Ints, Ints, Ints]:
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
    return starts, others, found_costs


@jit
def _turned(starts: Ints, others: Ints, costs: Ints, num: int) -> tuple[Ints, Ints, Ints]:
    """The same pairs by the other pixel, of which there are ``num``."""
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
    return turned, back, back_costs


# Prices: price(row) + price(column) <= cost of every pair, with equality for those matched. A row's
# price is at most what leaving it over costs, and just that where it is left over; a column's
# likewise, but leaving it over is free. A matching that has such prices is one of least cost. The
# two sides differ in nothing else, so that one function serves both.


@jit
def _update(
    rows: Ints,
    starts: Ints,
    others: Ints,
    costs: Ints,
    back_starts: Ints,
    back_others: Ints,
    back_costs: Ints,
    taking_part: Flags,
    prices: Ints,
    partners: Ints,
    left_over: np.int32,
    column_prices: Ints,
    of_columns: Ints,
) -> None:
    num, num_columns = len(taking_part), len(of_columns)
    most = max(num, num_columns)
    distances = np.full(most, _FAR, np.int32)
    came_from = np.empty(most, np.int32)
    touched = np.empty(most, np.int32)
    heap = np.empty(len(others) + 1, np.int64)
    all_columns = np.ones(num_columns, np.bool_)
    wanted = np.zeros(num, np.bool_)
    for k in range(len(rows)):
        wanted[rows[k]] = True

    for row in range(num):
        if not taking_part[row] or wanted[row]:
            continue
        taking_part[row] = False
        column = partners[row]
        if column < 0:
            continue
        partners[row] = -1
        of_columns[column] = -1
        if column_prices[column] < 0:  # it was in demand: others may want it
            _settle(
                column, back_starts, back_others, back_costs,
                column_prices, of_columns, np.int32(0),
                taking_part, prices, partners,
                distances, came_from, touched, heap,
            )  # fmt: skip

    for k in range(len(rows)):
        row = rows[k]
        if taking_part[row]:
            continue
        taking_part[row] = True
        price = left_over
        for place in range(starts[row], starts[row + 1]):
            price = min(price, costs[place] - column_prices[others[place]])
        prices[row] = price
        _settle(
            row, starts, others, costs,
            prices, partners, left_over,
            all_columns, column_prices, of_columns,
            distances, came_from, touched, heap,
        )  # fmt: skip


@jit
def _settle(
    root: int,
    starts: Ints,
    others: Ints,
    costs: Ints,
    prices: Ints,
    partners: Ints,
    limit: np.int32,
    taking_part: Flags,
    other_prices: Ints,
    other_partners: Ints,
    distances: Ints,
    came_from: Ints,
    touched: Ints,
    heap: Places,
) -> None:
    """Give ``root``, a pixel without partner whose price is within bounds, its due.

    Along the cheapest chain from it, over a pixel of the other side and its partner and so on: to a
    free pixel of the other side, or to a partner that is left over instead. Dijkstra's algorithm
    over what is missing to equality. ``distances`` are all _FAR before and after.
    """
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
