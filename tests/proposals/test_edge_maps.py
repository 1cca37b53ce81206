"""Orientation and thinning against numpy and by hand; refusals are in test_edge_boxes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from upscore.edges.maps import (
    edge_orientation,
    require_orientation,
    require_strength,
    thin_edges,
)
from upscore.errors import SettingsError


def ridge(angle: float, size: int = 41) -> np.ndarray:
    """A line through the middle whose normal has this angle."""
    y, x = np.mgrid[:size, :size] - size // 2
    distance = x * np.cos(angle) + y * np.sin(angle)
    return np.exp(-(distance**2) / 8).astype(np.float32)


def numpy_orientation(strength: np.ndarray) -> np.ndarray:
    triangle = np.array([1, 2, 3, 4, 5, 4, 3, 2, 1]) / 25
    smooth = strength.astype(np.float64)
    for axis in (0, 1):
        smooth = ndimage.correlate1d(smooth, triangle, axis=axis, mode="reflect")
    down, across = np.gradient(smooth)
    xx, xy, yy = np.gradient(across)[1], np.gradient(down)[1], np.gradient(down)[0]
    return np.mod(np.arctan(yy * np.where(xy > 0, -1, 1) / (xx + 1e-5)), np.pi)


def test_orientation_is_numpys() -> None:
    strength = ndimage.gaussian_filter(np.random.default_rng(0).random((37, 52)), 2)
    strength = (strength / strength.max()).astype(np.float32)
    difference = np.abs(edge_orientation(strength) - numpy_orientation(strength))
    difference = np.minimum(difference, np.pi - difference)
    assert np.quantile(difference, 0.98) < 1e-2  # derivatives near 0 round
    assert np.median(difference) < 1e-4


@pytest.mark.parametrize("angle", [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4])
def test_orientation_of_a_line_is_its_normals(angle: float) -> None:
    found = edge_orientation(ridge(angle))
    assert found.dtype == np.float32
    assert (found >= 0).all()
    assert (found < np.pi).all()
    off = abs(found[20, 20] - angle)
    assert min(off, np.pi - off) < 0.02


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3)])
def test_orientation_and_thinning_of_few_pixels(shape: tuple[int, int]) -> None:
    strength = np.random.default_rng(0).random(shape).astype(np.float32)
    orientation = edge_orientation(strength)
    thin = thin_edges(strength, orientation)
    assert np.isfinite(orientation).all()
    assert ((thin == 0) | (thin == strength)).all()


def test_orientation_in_an_image_of_one_column() -> None:
    strength = np.random.default_rng(0).random((9, 1)).astype(np.float32)
    second = np.gradient(np.gradient(strength, axis=0), axis=0)
    expected = np.mod(np.arctan(second / np.float32(1e-5)), np.pi)
    np.testing.assert_allclose(edge_orientation(strength, radius=0), expected, rtol=1e-5)


@pytest.mark.parametrize("angle", [0, np.pi / 2])
def test_thinning_leaves_the_middle_of_a_line(angle: float) -> None:
    strength = ridge(angle)
    thin = thin_edges(strength, np.full_like(strength, angle))
    expected = np.where(strength == 1, strength, 0)
    np.testing.assert_array_equal(thin, expected)


def test_thinning_by_hand() -> None:
    row = np.array([[0.1, 0.5, 0.4, 0.45, 0.1, 0.0, 0.3]], np.float32)
    across, along = np.zeros_like(row), np.full_like(row, np.pi / 2)
    # at radius 2, 0.5 is near enough to 0.45 to end it; at radius 1, it is not
    assert np.flatnonzero(thin_edges(row, across, radius=2)).tolist() == [1, 6]
    assert np.flatnonzero(thin_edges(row, across, radius=1)).tolist() == [1, 3, 6]
    assert np.flatnonzero(thin_edges(row, along)).tolist() == [0, 1, 2, 3, 4, 6]
    assert 3 in np.flatnonzero(thin_edges(row, across, multiplier=1.2))


def test_thinning_twice_is_thinning_once() -> None:
    strength = np.random.default_rng(0).random((60, 70)).astype(np.float32)
    orientation = edge_orientation(strength)
    once = thin_edges(strength, orientation)
    np.testing.assert_array_equal(thin_edges(once, orientation), once)


def test_border_fades() -> None:
    strength = np.full((12, 12), 0.8, np.float32)
    faded = thin_edges(strength, np.zeros_like(strength), border=4)
    np.testing.assert_allclose(faded[6, :6], [0, 0.2, 0.4, 0.6, 0.8, 0.8], rtol=1e-6)
    np.testing.assert_allclose(faded[:6, 6], [0, 0.2, 0.4, 0.6, 0.8, 0.8], rtol=1e-6)


def test_rounding_is_not_refused() -> None:
    assert require_strength(np.full((2, 2), 1.00005)).max() == 1
    assert require_strength(np.ones((2, 2), np.float16)).dtype == np.float32
    orientation = np.full((2, 2), np.pi, np.float32)
    assert (require_orientation(orientation, (2, 2)) == 0).all()


def test_bad_settings() -> None:
    strength = np.zeros((5, 5), np.float32)
    with pytest.raises(SettingsError, match="radius is -1"):
        edge_orientation(strength, radius=-1)
    with pytest.raises(SettingsError, match="radius is 0"):
        thin_edges(strength, strength, radius=0)
    with pytest.raises(SettingsError, match="border is -2"):
        thin_edges(strength, strength, border=-2)
    with pytest.raises(SettingsError, match=r"multiplier is 0\.5"):
        thin_edges(strength, strength, multiplier=0.5)
