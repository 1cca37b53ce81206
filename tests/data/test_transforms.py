"""Augmentation keeps photo and mask registered and depends on the generator alone."""

from __future__ import annotations

import numpy as np
import pytest

from upscore.core.settings import build
from upscore.data.dataset import Sample
from upscore.data.transforms import Augment, resize_pair
from upscore.errors import SettingsError


def checker(height: int = 40, width: int = 56) -> Sample:
    """Blocks of 8 pixels: class k is painted with grey 60 * k, which determines the mask."""
    rows, columns = np.mgrid[:height, :width] // 8
    labels = ((rows + 2 * columns) % 4).astype(np.uint8)
    return Sample(np.repeat((labels * 60)[..., None], 3, axis=2), labels, "checker")


def agreement(sample: Sample) -> float:
    """Share of the valid pixels whose grey is nearest to that of their label."""
    grey = sample.image[..., 0].astype(float)
    valid = sample.labels != 255
    return float((np.rint(grey / 60) == sample.labels)[valid].mean())


@pytest.mark.parametrize(
    "augment",
    [
        Augment(flip=0.5),
        Augment(crop=(24, 32), flip=0.5),
        Augment(crop=(64, 64), scale=(0.5, 2.0), flip=0.5),
        Augment(crop=(33, 47), scale=(0.7, 3.0)),
        Augment(resize=(31, 77)),
        Augment(scale=(0.5, 1.5)),
        Augment(rotation=180),
        Augment(crop=(33, 47), scale=(0.7, 3.0), rotation=40, flip=0.5),
        Augment(crop=(64, 64), scale=(0.5, 2.0), rotation=15, rare=1.0),
    ],
)
def test_photo_and_mask_stay_registered(augment: Augment) -> None:
    for seed in range(12):
        out = augment(checker(), np.random.default_rng(seed))
        assert out.image.shape[:2] == out.labels.shape
        assert out.image.dtype == out.labels.dtype == np.uint8
        assert agreement(out) > 0.75  # blurred block borders; a shift by 4 pixels gives < 0.6
        if augment.crop:
            assert out.labels.shape == augment.crop


def test_a_crop_in_scale_one_is_exact() -> None:
    sample = checker()
    out = Augment(crop=(16, 24))(sample, np.random.default_rng(3))
    windows = np.lib.stride_tricks.sliding_window_view(sample.labels, (16, 24))
    assert (windows == out.labels).all(axis=(2, 3)).any()
    assert agreement(out) == 1.0


def test_padding_is_void_and_of_mean_colour() -> None:
    sample = checker(10, 10)
    out = Augment(crop=(30, 30))(sample, np.random.default_rng(0))
    assert (out.labels != 255).sum() == 100
    ground = out.image[out.labels == 255]
    assert len(np.unique(ground, axis=0)) == 1
    assert abs(int(ground[0, 0]) - sample.image.mean()) <= 1


def test_one_pixel_photo() -> None:
    one = Sample(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint8), "one")
    out = Augment(crop=(8, 8), scale=(0.2, 0.5), flip=1.0, brightness=0.2)(
        one, np.random.default_rng(0)
    )
    assert out.labels.shape == (8, 8)
    assert (out.labels != 255).sum() == 1
    turned = Augment(crop=(3, 90), scale=(0.2, 2.0), rotation=90, rare=0.5)
    for seed in range(40):
        assert turned(one, np.random.default_rng(seed)).labels.shape == (3, 90)


def test_same_generator_same_pair_and_input_untouched() -> None:
    augment = Augment(crop=(20, 20), scale=(0.5, 2), flip=0.5, brightness=0.3, hue=0.1)
    sample = checker()
    before = sample.image.copy()
    a = augment(sample, np.random.default_rng([7, 1]))
    b = augment(sample, np.random.default_rng([7, 1]))
    assert np.array_equal(a.image, b.image)
    assert np.array_equal(a.labels, b.labels)
    assert np.array_equal(sample.image, before)


def test_colours_against_the_textbook() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)
    sample = Sample(image, np.zeros((9, 11), np.uint8), "noise")
    out = Augment(saturation=0.5)(sample, np.random.default_rng(5)).image
    # the same draw, by hand (crop and flip draw nothing but the zoom)
    hand = np.random.default_rng(5)
    hand.uniform(0, 0)
    factor = hand.uniform(0.5, 1.5)
    grey = image.mean(axis=2, keepdims=True)
    expected = np.clip(np.rint(grey + factor * (image - grey)), 0, 255)
    assert np.abs(out.astype(float) - expected).max() <= 1


def test_hue_keeps_the_mean_grey() -> None:
    image = np.random.default_rng(1).integers(80, 170, (16, 16, 3), dtype=np.uint8)
    sample = Sample(image, np.zeros((16, 16), np.uint8), "noise")
    out = Augment(hue=0.5)(sample, np.random.default_rng(2)).image
    assert np.abs(out.mean(axis=2) - image.mean(axis=2)).max() < 1.0
    assert np.abs(out.astype(int) - image).max() > 10


@pytest.mark.parametrize("scale", [[2.0, 1.0], [0.0, 1.0], [1.0, 30.0]])
def test_scale_range_is_checked(scale: list[float]) -> None:
    with pytest.raises(SettingsError, match=r"0\.05 <= low <= high <= 20"):
        build(Augment, {"scale": scale}, "recipe")


def test_mask_is_never_interpolated() -> None:
    sample = checker()
    _, labels = resize_pair(sample.image, sample.labels, (77, 31))
    assert set(np.unique(labels)) <= {0, 1, 2, 3}
