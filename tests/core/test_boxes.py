"""Boxes: areas, overlaps, clipping, growing, suppression, against counting pixels and loops."""

from __future__ import annotations

import numpy as np
import pytest

from upscore.core.boxes import (
    clip_boxes,
    grow_boxes,
    iou_matrix,
    largest_first,
    require_boxes,
    square_boxes,
)
from upscore.errors import DataError, SettingsError


def random_boxes(count: int, seed: int = 0, *, whole: bool = True) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.uniform(0, 30, (count, 2, 2)), axis=1)
    boxes = np.concatenate([corners[:, 0], corners[:, 1]], axis=1)
    return (np.round(boxes) if whole else boxes).astype(np.float32)


def by_counting(a: np.ndarray, b: np.ndarray) -> float:
    """IoU of two boxes of whole pixels: paint both."""
    painted = np.zeros((2, 31, 31), bool)
    for layer, (x1, y1, x2, y2) in zip(painted, (a, b), strict=True):
        layer[int(y1) : int(y2), int(x1) : int(x2)] = True
    either = (painted[0] | painted[1]).sum()
    return (painted[0] & painted[1]).sum() / either if either else 0.0


def test_iou_is_that_of_painted_boxes():
    a, b = random_boxes(25, 1), random_boxes(20, 2)
    expected = np.array([[by_counting(x, y) for y in b] for x in a])
    found = iou_matrix(a, b)
    assert found.dtype == np.float32
    assert found.shape == (25, 20)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (expected > 0).sum() > 50


def test_iou_at_a_threshold_is_exact():
    assert iou_matrix([[0, 0, 10, 10]], [[0, 0, 10, 5]])[0, 0] == 0.5
    assert iou_matrix([[0, 0, 10, 10]], [[0, 0, 10, 7]])[0, 0] >= 0.7
    assert iou_matrix([[0, 0, 10, 10]], [[0, 0, 9, 10]])[0, 0] >= 0.9


def test_iou_of_touching_and_empty_boxes():
    boxes = [[0, 0, 4, 4], [4, 0, 8, 4], [2, 2, 2, 9]]
    np.testing.assert_array_equal(iou_matrix(boxes, boxes), np.diag([1, 1, 0]))
    assert iou_matrix(np.zeros((0, 4)), boxes).shape == (0, 3)
    assert iou_matrix(boxes, np.zeros((0, 4))).shape == (3, 0)


def test_largest_first_and_the_earlier_of_equals():
    boxes = [[0, 0, 2, 2], [5, 5, 9, 7], [-3, 0, 3, 3], [1, 1, 3, 5], [4, 4, 4, 9]]
    assert largest_first(boxes).tolist() == [boxes[i] for i in (2, 1, 3, 0, 4)]
    assert largest_first(np.zeros((0, 4))).shape == (0, 4)


def test_clip():
    boxes = [[-5, -6, 4, 3], [1, 2, 3, 4], [8, 9, 20, 30], [15, 15, 16, 16]]
    expected = [[0, 0, 4, 3], [1, 2, 3, 4], [8, 9, 12, 10], [12, 10, 12, 10]]
    clipped = clip_boxes(boxes, 10, 12)
    np.testing.assert_array_equal(clipped, expected)
    assert clipped.dtype == np.float32
    with pytest.raises(SettingsError, match="image of 12x-1"):
        clip_boxes(boxes, -1, 12)


def test_grow():
    np.testing.assert_array_equal(grow_boxes([[10, 20, 20, 60]], 1.5), [[7.5, 10, 22.5, 70]])
    boxes = random_boxes(10, whole=False)
    np.testing.assert_allclose(grow_boxes(boxes, 1), boxes, atol=1e-5)
    np.testing.assert_allclose(grow_boxes(grow_boxes(boxes, 2), 0.5), boxes, atol=1e-5)


@pytest.mark.parametrize("factor", [0, -1, np.inf, np.nan])
def test_grow_by_nothing(factor):
    with pytest.raises(SettingsError, match="by a factor of"):
        grow_boxes([[0, 0, 1, 1]], factor)


def test_square():
    squares = square_boxes([[0, 0, 10, 4], [0, 0, 4, 10], [3, 3, 5, 5]])
    np.testing.assert_array_equal(squares, [[0, -3, 10, 7], [-3, 0, 7, 10], [3, 3, 5, 5]])


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (np.zeros((3, 5)), r"shape \(3, 5\); expected \(K, 4\)"),
        ([], r"shape \(0,\).*\(0, 4\) for none"),
        ([["a", "b", "c", "d"]], "dtype <U1; expected numbers"),
        ([[0, 0, 1, 1], [0, np.nan, 1, 1]], r"NaN or infinity in row 1: \(0, nan, 1, 1\)"),
        ([[0, 0, 1, np.inf]], "NaN or infinity in row 0"),
        ([[50, 40, 20, 10]], r"\(50, 40, 20, 10\) in row 0 .*x, y, width, height, add"),
    ],
)
def test_what_is_no_boxes(boxes, message):
    with pytest.raises(DataError, match=message):
        require_boxes(boxes)
