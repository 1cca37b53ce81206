from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from upscore.core.labels import LabelMap
from upscore.core.regions import connected_regions


def slow_regions(labels: LabelMap, void: int = 255) -> npt.NDArray[np.int32]:
    """By scipy: pixels stand on the even places of a grid of twice the size, and the places between
    two pixels are set where both have the same label."""
    height, width = labels.shape
    valid = labels != void
    grid = np.zeros((2 * height - 1, 2 * width - 1), bool)
    grid[::2, ::2] = valid
    grid[::2, 1::2] = (labels[:, 1:] == labels[:, :-1]) & valid[:, 1:]
    grid[1::2, ::2] = (labels[1:] == labels[:-1]) & valid[1:]
    numbered, _ = ndimage.label(grid)
    return numbered[::2, ::2]


def test_regions_agree_with_labelling_class_by_class() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(np.array([0, 1, 2, 255], np.uint8), (23, 31))
    regions = connected_regions(labels)
    assert (regions == 0).sum() == (labels == 255).sum()
    total = 0
    for index in (0, 1, 2):
        expected, count = ndimage.label(labels == index)
        total += count
        for number in range(1, count + 1):
            assert len(np.unique(regions[expected == number])) == 1
    assert len(np.unique(regions[regions > 0])) == total


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2), (37, 53), (64, 61)])
@pytest.mark.parametrize("values", [(0, 1), (0, 1, 255), (7, 8, 9, 10, 255), (3,)])
def test_numbers_are_those_of_scipy(shape: tuple[int, int], values: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(values))
    for smooth in (0, 1, 3):
        labels = rng.choice(np.array(values, np.uint8), shape)
        labels = ndimage.median_filter(labels, 2 * smooth + 1)
        found = connected_regions(labels)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, slow_regions(labels))
        np.testing.assert_array_equal(connected_regions(labels.T), slow_regions(labels.T))
        np.testing.assert_array_equal(connected_regions(labels, void=7), slow_regions(labels, 7))


def test_arms_that_meet_late() -> None:
    """Combs, spirals and nests join regions that were begun far apart."""
    comb = np.full((9, 15), 1, np.uint8)
    comb[:-1, 1::2] = 0
    nest = np.minimum.outer(np.arange(21), np.arange(20, -1, -1)).astype(np.uint8)
    spiral = np.zeros((15, 15), np.uint8)
    y, x, dy, dx = 0, 0, 0, 1
    spiral[0, 0] = 1
    for length in (14, 14, 14, 12, 12, 10, 10, 8, 8, 6, 6, 4, 4, 2):
        for _ in range(length):
            y, x = y + dy, x + dx
            spiral[y, x] = 1
        dy, dx = dx, -dy
    for labels in (comb, comb[::-1], comb.T, nest, nest[::-1], spiral, spiral[::-1], spiral.T):
        labels = np.ascontiguousarray(labels)
        np.testing.assert_array_equal(connected_regions(labels), slow_regions(labels))
    assert connected_regions(comb)[0].tolist() == [1, 2, 1, 3, 1, 4, 1, 5, 1, 6, 1, 7, 1, 8, 1]
    assert connected_regions(spiral).max() == 2


def test_one_pixel_and_nothing_but_void() -> None:
    assert connected_regions(np.zeros((1, 1), np.uint8)).tolist() == [[1]]
    assert connected_regions(np.full((2, 3), 255, np.uint8)).tolist() == [[0, 0, 0]] * 2
    assert connected_regions(np.array([[9, 7]], np.uint8), void=9).tolist() == [[0, 1]]
