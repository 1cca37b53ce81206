from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from evaluation.maps import noisy, slow_distances, square
from upscore.metrics.distance import near_other_label, squared_distances

SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (17, 23), (31, 20)]


@pytest.mark.parametrize("border", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_against_all_pairs(shape, border, seed):
    labels = noisy(*shape, seed)
    distances = slow_distances(labels, border=border)
    for limit in (1, 3, 50):
        wanted = np.where(distances < limit + 1, distances**2, (limit + 1) ** 2)
        found = squared_distances(labels, limit=limit, border=border)
        assert found.dtype == np.int32
        np.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize("shape", SHAPES)
def test_squares_against_all_pairs(shape):
    for seed in range(3):
        labels = noisy(*shape, seed)
        distances = slow_distances(labels, border=True, square=True)
        for distance in (1, 2, 5, 40):
            found = near_other_label(labels, distance=distance)
            np.testing.assert_array_equal(found, distances <= distance)


def test_large_smooth_regions_against_scipy():
    rows, columns = np.indices((150, 210))
    labels = (np.hypot(rows - 60, columns - 90) < 50).astype(np.uint8)
    labels[100:140, 30:190] = 2
    wanted = np.zeros(labels.shape)
    for label in range(3):
        mask = labels == label
        wanted[mask] = ndimage.distance_transform_edt(mask)[mask]
    np.testing.assert_allclose(squared_distances(labels, limit=500), wanted**2)
    for label in range(3):
        mask = labels == label
        left = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=7)
        near = near_other_label(labels, distance=7)
        np.testing.assert_array_equal(near[mask], ~left[mask])


def test_one_label_everywhere():
    labels = np.full((6, 7), 4, np.uint8)
    assert (squared_distances(labels, limit=5) == 36).all()
    assert (~near_other_label(labels, distance=2)).sum() == 2 * 3  # the image border is near
    middle = squared_distances(labels, limit=50, border=True)
    assert middle[0, 0] == 1
    assert middle.max() == 9  # the third row of six


def test_numbers_beyond_bytes_and_views_of_arrays():
    labels = square(5, size=20).astype(np.int32) * 70_000
    wanted = squared_distances(square(5, size=20), limit=9)
    np.testing.assert_array_equal(squared_distances(labels, limit=9), wanted)
    np.testing.assert_array_equal(squared_distances(labels.T, limit=9), wanted.T)


def test_no_pixels():
    for shape in ((0, 0), (0, 5), (5, 0)):
        labels = np.zeros(shape, np.uint8)
        assert squared_distances(labels, limit=3).shape == shape
        assert near_other_label(labels, distance=3).shape == shape
