from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from evaluation.maps import noisy, square
from upscore.core.labels import VOID
from upscore.errors import DataError, SettingsError
from upscore.metrics.boundary import BoundaryF, BoundaryIoU, boundary_pixels


def iou_of(truth, prediction, *, classes=3, **settings):
    found = BoundaryIoU(classes, **settings)
    found.update(truth, prediction)
    return found


def f_of(truth, prediction, *, classes=3, **settings):
    found = BoundaryF(classes, **settings)
    found.update(truth, prediction)
    return found


def slow_boundary_iou(truth, prediction, label, distance):
    """As the paper's released code: erode each mask, padded with a ring of zeros."""
    prediction = np.where(truth == VOID, VOID, prediction)
    rims = []
    for labels in (truth, prediction):
        mask = np.pad(labels == label, 1)
        left = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=distance)
        rims.append((mask & ~left)[1:-1, 1:-1])
    either = (rims[0] | rims[1]).sum()
    return (rims[0] & rims[1]).sum() / either if either else None


def slow_f(truth, prediction, label, tolerance):
    prediction = np.where(truth == VOID, VOID, prediction)
    points = []
    for labels in (truth, prediction):
        mask = labels == label
        left = ndimage.binary_erosion(mask, border_value=1)  # a cross: side neighbours
        points.append(np.argwhere(mask & ~left).astype(np.float64))
    if not len(points[0]) and not len(points[1]):
        return None
    if not len(points[0]) or not len(points[1]):
        return 0.0
    distances = cdist(*points)
    recall = (distances.min(axis=1) < tolerance).mean()
    precision = (distances.min(axis=0) < tolerance).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


class TestBoundaryIoU:
    def test_a_square_shifted_by_one(self):
        """Rims of one pixel: 36 of a square of 10; shifted one right they share two rows of 9."""
        truth, prediction = square(10), square(10, at=(10, 11))
        found = iou_of(truth, prediction, ratio=0.01)  # 0.6 pixels, so 1
        assert found.class_iou()[1] == 18 / (36 + 36 - 18)

    def test_a_large_object_is_judged_by_its_rim(self):
        truth, prediction = square(60, size=100), square(58, size=100, at=(11, 11))
        inside = (truth == 1) & (prediction == 1)
        assert inside.sum() / (truth == 1).sum() > 0.93
        # d is 3: rims of 60^2 - 54^2 and 58^2 - 52^2 pixels share two pixels' width
        both = 58**2 - 54**2
        wanted = both / (60**2 - 54**2 + 58**2 - 52**2 - both)
        assert iou_of(truth, prediction).class_iou()[1] == pytest.approx(wanted)
        assert wanted < 0.55

    def test_thin_masks_have_their_mask_iou(self):
        truth, prediction = np.zeros((2, 50, 50), np.uint8)
        truth[20:22, 10:40], prediction[21:23, 10:40] = 1, 1
        assert iou_of(truth, prediction, ratio=0.05).class_iou()[1] == 1 / 3

    @pytest.mark.parametrize("shape", [(1, 1), (1, 8), (25, 31), (40, 18)])
    def test_against_erosion(self, shape):
        for seed in range(3):
            truth, prediction = noisy(*shape, seed), noisy(*shape, seed + 7, void=False)
            for ratio in (0.02, 0.1):
                distance = max(1, round(ratio * math.hypot(*shape)))
                found = iou_of(truth, prediction, ratio=ratio).class_iou()
                wanted = [slow_boundary_iou(truth, prediction, c, distance) for c in range(3)]
                assert found == pytest.approx(wanted)

    def test_perfect(self):
        truth = noisy(30, 40)
        found = iou_of(truth, np.where(truth == VOID, 2, truth).astype(np.uint8))
        assert found.miou() == 1.0

    def test_images_add_up_before_the_ratio(self):
        truth = square(10)
        whole = iou_of(truth, truth, classes=2)
        whole.update(truth, np.zeros_like(truth))
        assert whole.class_iou()[1] == 0.5
        parts = iou_of(truth, truth, classes=2)
        parts += iou_of(truth, np.zeros_like(truth), classes=2)
        assert parts.class_iou() == whole.class_iou()

    def test_nothing(self):
        assert iou_of(np.full((4, 4), VOID, np.uint8), np.zeros((4, 4), np.uint8)).miou() is None
        assert iou_of(np.zeros((0, 4), np.uint8), np.zeros((0, 4), np.uint8)).miou() is None

    def test_wrong_arguments(self):
        for ratio in (0, -1, 1.5, math.nan):
            with pytest.raises(SettingsError, match="ratio is"):
                BoundaryIoU(3, ratio=ratio)
        first = BoundaryIoU(3)
        with pytest.raises(SettingsError, match="cannot add"):
            first += BoundaryIoU(3, ratio=0.1)
        with pytest.raises(DataError, match="prediction holds 9"):
            first.update(np.zeros((4, 4), np.uint8), np.full((4, 4), 9, np.uint8))


