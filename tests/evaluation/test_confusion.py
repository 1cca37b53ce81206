from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    jaccard_score,
    precision_score,
    recall_score,
)

from upscore.core.labels import VOID
from upscore.errors import DataError, SettingsError
from upscore.metrics.confusion import Confusion, count, score


def maps(num_classes: int, *, seed: int = 0, shape=(23, 31), void=0.1):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, num_classes, shape, dtype=np.uint8)
    noise = rng.integers(0, num_classes, shape, dtype=np.uint8)
    prediction = np.where(rng.random(shape) < 0.6, truth, noise)
    truth[rng.random(shape) < void] = VOID
    return truth, prediction


def label_maps(values, count_=2):
    return st.tuples(
        *(arrays(np.uint8, (5, 7), elements=st.sampled_from(values)) for _ in range(count_))
    )


@pytest.mark.parametrize("num_classes", [1, 2, 11, 21, 200, 255])
def test_count_is_scikit_learns_matrix(num_classes):
    truth, prediction = maps(num_classes, seed=num_classes)
    valid = truth != VOID
    expected = confusion_matrix(truth[valid], prediction[valid], labels=range(num_classes))
    matrix = count(truth, prediction, num_classes)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, expected)


def test_scores_are_scikit_learns():
    truth, prediction = maps(7, seed=3)
    valid = truth != VOID
    t, p = truth[valid], prediction[valid]
    found = score(count(truth, prediction, 7))
    iou = jaccard_score(t, p, labels=range(7), average=None)
    assert found.pixel_accuracy == pytest.approx(accuracy_score(t, p))
    assert found.mean_accuracy == pytest.approx(balanced_accuracy_score(t, p))
    assert found.miou == pytest.approx(iou.mean())
    assert found.frequency_weighted_iou == pytest.approx(jaccard_score(t, p, average="weighted"))
    assert [c.iou for c in found.per_class] == pytest.approx(list(iou))
    assert [c.precision for c in found.per_class] == pytest.approx(
        list(precision_score(t, p, labels=range(7), average=None))
    )
    assert [c.recall for c in found.per_class] == pytest.approx(
        list(recall_score(t, p, labels=range(7), average=None))
    )
    assert [c.pixels for c in found.per_class] == [int((t == i).sum()) for i in range(7)]
    assert [c.predicted for c in found.per_class] == [int((p == i).sum()) for i in range(7)]
    assert found.valid_pixels == valid.sum()


def test_by_hand():
    # 3 classes: class 0 has 3 right of 4, class 1 has 1 right of 2, class 2 never occurs
    found = score(np.array([[3, 1, 0], [1, 1, 0], [0, 0, 0]]))
    assert found.pixel_accuracy == 4 / 6
    assert found.mean_accuracy == (3 / 4 + 1 / 2) / 2
    assert found.miou == pytest.approx((3 / 5 + 1 / 3) / 2)
    assert found.frequency_weighted_iou == pytest.approx(4 / 6 * 3 / 5 + 2 / 6 * 1 / 3)
    assert found.classes_averaged == 2
    absent = found.per_class[2]
    assert (absent.iou, absent.precision, absent.recall, absent.pixels) == (None, None, None, 0)


def test_predicted_but_absent_class_counts_iou_zero_and_no_accuracy():
    found = score(np.array([[3, 1], [0, 0]]))
    assert found.per_class[1].iou == 0
    assert found.per_class[1].precision == 0
    assert found.per_class[1].recall is None
    assert found.classes_averaged == 2
    assert found.miou == 3 / 4 / 2
    assert found.mean_accuracy == 3 / 4
    assert found.frequency_weighted_iou == 3 / 4


def test_perfect_and_all_wrong():
    truth, _ = maps(5)
    right = np.where(truth == VOID, 0, truth).astype(np.uint8)
    perfect = score(count(truth, right, 5))
    assert (perfect.pixel_accuracy, perfect.mean_accuracy) == (1, 1)
    assert perfect.miou == 1
    assert perfect.frequency_weighted_iou == pytest.approx(1)
    wrong = score(count(truth, (right + np.uint8(1)) % np.uint8(5), 5))
    assert (wrong.pixel_accuracy, wrong.mean_accuracy, wrong.miou) == (0, 0, 0)
    assert wrong.frequency_weighted_iou == 0


def test_void_only_has_no_scores_and_no_nan():
    truth = np.full((4, 4), VOID, dtype=np.uint8)
    found = score(count(truth, np.zeros_like(truth), 3))
    overall = found.to_json()
    assert overall == {
        "pixel_accuracy": None, "mean_accuracy": None, "miou": None,
        "frequency_weighted_iou": None, "classes_averaged": 0, "valid_pixels": 0,
    }  # fmt: skip
    json.dumps(overall, allow_nan=False)
    assert all(c.iou is None for c in found.per_class)


