from __future__ import annotations

import pickle

import numpy as np
import pytest

from upscore.core.boxes import iou_matrix
from upscore.errors import DataError, SettingsError
from upscore.proposals.sliding_window import Grid


def photo(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(213, 320), (375, 500), (500, 30), (7, 9), (2, 3), (1, 1)])
def test_boxes_are_whole_pixels_inside_the_image_and_none_is_repeated(size):
    found = Grid(max_boxes=10_000)(photo(*size))
    boxes = found.boxes
    assert (boxes == np.rint(boxes)).all()
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [size[1], size[0]]).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert len(np.unique(boxes, axis=0)) == len(boxes)
    assert found.scores[0] == 1
    assert (np.diff(found.scores) < 0).all()
    assert (found.scores > 0).all()


def test_from_coarse_to_fine_and_central_first():
    grid = Grid(scales=(0.25, 1.0, 0.5), aspects=(1.0,), stride=0.5)
    boxes = grid(photo(80, 160)).boxes
    widths = boxes[:, 2] - boxes[:, 0]
    assert boxes[0].tolist() == [0, 0, 160, 80]
    assert boxes[1].tolist() == [40, 20, 120, 60]
    assert widths.tolist() == [160] + [80] * 9 + [40] * 49
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 / [160, 80] - 0.5
    away = (centre**2).sum(axis=1)
    assert (np.diff(away[1:10]) >= 0).all()
    assert (np.diff(away[10:]) >= 0).all()


def test_neighbours_are_at_most_a_stride_apart_and_reach_all_borders():
    for stride in (0.2, 0.5, 1.0):
        grid = Grid(scales=(0.3,), aspects=(1.0,), stride=stride, max_boxes=10_000)
        boxes = grid(photo(90, 170)).boxes
        for low, high, end in ((0, 2, 170), (1, 3, 90)):
            begins = np.unique(boxes[:, low])
            side = boxes[0, high] - boxes[0, low]
            assert begins[0] == 0
            assert boxes[:, high].max() == end
            assert np.diff(begins).max() <= side * stride + 1  # whole pixels


def test_every_object_of_some_size_overlaps_a_box():
    rng = np.random.default_rng(0)
    size = rng.uniform(40, 200, (200, 2))
    begin = rng.uniform(0, 1, (200, 2)) * ([320, 213] - np.minimum(size, [320, 213]))
    truth = np.concatenate([begin, begin + np.minimum(size, [320, 213])], axis=1)
    boxes = Grid(max_boxes=5000)(photo(213, 320)).boxes
    overlap = iou_matrix(truth, boxes).max(axis=1)
    assert (overlap > 0.5).mean() > 0.9
    assert overlap.min() > 0.3


def test_fewer_boxes_are_the_first_of_more():
    many = Grid(max_boxes=500)(photo(50, 60))
    few = Grid(max_boxes=7)(photo(50, 60))
    assert len(few) == 7
    np.testing.assert_array_equal(few.boxes, many.boxes[:7])


def test_only_the_size_matters_and_it_pickles():
    grid = Grid(max_boxes=50)
    noise = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    again = pickle.loads(pickle.dumps(grid))
    np.testing.assert_array_equal(grid(noise).boxes, again(photo(50, 60), name="any").boxes)
    assert again.settings() == grid.settings()
    assert grid.settings()["kind"] == "Grid"
    assert grid.settings() != Grid(max_boxes=51).settings()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scales": ()}, "scales"),
        ({"scales": (1.5,)}, "scales are"),
        ({"aspects": (0.0,)}, "aspects are"),
        ({"aspects": (float("inf"),)}, "aspects are"),
        ({"stride": 0.0}, "stride is 0"),
        ({"max_boxes": 0}, "max_boxes is 0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(SettingsError, match=message):
        Grid(**settings)


def test_not_an_image():
    with pytest.raises(DataError, match="shape"):
        Grid()(np.zeros((5, 5), np.uint8))
    with pytest.raises(DataError, match="at least one pixel"):
        Grid()(np.zeros((0, 5, 3), np.uint8))
