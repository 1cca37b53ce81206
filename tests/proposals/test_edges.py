"""Edge detectors without a network."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from upscore.edges.detectors import FromArray, GradientEdges
from upscore.edges.maps import edge_orientation, require_orientation, require_strength
from upscore.errors import DataError, SettingsError


def halves(colours: tuple[tuple[int, int, int], tuple[int, int, int]], axis: int) -> np.ndarray:
    image = np.empty((40, 50, 3), np.uint8)
    image[:] = colours[0]
    image[(slice(20, None), slice(None)) if axis == 0 else (slice(None), slice(25, None))] = (
        colours[1]
    )
    return image


@pytest.mark.parametrize(("axis", "normal"), [(0, np.pi / 2), (1, 0.0)])
@pytest.mark.parametrize(
    "colours",
    [((0, 0, 0), (255, 255, 255)), ((200, 80, 20), (80, 200, 20))],  # one of equal brightness
)
def test_gradient_finds_a_straight_edge(colours, axis: int, normal: float) -> None:
    strength, orientation = GradientEdges()(halves(colours, axis))
    assert strength.dtype == orientation.dtype == np.float32
    profile = strength.mean(axis=1 - axis)
    assert abs(int(profile.argmax()) - (19.5, 24.5)[axis]) <= 0.5
    assert profile.max() > 0.9
    assert profile[:4].max() < 0.1
    off = abs(orientation[20, 25] - normal)
    assert min(off, np.pi - off) < 1e-3


def test_gradient_of_noise_keeps_its_ranges() -> None:
    image = np.random.default_rng(0).integers(0, 255, (33, 47, 3)).astype(np.uint8)
    strength, orientation = GradientEdges()(image)
    require_orientation(orientation, require_strength(strength).shape)
    assert (orientation < np.pi).all()
    assert 0.05 < strength.mean() < 0.8


def test_one_colour_has_no_edge() -> None:
    assert GradientEdges()(np.full((20, 30, 3), 9, np.uint8))[0].max() == 0


def test_faint_noise_is_not_blown_up() -> None:
    image = np.full((60, 60, 3), 100, np.uint8)
    image[30, 30] += 1
    assert GradientEdges()(image)[0].max() < 0.3


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 5, 3), (2, 2, 3)])
def test_gradient_of_few_pixels(shape: tuple[int, ...]) -> None:
    strength, orientation = GradientEdges()(np.zeros(shape, np.uint8))
    assert strength.shape == orientation.shape == shape[:2]


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, float("nan")), (100.0,)])
def test_bad_scales(scales: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match="scales"):
        GradientEdges(scales)


@pytest.mark.parametrize("detector", [GradientEdges(), FromArray(np.zeros((9, 9), np.float32))])
def test_bad_images(detector) -> None:
    with pytest.raises(DataError, match="uint8"):
        detector(np.zeros((9, 9, 3), np.float32))


def test_settings_and_pickles() -> None:
    detector = pickle.loads(pickle.dumps(GradientEdges((1, 3))))
    assert detector.settings() == {"kind": "GradientEdges", "scales": [1.0, 3.0]}


def test_from_array_gives_what_it_got() -> None:
    strength = np.random.default_rng(0).random((9, 11)).astype(np.float32)
    image = np.zeros((9, 11, 3), np.uint8)
    found = FromArray(strength)(image)
    np.testing.assert_array_equal(found[0], strength)
    np.testing.assert_array_equal(found[1], edge_orientation(strength))
    orientation = np.full_like(strength, 1.5)
    given = FromArray(strength, orientation)
    np.testing.assert_array_equal(given(image)[1], orientation)
    assert given.settings() != FromArray(strength).settings()
    assert given.settings() == pickle.loads(pickle.dumps(given)).settings()
    with pytest.raises(DataError, match="edges of one image"):
        given(np.zeros((11, 9, 3), np.uint8))
    with pytest.raises(DataError, match="NaN"):
        FromArray(strength, np.full_like(strength, np.nan))
