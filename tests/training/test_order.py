"""Orders of samples: every sample once a cycle, photos together, a function of the position."""

from __future__ import annotations

import numpy as np
import pytest

from upscore.training.sample_order import WINDOW, grouped_by_image, random_order


def cycle(photos: np.ndarray, per_read: int, seed: int = 0, number: int = 0) -> list[int]:
    order = grouped_by_image(photos, per_read)
    return [order(seed, number * len(photos) + place) for place in range(len(photos))]


PHOTOS = np.repeat(np.arange(300), np.arange(300) % 40)  # 0 to 39 crops of each of 300 photos


@pytest.mark.parametrize("per_read", [1, 8, 1000])
def test_each_crop_comes_once_a_cycle(per_read: int) -> None:
    first, second = cycle(PHOTOS, per_read), cycle(PHOTOS, per_read, number=1)
    assert sorted(first) == sorted(second) == list(range(len(PHOTOS)))
    assert first != second
    assert first != cycle(PHOTOS, per_read, seed=1)


def test_a_position_does_not_depend_on_those_before() -> None:
    assert grouped_by_image(PHOTOS, 8)(0, 7000) == cycle(PHOTOS, 8, number=1)[7000 - len(PHOTOS)]


def test_photos_are_decoded_once_for_about_so_many_crops() -> None:
    """With room for the photos of two windows, as few decodes as crops / per_read."""
    order = cycle(PHOTOS, 8)
    kept: list[int] = []
    decodes = 0
    for crop in order:
        photo = int(PHOTOS[crop])
        if photo not in kept:
            decodes += 1
            kept = [*kept, photo][-2 * WINDOW :]
    assert decodes == pytest.approx(len(PHOTOS) / 8, rel=0.35)
    shuffle = random_order(len(PHOTOS))
    assert len({int(PHOTOS[shuffle(0, place)]) for place in range(200)}) > 2 * WINDOW / 2


def test_neighbours_are_of_many_photos() -> None:
    order = cycle(PHOTOS, 8)
    batches = [{int(PHOTOS[crop]) for crop in order[at : at + 64]} for at in range(0, 5000, 64)]
    assert np.mean([len(photos) for photos in batches]) > 25


def test_one_crop() -> None:
    assert cycle(np.array([5]), 8) == [0]