class TestBoundaryF:
    def test_within_the_tolerance_counts_in_full(self):
        """On 100x100 the tolerance is 1.06 pixels: shifted by one all match, by two only parts."""
        truth = square(40, size=100)
        assert f_of(truth, square(40, size=100, at=(10, 11))).class_f()[1] == 1.0
        # shifted right by two: found are 38 of 40 pixels above and below, and 4 beside their ends
        far = f_of(truth, square(40, size=100, at=(10, 12))).class_f()[1]
        assert far == pytest.approx((2 * 38 + 4) / (4 * 39))

    def test_precision_and_recall_are_balanced(self):
        """Half of the truth is found and all of the prediction is right: F = 2/3."""
        truth = np.zeros((60, 60), np.uint8)
        truth[10:20, 10:20], truth[10:20, 40:50] = 1, 1
        prediction = truth.copy()
        prediction[:, 30:] = 0
        assert f_of(truth, prediction).class_f()[1] == pytest.approx(2 / 3)

    @pytest.mark.parametrize("shape", [(1, 1), (1, 8), (25, 31), (40, 18)])
    def test_against_all_pairs(self, shape):
        for seed in range(3):
            truth, prediction = noisy(*shape, seed), noisy(*shape, seed + 7, void=False)
            for tolerance in (0.0075, 0.05, 0.1):
                found = f_of(truth, prediction, tolerance=tolerance)
                pixels = tolerance * math.hypot(*shape)
                wanted = [slow_f(truth, prediction, c, pixels) for c in range(3)]
                assert found.class_f() == pytest.approx(wanted)
                known = [value for value in wanted if value is not None]
                assert found.mean_f() == (pytest.approx(np.mean(known)) if known else None)

    def test_means(self):
        """Image 1 has both classes at F = 1; image 2 misses class 2: (1 + mean(., ., 0)) / 2."""
        truth = square(10)
        both = truth.copy()
        both[30:35, 30:35] = 2
        found = f_of(truth, truth)
        found.update(both, truth)
        of_ground = found.class_f()[0]
        assert 0.8 < of_ground < 1
        assert found.class_f()[1:] == [1.0, 0.0]
        assert found.mean_f() == pytest.approx((1 + (2 * of_ground - 1 + 1 + 0) / 3) / 2)
        assert found.mean_class_f() == pytest.approx((of_ground + 1 + 0) / 3)
        parts = f_of(truth, truth)
        parts += f_of(both, truth)
        assert parts.class_f() == found.class_f()
        assert parts.mean_f() == found.mean_f()

    def test_other_classes_do_not_match(self):
        truth, prediction = square(10), square(10, label=2)
        assert f_of(truth, prediction).class_f() == [1.0, 0.0, 0.0]

    def test_void_ends_truth_and_prediction_alike(self):
        truth = noisy(30, 40)
        found = f_of(truth, np.where(truth == VOID, 2, truth).astype(np.uint8))
        assert found.mean_f() == 1.0

    @pytest.mark.filterwarnings("error")
    def test_nothing(self):
        for truth in (np.full((4, 4), VOID, np.uint8), np.zeros((4, 4), np.uint8),
                      np.zeros((0, 4), np.uint8)):  # fmt: skip
            found = f_of(truth, np.zeros(truth.shape, np.uint8))
            assert found.mean_f() is found.mean_class_f() is None
            assert found.class_f() == [None] * 3

    def test_wrong_arguments(self):
        with pytest.raises(SettingsError, match="tolerance is 0; allowed: above 0"):
            BoundaryF(3, tolerance=0)
        with pytest.raises(SettingsError, match="num_classes is 256"):
            BoundaryF(256)
        first = BoundaryF(3)
        with pytest.raises(SettingsError, match="cannot add boundary scores of 2 classes"):
            first += BoundaryF(2)
        with pytest.raises(DataError, match="truth holds 9"):
            first.update(np.full((4, 4), 9, np.uint8), np.zeros((4, 4), np.uint8))


def test_boundary_pixels_are_side_neighbours_and_not_the_image_border():
    labels = np.zeros((5, 5), np.uint8)
    labels[2, 2] = 1
    edge = boundary_pixels(labels)
    assert edge[2, 2] == 1
    assert (edge == 0).sum() == 4
    assert (edge == VOID).sum() == 20
