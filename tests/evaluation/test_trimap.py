from __future__ import annotations

import numpy as np
import pytest

from evaluation.maps import noisy, slow_distances, slow_iou, square
from upscore.core.labels import VOID
from upscore.errors import DataError, SettingsError
from upscore.metrics.confusion import count, mean_iou, pixel_accuracy
from upscore.metrics.trimap import Trimap


def scored(truth, prediction, *, classes=3, widths=40):
    trimap = Trimap(classes, widths=widths)
    trimap.update(truth, prediction)
    return trimap


def test_a_straight_edge():
    """Halves; the prediction's edge is 2 pixels too far right, so 2 of 2 w columns are wrong."""
    truth = np.zeros((10, 40), np.uint8)
    truth[:, 20:] = 1
    prediction = np.zeros((10, 40), np.uint8)
    prediction[:, 22:] = 1
    scores = scored(truth, prediction, classes=2).scores()
    assert [band.pixels for band in scores[:3]] == [20, 40, 60]
    assert scores[0].pixel_accuracy == 0.5  # the column right of the edge is wrong
    assert scores[0].miou == 0.25  # 1/2 and 0/1
    assert scores[1].pixel_accuracy == 0.5
    assert scores[3].pixel_accuracy == 6 / 8
    assert scores[3].miou == pytest.approx((4 / 6 + 2 / 4) / 2)
    assert scores[19].pixels == 400
    assert scores[19].pixel_accuracy == scores[39].pixel_accuracy == 38 / 40


def test_a_corner_is_round():
    """Outside a corner, a pixel 2 right and 2 down is sqrt(8) away: in the band of 3, not of 2."""
    truth = square(10, size=30)
    for width, inside in ((2, False), (3, True)):
        prediction = truth.copy()
        prediction[21, 21] = 2
        right = scored(truth, prediction, widths=width).scores()[-1].pixel_accuracy
        assert (right < 1) == inside


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (19, 26), (33, 17)])
@pytest.mark.parametrize("seed", range(3))
def test_against_a_slow_twin(shape, seed):
    truth, prediction = noisy(*shape, seed), noisy(*shape, seed + 50, void=False)
    distances = slow_distances(truth)
    for band in scored(truth, prediction, widths=12).scores():
        counted = (distances <= band.width) & (truth != VOID)
        assert band.pixels == counted.sum()
        iou = [v for v in slow_iou(truth, prediction, counted) if v is not None]
        if iou:
            assert band.miou == pytest.approx(np.mean(iou), abs=1e-12)
            assert band.pixel_accuracy == pytest.approx((truth == prediction)[counted].mean())
        else:
            assert band.miou is band.pixel_accuracy is None


def test_the_widest_band_of_a_small_image_is_the_image():
    truth, prediction = noisy(20, 30, 1), noisy(20, 30, 2, void=False)
    matrix = count(truth, prediction, 3)
    last = scored(truth, prediction).scores()[-1]
    assert last.miou == pytest.approx(mean_iou(matrix))
    assert last.pixel_accuracy == pixel_accuracy(matrix)


def test_void_bounds_a_region_and_is_in_no_band():
    truth = np.zeros((9, 21), np.uint8)
    truth[:, 8:13] = VOID  # as VOC outlines an object
    truth[:, 13:] = 1
    prediction = np.where(truth == VOID, 1, truth).astype(np.uint8)
    scores = scored(truth, prediction).scores()
    assert [band.pixels for band in scores[:2]] == [18, 36]
    assert {band.miou for band in scores} == {1.0}


def test_images_add_up():
    maps = [(noisy(12, 18, i), noisy(12, 18, i + 9, void=False)) for i in range(4)]
    whole, first, second = (Trimap(3, widths=5) for _ in range(3))
    for place, (truth, prediction) in enumerate(maps):
        whole.update(truth, prediction)
        (first, second)[place % 2].update(truth, prediction)
    first += second
    np.testing.assert_array_equal(first.counts, whole.counts)
    assert first.scores() == whole.scores()


@pytest.mark.parametrize("truth", [np.full((5, 5), VOID, np.uint8), np.zeros((0, 4), np.uint8),
                                   np.zeros((5, 5), np.uint8)])  # fmt: skip
def test_no_boundary_gives_no_score(truth):
    band = scored(truth, np.zeros(truth.shape, np.uint8)).scores()[-1]
    assert (band.pixel_accuracy, band.miou, band.pixels) == (None, None, 0)


def test_wrong_arguments():
    for widths in (0, 1001):
        with pytest.raises(SettingsError, match=f"widths is {widths}; allowed: 1 to 1000"):
            Trimap(3, widths=widths)
    with pytest.raises(SettingsError, match="num_classes is 0"):
        Trimap(0)
    first = Trimap(3)
    with pytest.raises(SettingsError, match=r"cannot add counts made with .*'widths': 5"):
        first += Trimap(3, widths=5)
    truth = np.zeros((4, 4), np.uint8)
    with pytest.raises(DataError, match="prediction holds 3"):
        Trimap(3).update(truth, truth + 3)
    with pytest.raises(DataError, match="truth holds 7"):
        Trimap(3).update(truth + 7, truth)
    with pytest.raises(DataError, match=r"prediction is \(4, 3\)"):
        Trimap(3).update(truth, truth[:, :3])
    with pytest.raises(DataError, match="truth is int64"):
        Trimap(3).update(truth.astype(np.int64), truth)
