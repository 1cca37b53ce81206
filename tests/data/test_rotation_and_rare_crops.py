"""Rotation, crops at rare classes, blur and gamma against their definitions."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import ndimage

from upscore.core.settings import build
from upscore.data.dataset import Sample
from upscore.data.transforms import Augment
from upscore.errors import SettingsError


def painted(labels: np.ndarray) -> Sample:
    """A photo whose first two channels are row and column."""
    rows, columns = np.indices(labels.shape)
    return Sample(
        np.stack([rows, columns, labels], axis=2).astype(np.uint8), labels.astype(np.uint8), "a"
    )


def draws(augment: Augment, sample: Sample, count: int, pixels: list[int] | None = None):
    """``count`` augmentations of a sample."""
    known = None if pixels is None else np.array(pixels)
    return [augment(sample, np.random.default_rng([5, k]), known) for k in range(count)]


def test_a_crop_turns_about_its_centre() -> None:
    """With the generator's draws repeated by hand: zoom, angle, row, column."""
    labels = np.random.default_rng(0).integers(0, 9, (60, 80))
    sample = painted(np.repeat(np.repeat(labels[:12, :16], 5, axis=0), 5, axis=1))
    out = Augment(crop=(17, 21), rotation=35)(sample, np.random.default_rng(8))
    hand = np.random.default_rng(8)
    hand.uniform(0, 0)
    angle = np.radians(hand.uniform(-35, 35))
    top, left = hand.integers(0, 60 - 17 + 1), hand.integers(0, 80 - 21 + 1)
    agree = 0
    for i, j in np.ndindex(17, 21):
        y, x = i - 8, j - 10
        row = top + 8.5 + np.cos(angle) * y - np.sin(angle) * x
        column = left + 10.5 + np.sin(angle) * y + np.cos(angle) * x
        inside = 0 <= row < 60 and 0 <= column < 80
        expected = sample.labels[int(row), int(column)] if inside else 255
        agree += out.labels[i, j] == expected
    assert agree >= 17 * 21 - 2  # points on a border between two pixels
    assert out.labels[8, 10] == sample.labels[top + 8, left + 10]


def test_angles_span_the_range_in_both_directions() -> None:
    rows, _ = np.indices((200, 200))
    sample = painted(rows % 256)
    angles = []
    for out in draws(Augment(crop=(21, 21), rotation=20), sample, 200):
        grey = out.image[..., 0].astype(float)
        if (out.labels == 255).any():
            continue
        down, right = (np.diff(grey, axis=axis).mean() for axis in (0, 1))
        angles.append(np.degrees(np.arctan2(right, down)))
    assert len(angles) > 100
    assert -20.5 < min(angles) < -17
    assert 17 < max(angles) < 20.5
    assert abs(np.mean(angles)) < 3


@pytest.mark.parametrize(
    "augment",
    [
        Augment(crop=(20, 24), rare=1.0, flip=0.5),
        Augment(crop=(20, 24), rare=1.0, scale=(1.0, 3.0)),
        Augment(crop=(20, 24), rare=1.0, scale=(2.0, 3.0), rotation=45),
        Augment(crop=(20, 24), rare=1.0, scale=(0.7, 1.0), resize=(90, 300)),
    ],
)
def test_every_rare_crop_holds_the_class(augment: Augment) -> None:
    rng = np.random.default_rng(1)
    plain = augment.model_copy(update={"rare": 0.0})
    without = 0
    for seed in range(60):
        labels = np.zeros((100, 140), np.uint8)
        top, left = rng.integers(0, 98), rng.integers(0, 138)
        labels[top : top + 3, left : left + 3] = 1
        labels[rng.integers(0, 100)] = 255
        labels[top + 1, left + 1] = 1
        pixels = np.array([10**9, 9])
        out = augment(painted(labels), np.random.default_rng(seed), pixels)
        assert out.labels.shape == (20, 24)
        assert (out.labels == 1).any()
        without += not (plain(painted(labels), np.random.default_rng(seed)).labels == 1).any()
    assert without > 30


def test_classes_of_the_photo_are_drawn_inversely_to_their_pixels() -> None:
    """Crops of one pixel show which class and pixel were drawn."""
    labels = np.zeros((10, 12), np.uint8)
    labels[2, 3:7] = 2
    labels[8, 1:3] = 4
    out = draws(Augment(crop=(1, 1), rare=1.0), painted(labels), 3000, [30, 5, 10, 1, 60])
    found = Counter(int(one.labels[0, 0]) for one in out)
    weights = {0: 1 / 30, 2: 1 / 10, 4: 1 / 60}
    for label, weight in weights.items():
        assert found[label] / 3000 == pytest.approx(weight / sum(weights.values()), abs=0.03)
    assert set(found) == set(weights)
    columns = Counter(int(one.image[0, 0, 1]) for one in out if one.labels[0, 0] == 2)
    assert set(columns) == {3, 4, 5, 6}
    assert min(columns.values()) > 0.8 * max(columns.values())