def test_empty_picture_counts_nothing():
    empty = np.zeros((0, 5), dtype=np.uint8)
    assert count(empty, empty, 3).sum() == 0


@given(label_maps([0, 1, 2, 3, VOID], 1), label_maps([0, 1, 2, 3], 1))
@settings(max_examples=50, deadline=None)
def test_cutting_a_picture_changes_nothing(truths, predictions):
    (truth,), (prediction,) = truths, predictions
    whole = Confusion(4)
    whole.update(truth, prediction)
    parts = []
    for piece in (slice(0, 2), slice(2, 5)):
        part = Confusion(4)
        part.update(truth[piece], prediction[piece])
        parts.append(part)
    assert parts[0] + parts[1] == whole
    assert Confusion.merge(parts) == whole
    assert whole.matrix.sum() == (truth != VOID).sum()


@given(label_maps([0, 1, 2, 3, VOID], 1), label_maps([0, 1, 2, 3], 1), st.permutations(range(4)))
@settings(max_examples=50, deadline=None)
def test_renumbering_the_classes_permutes_the_matrix(truths, predictions, order):
    (truth,), (prediction,) = truths, predictions
    table = np.arange(256, dtype=np.uint8)
    table[:4] = order
    matrix = count(truth, prediction, 4)
    renumbered = count(table[truth], table[prediction], 4)
    np.testing.assert_array_equal(renumbered[np.ix_(order, order)], matrix)
    a, b = score(matrix), score(renumbered)
    assert a.classes_averaged == b.classes_averaged
    for name in ("pixel_accuracy", "mean_accuracy", "miou", "frequency_weighted_iou"):
        assert getattr(a, name) == pytest.approx(getattr(b, name))


def test_json_round_trip():
    confusion = Confusion(5)
    confusion.update(*maps(5))
    assert Confusion.from_json(json.loads(json.dumps(confusion.to_json()))) == confusion


def test_counts_above_32_bits():
    big = Confusion.of([[2**40, 0], [0, 1]])
    assert (big + big).matrix[0, 0] == 2**41
    assert big.scores().pixel_accuracy == 1


def test_merge_leaves_its_parts_alone():
    part = Confusion.of([[1]])
    merged = Confusion.merge([part])
    merged.matrix += 5
    assert part == Confusion.of([[1]])


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([[0, 1]], [[0, 255]], r"prediction holds 255 \(1 pixels\); allowed with 2 classes: 0 to"),
        ([[0, 1]], [[2, 2]], r"prediction holds 2 \(2 pixels\); allowed with 2 classes: 0 to 1"),
        ([[255, 1]], [[7, 0]], r"prediction holds 7"),  # also where the truth is void
        ([[0, 9]], [[0, 1]], r"truth holds 9 \(1 pixels\);.* 0 to 1 and 255 for void"),
        ([[0, 1, 1]], [[0, 1]], r"prediction is \(1, 2\), the truth \(1, 3\)"),
    ],
)
def test_bad_maps_are_refused(truth, prediction, message):
    with pytest.raises(DataError, match=message):
        count(np.array(truth, dtype=np.uint8), np.array(prediction, dtype=np.uint8), 2)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.bool_])
def test_only_uint8(dtype):
    good = np.zeros((2, 2), dtype=np.uint8)
    with pytest.raises(DataError, match="truth is"):
        count(good.astype(dtype), good, 2)
    with pytest.raises(DataError, match="prediction is"):
        count(good, good.astype(dtype), 2)


@pytest.mark.parametrize("num_classes", [0, -1, 256])
def test_class_numbers_that_do_not_fit(num_classes):
    with pytest.raises(SettingsError, match=f"num_classes is {num_classes}; allowed: 1 to 255"):
        Confusion(num_classes)


@pytest.mark.parametrize(
    "rows", [[[1, 2]], [[0.5]], [[-1]], [[1], [2, 3]], "text", [], [[None]], [["a"]]]
)
def test_from_json_refuses_what_is_no_matrix(rows):
    with pytest.raises((DataError, SettingsError)):
        Confusion.from_json(rows)


def test_other_class_numbers_do_not_add():
    with pytest.raises(SettingsError, match="2 and 3 classes"):
        Confusion(2) + Confusion(3)
    with pytest.raises(SettingsError, match="nothing to merge"):
        Confusion.merge([])
