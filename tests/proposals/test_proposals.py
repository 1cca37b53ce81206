"""``Proposals``: what is let in, what comes out; keys of photos."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from upscore.errors import DataError, SettingsError
from upscore.proposals.base import Proposals, image_key

BOXES = np.array([[0, 0, 4, 4], [-3, 1, 2.5, 9], [1, 1, 2, 2]], np.float32)


def test_boxes_and_scores_become_float32():
    made = Proposals([[0, 0, 4, 4], [1, 1, 2, 2]], [2, 1])
    assert made.boxes.dtype == made.scores.dtype == np.float32
    assert len(made) == 2


def test_nobody_can_change_them_and_the_callers_own_stay_free():
    scores = np.array([3, 2, 1], np.float32)
    made = Proposals(BOXES.copy(), scores)
    with pytest.raises(ValueError, match="read-only"):
        made.boxes[0, 0] = 7
    scores[0] = 9
    assert made.scores[0] == 3


def test_the_best_of_them():
    made = Proposals(BOXES, [3, 2, 1])
    np.testing.assert_array_equal(made.top(2).boxes, BOXES[:2])
    assert len(made.top(100)) == 3  # more than there are: all
    assert len(made.top(0)) == 0
    with pytest.raises(SettingsError, match="best -1 boxes"):
        made.top(-1)


def test_sorted_keeps_the_order_of_equals():
    made = Proposals.sorted(BOXES, [1, 2, 1])
    np.testing.assert_array_equal(made.boxes, BOXES[[1, 0, 2]])
    assert made.scores.tolist() == [2, 1, 1]
    assert len(Proposals.sorted(np.zeros((0, 4)), [])) == 0
    with pytest.raises(DataError, match="one number for each of 3 boxes"):
        Proposals.sorted(BOXES, [1])


def test_none_and_pickle():
    assert Proposals.none().boxes.shape == (0, 4)
    made = pickle.loads(pickle.dumps(Proposals(BOXES, [3, 2, 1])))
    np.testing.assert_array_equal(made.boxes, BOXES)


@pytest.mark.parametrize(
    ("boxes", "scores", "message"),
    [
        (BOXES, [1, 2, 3], r"scores rise from 1 to 2 in row 1.*Proposals\.sorted"),
        (BOXES, [3, np.nan, 1], "NaN or infinity in row 1"),
        (BOXES, [3, 2], "one number for each of 3 boxes"),
        ([[0, 0, 0, 4]], [1], "an empty box in row 0"),
        ([[4, 4, 0, 0]], [1], "x1 <= x2"),
        ([[0, 0, np.nan, 4]], [1], "NaN or infinity in row 0"),
        (np.zeros(4), [1], r"shape \(4,\)"),
    ],
)
def test_what_is_refused(boxes, scores, message):
    with pytest.raises(DataError, match=message):
        Proposals(boxes, scores)


def test_keys_are_of_content():
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    key = image_key(image)
    assert len(key) == 64
    assert image_key(image.copy()) == key
    assert image_key(np.asfortranarray(image)) == key
    assert image_key(image[:, ::2]) == image_key(image[:, ::2].copy())
    assert image_key(image.reshape(6, 4, 3)) != key  # the same bytes, another size
    assert image_key(image[..., ::-1]) != key
    with pytest.raises(DataError, match="dtype float64"):
        image_key(image / 255)