def test_without_counts_or_with_a_count_of_zero() -> None:
    labels = np.zeros((10, 12), np.uint8)
    labels[2, 3:7] = 1
    alike = draws(Augment(crop=(1, 1), rare=1.0), painted(labels), 1000)
    assert np.mean([one.labels[0, 0] == 1 for one in alike]) == pytest.approx(0.5, abs=0.06)
    never = draws(Augment(crop=(1, 1), rare=1.0), painted(labels), 50, [10**6, 0])
    assert all(one.labels[0, 0] == 1 for one in never)


def test_the_share_of_rare_crops() -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[7, 9] = 1
    out = draws(Augment(crop=(1, 1), rare=0.3), painted(labels), 1000, [10**9, 1])
    assert np.mean([one.labels[0, 0] == 1 for one in out]) == pytest.approx(0.3, abs=0.05)


def test_the_pixel_is_anywhere_in_the_crop() -> None:
    for column, places in ((10, range(5)), (1, range(2)), (29, range(4, 5))):
        labels = np.zeros((1, 30), np.uint8)
        labels[0, column] = 1
        out = draws(Augment(crop=(1, 5), rare=1.0), painted(labels), 400, [10**9, 1])
        found = Counter(int(np.flatnonzero(one.labels[0] == 1)[0]) for one in out)
        assert set(found) == set(places)
        assert min(found.values()) > 0.6 * max(found.values())


def test_a_photo_that_is_all_void_and_one_that_is_smaller() -> None:
    augment = Augment(crop=(6, 8), rare=1.0)
    void = augment(painted(np.full((20, 20), 255)), np.random.default_rng(0), np.array([1, 1]))
    assert (void.labels == 255).all()
    labels = np.zeros((4, 5), np.uint8)
    labels[3, 4] = 1
    small = augment(painted(labels), np.random.default_rng(0), np.array([9, 1]))
    assert ((small.labels != 255).sum(), (small.labels == 1).sum()) == (20, 1)


def test_blur_is_a_gaussian() -> None:
    image = np.random.default_rng(1).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    image = ndimage.gaussian_filter(image, (1, 1, 0))
    sample = Sample(image, np.zeros((60, 60), np.uint8), "noise")
    out = Augment(blur=4.0)(sample, np.random.default_rng(5)).image
    hand = np.random.default_rng(5)
    hand.uniform(0, 0)
    deviation = hand.uniform(0, 4)
    assert deviation > 1
    expected = ndimage.gaussian_filter(image.astype(float), (deviation, deviation, 0))
    inside = slice(12, -12)
    assert np.abs(out.astype(float) - expected)[inside, inside].max() <= 3
    assert np.abs(image.astype(float) - expected)[inside, inside].max() > 10


def test_gamma_is_a_power_of_the_values() -> None:
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    sample = Sample(image, np.zeros((16, 16), np.uint8), "ramp")
    powers = []
    for seed in range(100):
        out = Augment(gamma=0.5)(sample, np.random.default_rng(seed)).image
        power = np.log(out[8, 0, 0] / 255) / np.log(image[8, 0, 0] / 255)
        assert np.abs(out - 255 * (image / 255.0) ** power).max() <= 2
        powers.append(power)
    assert 1 / 1.52 < min(powers) < 0.72
    assert 1.4 < max(powers) < 1.52


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rotation": 200}, "rotation: input should be less than or equal to 180"),
        ({"rotation": -5}, "rotation: input should be greater than or equal to 0"),
        ({"rare": 1.5}, "rare: input should be less than or equal to 1"),
        ({"rare": 0.5}, r"rare is 0\.5, which places crops, .*set crop to \[height, width\]"),
        ({"mix": 0.5}, r"mix is 0\.5, and samples of different sizes .*set crop to"),
        ({"mix": 0.5, "resize": [9, 9], "scale": [0.5, 1]}, "mix is 0.5, and samples of different"),
        ({"blur": 21}, "blur: input should be less than or equal to 20"),
        ({"gamma": -1}, "gamma: input should be greater than or equal to 0"),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        build(Augment, settings, "recipe")
