from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from inference.support import ByColor, random_photo, wrap
from upscore.errors import DataError, SettingsError
from upscore.inference import test_time_augmentation as tta


def test_scale_one_alone_is_plain(by_color, photo):
    averaged = tta.TestTimeAugmentation(by_color)
    assert np.array_equal(averaged.probabilities(photo), by_color.probabilities(photo))
    assert np.array_equal(averaged.predict(photo), by_color.predict(photo))


def test_flip_changes_nothing_for_an_equivariant_network(by_color, photo):
    averaged = tta.TestTimeAugmentation(by_color, flip=True)
    np.testing.assert_allclose(
        averaged.probabilities(photo), by_color.probabilities(photo), atol=1e-7
    )


def test_flip_is_the_mean_of_both_for_any_network(photo):
    segmenter = wrap(nn.Conv2d(3, 3, 3, padding=1))
    want = segmenter.probabilities(photo) / 2
    want += segmenter.probabilities(photo[:, ::-1])[..., ::-1] / 2
    got = tta.TestTimeAugmentation(segmenter, flip=True).probabilities(photo)
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert not np.allclose(got, segmenter.probabilities(photo), atol=1e-4)


def test_scales_see_resized_photos_and_give_the_photos_size(by_color, photo):
    averaged = tta.TestTimeAugmentation(by_color, scales=(0.5, 1.0, 1.25), flip=True)
    probabilities = averaged.probabilities(photo)
    assert by_color.sizes == [(24, 32), (24, 32), (48, 64), (48, 64), (60, 80), (60, 80)]
    assert probabilities.shape == (3, 48, 64)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)
    # a smooth picture looks much the same at every size
    assert (averaged.predict(photo) == by_color.predict(photo)).mean() > 0.9


def test_softmax_of_scores_is_the_mean(by_color, photo):
    averaged = tta.TestTimeAugmentation(by_color, scales=(0.75, 1.0))
    exp = np.exp(averaged.scores(photo))
    np.testing.assert_allclose(exp, averaged.probabilities(photo), atol=1e-6)


def test_scores_stay_finite_where_a_class_is_impossible(photo):
    class Sure(ByColor):
        def probabilities(self, image):
            one = np.zeros((3, *image.shape[:2]), np.float32)
            one[1] = 1
            return one

    assert np.isfinite(tta.TestTimeAugmentation(Sure(), flip=True).scores(photo)).all()


def test_one_pixel(by_color):
    averaged = tta.TestTimeAugmentation(by_color, scales=(0.1, 1.0, 2.0), flip=True)
    assert averaged.predict(random_photo(1, 1)).shape == (1, 1)


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ((), "scales are empty; allowed"),
        ((1.0, 0.0), r"scales hold 0\.0; allowed: .* over 0 and up to 8"),
        ((-1.0,), r"hold -1\.0"),
        ((9.0,), r"hold 9\.0"),
        ((float("nan"),), "hold nan"),
    ],
)
def test_impossible_scales_are_refused(by_color, scales, message):
    with pytest.raises(SettingsError, match=message):
        tta.TestTimeAugmentation(by_color, scales=scales)


def test_what_is_no_image_is_refused(by_color):
    with pytest.raises(DataError, match="dtype float64"):
        tta.TestTimeAugmentation(by_color).predict(np.zeros((3, 3, 3)))
