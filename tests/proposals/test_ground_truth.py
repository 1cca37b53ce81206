from __future__ import annotations

import numpy as np
import pytest

from upscore.errors import DataError, SettingsError
from upscore.proposals.ground_truth import GroundTruth, TrueObject


def drawn(*rows: str) -> np.ndarray:
    """A label map from letters: . background, v void, digits classes."""
    code = {".": 0, "v": 255}
    return np.array([[code.get(c, ord(c) - ord("0")) for c in row] for row in rows], np.uint8)


SCENE = drawn(
    "..11..2",
    ".111..2",
    "vvv...2",
    "1...22.",
    "3333333",
)


def test_regions_of_each_class_are_objects():
    assert GroundTruth().objects(SCENE) == [
        TrueObject((0, 4, 7, 5), 3, 7),
        TrueObject((1, 0, 4, 2), 1, 5),
        TrueObject((6, 0, 7, 3), 2, 3),
        TrueObject((4, 3, 6, 4), 2, 2),  # a corner does not connect
        TrueObject((0, 3, 1, 4), 1, 1),
    ]


def test_background_may_be_another_class_or_none():
    assert len(GroundTruth().objects(SCENE, background=3)) == 4 + 3  # two grounds, cut by the void
    assert {item.label for item in GroundTruth().objects(SCENE, background=None)} == {0, 1, 2, 3}
    assert 0 in {item.label for item in GroundTruth().objects(SCENE, background=9)}


def test_proposals_are_the_largest_first():
    found = GroundTruth(min_area=2).from_masks(SCENE)
    assert found.boxes.tolist() == [[0, 4, 7, 5], [1, 0, 4, 2], [6, 0, 7, 3], [4, 3, 6, 4]]
    np.testing.assert_allclose(found.scores, np.array([7, 5, 3, 2]) / 35)
    assert found.boxes.dtype == np.float32


def test_instances_are_objects_of_their_most_frequent_class():
    labels = drawn("1111", "1122", "..vv", "vv..")
    instances = np.array([[7, 7, 300, 300], [7, 7, 300, 300], [0, 0, 9, 9], [255, 255, 12, 12]])
    assert GroundTruth().objects(labels, instances) == [
        TrueObject((0, 0, 2, 2), 1, 4),
        TrueObject((2, 0, 4, 2), 1, 4),  # two of each: the lower class; 9 and 12 have no class
    ]


def test_instances_may_be_in_pieces_and_of_any_number():
    labels = np.ones((3, 5), np.uint8)
    instances = np.array([[2_000_000_000, 0, 0, 0, 2_000_000_000]] + [[255] * 5] * 2)
    assert GroundTruth().objects(labels, instances) == [TrueObject((0, 0, 5, 1), 1, 2)]


def test_another_void():
    labels = np.array([[1, 1, 9, 2]], np.uint8)
    assert [item.label for item in GroundTruth().objects(labels, void=9)] == [1, 2]
    instances = np.array([[1, 1, 9, 255]])
    assert [item.label for item in GroundTruth().objects(labels, instances, void=9)] == [1, 2]


@pytest.mark.parametrize("value", [0, 255])
def test_nothing_there(value):
    labels = np.full((4, 6), value, np.uint8)
    assert GroundTruth().objects(labels) == []
    assert GroundTruth().objects(labels, np.ones((4, 6), np.uint8)) == []
    found = GroundTruth().from_masks(labels)
    assert found.boxes.shape == (0, 4)


def test_bad_masks():
    labels = np.zeros((4, 6), np.uint8)
    with pytest.raises(DataError, match="int64; expected"):
        GroundTruth().objects(labels.astype(np.int64))
    with pytest.raises(DataError, match="a list"):
        GroundTruth().objects([[1]])
    with pytest.raises(DataError, match="no pixels"):
        GroundTruth().objects(np.zeros((0, 6), np.uint8))
    with pytest.raises(DataError, match=r"shape \(6, 4\)"):
        GroundTruth().objects(labels, np.zeros((6, 4), np.uint8))
    with pytest.raises(DataError, match="integers"):
        GroundTruth().objects(labels, np.zeros((4, 6), np.float32))
    with pytest.raises(DataError, match="hold -1"):
        GroundTruth().objects(labels, np.full((4, 6), -1))
    with pytest.raises(SettingsError, match="min_area is 0"):
        GroundTruth(min_area=0)


def test_agrees_with_a_flood_fill():
    """Against regions found by hand, pixel after pixel."""
    labels = np.random.default_rng(3).choice(np.array([0, 1, 2, 255], np.uint8), (17, 19))
    seen = np.zeros(labels.shape, bool)
    expected = []
    for start in np.ndindex(labels.shape):
        label = int(labels[start])
        if seen[start] or label in (0, 255):
            continue
        region, todo = [], [start]
        seen[start] = True
        while todo:
            y, x = todo.pop()
            region.append((y, x))
            for place in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                inside = 0 <= place[0] < 17 and 0 <= place[1] < 19
                if inside and not seen[place] and labels[place] == label:
                    seen[place] = True
                    todo.append(place)
        ys, xs = zip(*region, strict=True)
        box = (min(xs), min(ys), max(xs) + 1, max(ys) + 1)
        expected.append(TrueObject(box, label, len(region)))
    found = GroundTruth().objects(labels)
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert [item.area for item in found] == sorted((item.area for item in found), reverse=True)
