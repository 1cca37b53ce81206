"""Unary energies against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from upscore.crf.unary import unary_from_labels, unary_from_softmax
from upscore.errors import DataError, SettingsError

# one row of two pixels, two classes
P = np.array([[[0.25, 1.0]], [[0.75, 0.0]]], dtype=np.float32)


def test_softmax_is_minus_log_with_a_floor() -> None:
    energies = unary_from_softmax(P)
    assert energies.dtype == np.float32
    expected = [[[math.log(4), 0.0]], [[math.log(4 / 3), -math.log(1e-5)]]]
    np.testing.assert_allclose(energies, expected, rtol=1e-6)


def test_scale_mixes_with_the_uniform_distribution() -> None:
    energies = unary_from_softmax(P, scale=0.5)
    expected = [
        [[-math.log(0.375), -math.log(0.75)]],
        [[-math.log(0.625), -math.log(0.25)]],
    ]
    np.testing.assert_allclose(energies, expected, rtol=1e-6)


def test_the_floor_holds_after_the_mixing() -> None:
    # 0.5 * 0 + 0.5 / 2 = 0.25, which a floor of 0.3 lifts
    assert unary_from_softmax(P, scale=0.5, clip=0.3)[1, 0, 1] == pytest.approx(-math.log(0.3))


def test_without_a_floor_the_impossible_is_infinite() -> None:
    with np.errstate(all="raise"):
        energies = unary_from_softmax(P, clip=None)
    assert np.isposinf(energies[1, 0, 1])
    assert energies[0, 0, 1] == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_float_and_any_memory_order(dtype: type) -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(4), (5, 3)).astype(dtype)  # (H, W, C)
    energies = unary_from_softmax(p.transpose(2, 0, 1))
    np.testing.assert_allclose(energies, -np.log(p.transpose(2, 0, 1)), atol=2e-2)
    assert energies.shape == (4, 5, 3)


def test_the_input_stays_as_it_was() -> None:
    before = P.copy()
    unary_from_softmax(P, scale=0.5)
    assert np.array_equal(P, before)


@pytest.mark.parametrize("shape", [(3, 1), (2, 1, 1), (2, 3, 4, 5), (1, 2, 2)])
def test_any_number_of_axes(shape: tuple[int, ...]) -> None:
    uniform = np.full(shape, 1 / shape[0])
    np.testing.assert_allclose(
        unary_from_softmax(uniform), math.log(shape[0]), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (P * 2, r"go from 0 to 2; expected numbers in \[0, 1\].*softmax"),
        (P - 0.5, r"go from -0\.5 to"),
        (P * np.nan, "go from nan"),
        (P + np.float32(np.inf), "go from inf"),
        (np.ones((2, 3, 3), np.uint8), "dtype uint8; expected float16"),
        (np.ones(3), r"shape \(3,\); expected \(C, H, W\)"),
        (np.ones((2, 0, 3)), r"shape \(2, 0, 3\); expected .* not empty"),
    ],
)
def test_what_is_no_softmax_is_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        unary_from_softmax(array)


@pytest.mark.parametrize("scale", [0, -1, 1.1, math.nan])
def test_scale_out_of_range(scale: float) -> None:
    with pytest.raises(SettingsError, match="scale is"):
        unary_from_softmax(P, scale=scale)


@pytest.mark.parametrize("clip", [0, -1, 1, math.nan])
def test_clip_out_of_range(clip: float) -> None:
    with pytest.raises(SettingsError, match="clip is"):
        unary_from_softmax(P, clip=clip)


def test_labels_share_what_is_left_among_the_others() -> None:
    energies = unary_from_labels(np.array([[0, 2, 255]], dtype=np.uint8), 3, 0.8)
    sure, other, none = -math.log(0.8), -math.log(0.1), math.log(3)
    expected = [[[sure, other, none]], [[other, other, none]], [[other, sure, none]]]
    assert energies.dtype == np.float32
    np.testing.assert_allclose(energies, expected, rtol=1e-6)
    np.testing.assert_allclose(np.exp(-energies).sum(axis=0), 1, rtol=1e-6)


def test_another_value_for_unlabelled_pixels_or_none() -> None:
    labels = np.array([[0, 1], [7, 1]], dtype=np.int32)
    energies = unary_from_labels(labels, 2, 0.9, unlabelled=7)
    assert energies[0, 1, 0] == energies[1, 1, 0] == pytest.approx(math.log(2))
    with pytest.raises(DataError, match=r"hold 7 \(1 pixels\); allowed: 0 to 1$"):
        unary_from_labels(labels, 2, 0.9, unlabelled=None)
    signed = unary_from_labels(np.array([[-1, 0]]), 2, 0.9, unlabelled=-1)
    assert signed[0, 0, 0] == signed[1, 0, 0]


def test_all_unlabelled_is_uniform() -> None:
    energies = unary_from_labels(np.full((2, 3), 255, np.uint8), 5, 0.9)
    np.testing.assert_allclose(energies, math.log(5), rtol=1e-6)


def test_more_classes_than_a_byte_holds() -> None:
    labels = np.array([[300, 255]], dtype=np.uint16)
    energies = unary_from_labels(labels, 400, 0.9, unlabelled=None)
    assert energies.argmin(axis=0).tolist() == [[300, 255]]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((1, 0.9), {}, "num_classes is 1; expected 2 or more"),
        ((0, 0.9), {}, "num_classes is 0"),
        ((2, 0.5), {}, r"confidence is 0\.5; expected more than 0\.5 \(chance among 2 classes\)"),
        ((2, 1.0), {}, "confidence is 1.0; expected .* less than 1"),
        ((2, math.nan), {}, "confidence is nan"),
        ((2, 0.9), {"unlabelled": 1}, "unlabelled is 1, which is one of the 2 classes"),
    ],
)
def test_wrong_arguments(arguments: tuple, options: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        unary_from_labels(np.zeros((2, 2), np.uint8), *arguments, **options)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([[0, 9, 9]], np.uint8), r"hold 9 \(2 pixels\); allowed: 0 to 2 and 255"),
        (np.array([[0, -2]]), r"hold -2 \(1 pixels\)"),
        (np.zeros((2, 2)), "dtype float64; expected integers"),
        (np.zeros((0, 2), np.uint8), r"shape \(0, 2\); expected \(H, W\)"),
    ],
)
def test_what_are_no_labels_is_refused(labels: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        unary_from_labels(labels, 3, 0.9)
