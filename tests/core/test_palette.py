"""Colours of classes: apart for every eye, and the background stays dark."""

from __future__ import annotations

import numpy as np

from upscore.core.labels import VOC_LABELS, Labels, voc_color
from upscore.core.palette import OKABE_ITO, bright_colors, without_green_receptors


def test_colors_are_apart_and_do_not_depend_on_their_number() -> None:
    colors = bright_colors(255)
    assert len(set(colors)) == 255
    for num in (0, 1, 7, 8, 40):
        assert bright_colors(num) == colors[:num]
    assert colors[:7] == OKABE_ITO
    assert (0, 0, 0) not in colors


def test_twelve_classes_are_apart_without_green_receptors() -> None:
    seen = without_green_receptors(np.array(bright_colors(12), np.uint8)).astype(int)
    for place, color in enumerate(seen):
        others = np.delete(seen, place, axis=0)
        assert np.abs(others - color).sum(axis=1).min() > 30
    # pure red and a green of the same lightness look alike to them, which the simulation shows
    red, green = without_green_receptors(np.array([[255, 0, 0], [0, 128, 0]], np.uint8)).astype(int)
    assert abs(red[0] - green[0]) < 80
    assert abs(red[2] - green[2]) < 60


def test_grey_stays_grey_without_green_receptors() -> None:
    grey = np.full((1, 3), 128, np.uint8)
    assert np.abs(without_green_receptors(grey).astype(int) - 128).max() <= 1


def test_only_vocs_own_classes_have_vocs_colors() -> None:
    assert VOC_LABELS.colors == tuple(voc_color(index) for index in range(21))
    labels = Labels.of(["leaf", "background", "root"])
    assert labels.colors == (OKABE_ITO[0], (0, 0, 0), OKABE_ITO[1])
