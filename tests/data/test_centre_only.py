"""Augmentation for patches: the label of the middle pixel alone."""

from __future__ import annotations

import numpy as np
import pytest

from upscore.core.labels import VOID
from upscore.core.settings import build
from upscore.data.dataset import Sample
from upscore.data.transforms import Augment
from upscore.errors import SettingsError


def pair(height: int, width: int) -> Sample:
    """Every pixel has its own colour, from which its class follows."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    image = np.stack([rows, columns, rows + columns], axis=2)
    return Sample(image, (rows * 7 + columns * 3) % 5, "photo")


@pytest.mark.parametrize("crop", [(11, 11), (8, 6), (25, 40)])
def test_the_middle_pixel_keeps_its_own_label(crop: tuple[int, int]) -> None:
    augment = Augment(crop=crop, centre_only=True, flip=0.5)
    sample, middle = pair(20, 30), (crop[0] // 2, crop[1] // 2)
    seen = set()
    for seed in range(40):
        found = augment(sample, np.random.default_rng(seed))
        assert found.labels.shape == crop
        label = found.labels[middle] if crop[1] % 2 else None
        kept = found.labels != VOID
        assert kept.sum() <= 1
        if label is not None and label != VOID:
            assert kept[middle]
            row, column, _ = (int(value) for value in found.image[middle])
            assert label == (row * 7 + column * 3) % 5
            seen.add((row, column))
    if crop == (11, 11):
        assert len(seen) > 10


def test_a_void_middle_leaves_no_label() -> None:
    sample = pair(20, 20)
    void = Sample(sample.image, np.full((20, 20), VOID, np.uint8), "void")
    found = Augment(crop=(5, 5), centre_only=True)(void, np.random.default_rng(0))
    assert (found.labels == VOID).all()


def test_mixed_patches_keep_the_label_of_what_is_in_the_middle() -> None:
    from upscore.data.transforms import cut_mix

    augment = Augment(crop=(9, 9), centre_only=True, mix=1.0)
    rng = np.random.default_rng(0)
    first, second = augment(pair(9, 9), rng), augment(pair(9, 9), rng)
    first.labels[4, 4], second.labels[4, 4] = 1, 2
    second.image[:] = 200
    both = {
        (int(mixed.labels[4, 4]), bool((mixed.image[4, 4] == 200).all()))
        for seed in range(30)
        for mixed in [cut_mix(first, second, np.random.default_rng(seed))]
    }
    assert both == {(1, False), (2, True)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"centre_only": True}, "centre_only is true, and there is no crop"),
        ({"centre_only": True, "crop": [9, 9], "rare": 0.5}, "rare is 0.5, which places crops"),
    ],
)
def test_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        build(Augment, settings, "augment")
