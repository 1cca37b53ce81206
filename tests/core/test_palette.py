"""Colours of classes: apart for every eye, and the background stays dark."""

from __future__ import annotations

import numpy as np
import pytest

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


PROTANOPIA = np.array(
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
     [-0.003882, -0.048116, 1.051998]]
)  # fmt: skip
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
     [-0.011820, 0.042940, 0.968881]]
)  # fmt: skip
"""Linear RGB without red and without green receptors: Machado and others 2009, severity 1."""

SEEN = {
    "protanopia": [
        (155, 179, 236), (129, 113, 0), (248, 220, 35), (154, 146, 113), (128, 139, 169),
        (83, 117, 181), (185, 162, 0), (0, 95, 255),
    ],
    "deuteranopia": [
        (135, 164, 232), (158, 140, 0), (252, 227, 78), (138, 134, 118), (148, 152, 165),
        (59, 103, 177), (202, 180, 17), (0, 71, 252),
    ],
}  # fmt: skip
"""The first eight colours by colorspacious 1.1.2 (sRGB1+CVD, severity 100), clipped and rounded."""


def as_seen(colors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """sRGB (N, 3) in [0, 1] as seen by the colour-blind."""
    linear = np.where(colors > 0.04045, ((colors + 0.055) / 1.055) ** 2.4, colors / 12.92)
    seen = np.einsum("ij,nj->ni", matrix, linear).clip(0, 1)
    return np.where(seen > 0.0031308, 1.055 * seen ** (1 / 2.4) - 0.055, 12.92 * seen)


def lab(colors: np.ndarray) -> np.ndarray:
    """CIE Lab (N, 3) of sRGB (N, 3) in [0, 1], white of D65."""
    linear = np.where(colors > 0.04045, ((colors + 0.055) / 1.055) ** 2.4, colors / 12.92)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    ratio = linear @ np.transpose(to_xyz) / (0.9505, 1.0, 1.089)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )


def nearest(colors: np.ndarray) -> float:
    """The smallest distance in Lab (CIE76) between two of the colours."""
    values = lab(colors)
    distances = np.linalg.norm(values[:, None] - values[None], axis=2)
    return float(distances[~np.eye(len(values), dtype=bool)].min())


def test_lab_has_known_values() -> None:
    got = lab(np.array([[1.0, 1, 1], [1, 0, 0], [0, 0, 1]]))
    np.testing.assert_allclose(
        got, [[100, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]], atol=0.06
    )


@pytest.mark.parametrize(
    ("kind", "matrix"), [("protanopia", PROTANOPIA), ("deuteranopia", DEUTERANOPIA)]
)
def test_eight_classes_are_apart_for_the_red_green_blind(kind: str, matrix: np.ndarray) -> None:
    seen = as_seen(np.array(bright_colors(8)) / 255, matrix)
    np.testing.assert_allclose(seen * 255, SEEN[kind], atol=0.51)
    assert nearest(seen) > 15  # a difference of 2.3 is just seen
    if kind == "deuteranopia":
        np.testing.assert_array_equal(
            without_green_receptors(np.array(bright_colors(8), np.uint8)), SEEN[kind]
        )


def test_voc_s_colors_would_not_be_apart() -> None:
    seen = as_seen(np.array([voc_color(index) for index in range(1, 9)]) / 255, DEUTERANOPIA)
    assert nearest(seen) < 15
