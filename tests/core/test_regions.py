from __future__ import annotations

import numpy as np
from scipy import ndimage

from upscore.core.regions import connected_regions


def test_regions_agree_with_labelling_class_by_class() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(np.array([0, 1, 2, 255], np.uint8), (23, 31))
    regions = connected_regions(labels)
    assert (regions == 0).sum() == (labels == 255).sum()
    total = 0
    for index in (0, 1, 2):
        expected, count = ndimage.label(labels == index)
        total += count
        for number in range(1, count + 1):
            assert len(np.unique(regions[expected == number])) == 1
    assert len(np.unique(regions[regions > 0])) == total


def test_one_pixel_and_nothing_but_void() -> None:
    assert connected_regions(np.zeros((1, 1), np.uint8)).tolist() == [[1]]
    assert connected_regions(np.full((2, 3), 255, np.uint8)).tolist() == [[0, 0, 0]] * 2
    assert connected_regions(np.array([[9, 7]], np.uint8), void=9).tolist() == [[0, 1]]
