"""Matching against all possibilities on small maps, and against scipy on larger ones."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching, min_weight_full_bipartite_matching

from upscore.edges.benchmark.matching import Matching


def distances(edges: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(edge pixels, true pixels), both in reading order."""
    ours, theirs = np.argwhere(edges), np.argwhere(truth)
    return np.sqrt(((ours[:, None] - theirs[None]) ** 2).sum(-1))


def match(edges: np.ndarray, truth: np.ndarray, distance: float) -> np.ndarray:
    """The true pixel of each edge pixel, -1 for none."""
    places = np.flatnonzero(edges)
    matching = Matching(places, truth, distance)
    matched = matching.update(np.arange(len(places), dtype=np.int32))
    np.testing.assert_array_equal(matched, matching.partners >= 0)
    return matching.partners


def cost(apart: np.ndarray, partners: np.ndarray, distance: float) -> int:
    """In hundredths of a pixel, as the benchmark rounds them."""
    matched = partners >= 0
    assert len(set(partners[matched])) == matched.sum()  # one to one
    near = apart[matched, partners[matched]]
    assert (near <= distance).all()
    return int(np.rint(100 * near).sum()) + round(10_000 * distance) * int((~matched).sum())


def brute_force(apart: np.ndarray, distance: float) -> tuple[int, int]:
    """The least cost, and the largest number of pairs that has it, by trying all."""
    left_over = round(10_000 * distance)

    @cache
    def best(row: int, taken: int) -> tuple[int, int]:
        if row == len(apart):
            return 0, 0
        spent, fewer = best(row + 1, taken)
        found = spent + left_over, fewer
        for column in np.flatnonzero(apart[row] <= distance):
            if not taken >> int(column) & 1:
                spent, fewer = best(row + 1, taken | 1 << int(column))
                found = min(found, (spent + int(np.rint(100 * apart[row, column])), fewer - 1))
        return found

    least, minus_pairs = best(0, 0)
    return least, -minus_pairs


def by_scipy(apart: np.ndarray, distance: float) -> tuple[int, int]:
    """Cost and number of pairs; each row has a column of its own to be left over in."""
    num, columns = apart.shape
    pairs = np.argwhere(apart <= distance)
    costs = csr_array(
        (
            # one more each: scipy takes 0 for no pair
            np.r_[
                np.rint(100 * apart[tuple(pairs.T)]) + 1,
                np.full(num, round(10_000 * distance) + 1),
            ],
            (np.r_[pairs[:, 0], np.arange(num)], np.r_[pairs[:, 1], columns + np.arange(num)]),
        ),
        shape=(num, columns + num),
    )
    rows, taken = min_weight_full_bipartite_matching(costs)
    return int(costs[rows, taken].sum()) - num, int((taken < columns).sum())


def lines(seed: int, shape=(60, 80)) -> tuple[np.ndarray, np.ndarray]:
    """Wavy lines, and the same ones displaced, broken and with others among them."""
    rng = np.random.default_rng(seed)
    maps = np.zeros((2, *shape), bool)
    x = np.arange(shape[1])
    for middle in rng.uniform(0, shape[0], 8):
        y = middle + rng.uniform(0, 6) * np.sin(x / rng.uniform(4, 15))
        for number in range(2):
            wobble = np.rint(y + rng.normal(0, 1.2, len(x)) + rng.normal(0, 2)).astype(int)
            keep = (wobble >= 0) & (wobble < shape[0]) & (rng.random(len(x)) < 0.9)
            maps[number, wobble[keep], x[keep]] = True
    return maps[0], maps[1]


@pytest.mark.parametrize("seed", range(80))
def test_as_brute_force(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 7, 2))
    edges, truth = rng.random((2, *shape)) < rng.uniform(0.1, 0.3)
    distance = rng.uniform(0.5, 3)
    partners = match(edges, truth, distance)
    apart = distances(edges, truth)
    least, pairs = brute_force(apart, distance)
    assert cost(apart, partners, distance) == least
    assert np.count_nonzero(partners >= 0) == pairs


@pytest.mark.parametrize("seed", range(15))
def test_as_scipy_also_while_pixels_come_and_go(seed):
    rng = np.random.default_rng(seed)
    edges, truth = lines(seed, (40, 60))
    distance = 1 + seed % 5 * 0.9
    apart = distances(edges, truth)
    matching = Matching(np.flatnonzero(edges), truth, distance)
    for share in (0.2, 0.6, 1.0, 0.5, 0.9):
        rows = np.flatnonzero(rng.random(len(apart)) < share).astype(np.int32)
        matched = matching.update(rows)
        partners = matching.partners[rows]
        np.testing.assert_array_equal(matched, partners >= 0)
        assert (np.delete(matching.partners, rows) == -1).all()
        wanted = by_scipy(apart[rows], distance)
        assert (cost(apart[rows], partners, distance), matched.sum()) == wanted


@pytest.mark.parametrize("seed", range(15))
def test_no_matching_has_more_pairs(seed):
    edges, truth = lines(100 + seed)
    distance = 1 + seed % 5 * 0.9
    graph = csr_array((distances(edges, truth) <= distance).astype(np.uint8))
    most = np.count_nonzero(maximum_bipartite_matching(graph, perm_type="column") >= 0)
    assert np.count_nonzero(match(edges, truth, distance) >= 0) == most > 100


def test_an_equal_map_is_matched_pixel_by_pixel():
    edges, _ = lines(0)
    np.testing.assert_array_equal(match(edges, edges, 4.3), np.arange(edges.sum()))


def test_the_distance_counts_as_near():
    edges, truth = np.zeros((2, 9, 9), bool)
    edges[1, 1] = truth[4, 5] = True
    assert match(edges, truth, 5.0).tolist() == [0]
    assert match(edges, truth, 4.99).tolist() == [-1]


def test_the_nearest_is_taken_of_two_that_want_one():
    edges, truth = np.zeros((2, 5, 5), bool)
    edges[0, 2] = edges[3, 2] = truth[2, 2] = True
    assert match(edges, truth, 3.0).tolist() == [-1, 0]


def test_a_pixel_gives_way_to_one_that_has_no_other():
    edges, truth = np.zeros((2, 1, 9), bool)
    edges[0, [2, 4]] = True
    truth[0, [1, 3]] = True  # 4 is only near 3, so 2 must take 1
    assert match(edges, truth, 1.0).tolist() == [0, 1]


def test_a_pixel_that_goes_makes_room():
    edges, truth = np.zeros((2, 5, 5), bool)
    edges[1, 2] = edges[4, 2] = truth[2, 2] = True
    matching = Matching(np.flatnonzero(edges), truth, 3.0)
    assert matching.update(np.array([0, 1], np.int32)).tolist() == [True, False]
    assert matching.update(np.array([1], np.int32)).tolist() == [True]
    assert matching.partners.tolist() == [-1, 0]
    assert matching.update(np.array([], np.int32)).tolist() == []
    assert matching.partners.tolist() == [-1, -1]


@pytest.mark.parametrize(("ours", "theirs"), [(False, False), (True, False), (False, True)])
def test_nothing_matches_nothing(ours, theirs):
    edges, truth = np.full((4, 5), ours), np.full((4, 5), theirs)
    assert (match(edges, truth, 2.0) == -1).all()
    assert len(match(edges, truth, 0.4)) == edges.sum()
