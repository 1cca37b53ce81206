"""Bad input: a clear error, or a defined result that is never NaN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crf.crf_cases import random_case
from upscore.crf import Bilateral, DenseCRF, Gaussian
from upscore.errors import DataError

CRF = DenseCRF(Gaussian(3, 3), Bilateral(10, 5, 5), iterations=3, threads=1)
IMAGE, PROBABILITIES = random_case(0, (20, 30), 4)


def changed(value: float, index: tuple[int, ...] = (2, 7, 11)) -> np.ndarray:
    p = PROBABILITIES.copy()
    p[index] = value
    return p


@pytest.mark.parametrize(
    ("probabilities", "match"),
    [
        (changed(np.nan), r"NaN at index \(2, 7, 11\)"),
        (changed(-0.25), r"negative number at index \(2, 7, 11\).*softmax"),
        (changed(np.inf), r"sum to inf .* pixel \(7, 11\)"),
        (PROBABILITIES * 255, r"sum to 255 .*pixel \(0, 0\) \(600 pixels"),
        (np.where(np.arange(30) == 3, 0, PROBABILITIES).astype(np.float32), r"sum to 0 .*\(0, 3\)"),
        ((PROBABILITIES * 255).astype(np.uint8), "dtype uint8"),
        (PROBABILITIES.astype(complex), "dtype complex"),
        (PROBABILITIES[0, 0], r"shape \(30,\)"),
        (PROBABILITIES[:0], r"shape \(0, 20, 30\)"),
        (PROBABILITIES[:, :, :0], r"shape \(4, 20, 0\)"),
        (PROBABILITIES.tolist(), "are a list"),
        (PROBABILITIES.astype(object), "dtype object"),
    ],
)
def test_wrong_probabilities(probabilities: np.ndarray, match: str) -> None:
    with pytest.raises(DataError, match=match):
        CRF(IMAGE, probabilities=probabilities)


@pytest.mark.parametrize(
    ("energies", "match"),
    [
        (changed(np.nan), r"NaN at pixel \(7, 11\)"),
        (changed(-np.inf), r"minus infinity at pixel \(7, 11\)"),
        (
            np.where(np.arange(30) == 3, np.inf, 0.0) + PROBABILITIES,
            r"every class at pixel \(0, 3\)",
        ),
        (PROBABILITIES.astype(str), "dtype"),
        (PROBABILITIES[0, 0], r"shape \(30,\)"),
        ([1.0], "are a list"),
    ],
)
def test_wrong_energies(energies: np.ndarray, match: str) -> None:
    with pytest.raises(DataError, match=match):
        CRF(IMAGE, energies=energies)


@pytest.mark.parametrize(
    ("image", "match"),
    [
        (None, "pass image="),
        (IMAGE[:, :-1], r"\(20, 29, 3\) .* \(20, 30\)"),
        (IMAGE.transpose(1, 0, 2), "same size"),
        (IMAGE[..., 0], r"image\[\.\.\., None\]"),
        (IMAGE[..., :0], "channels"),
        (IMAGE.tolist(), "a list"),
        (IMAGE.astype(str), "dtype"),
        (np.where(IMAGE > 9, np.nan, 1.0), "NaN"),
        (IMAGE.astype(np.float32) / 255, r"0\.\.1"),
    ],
)
def test_wrong_images(image: np.ndarray, match: str) -> None:
    with pytest.raises(DataError, match=match):
        CRF(image, probabilities=PROBABILITIES)


def test_one_of_both() -> None:
    with pytest.raises(DataError, match="either"):
        CRF(IMAGE)
    with pytest.raises(DataError, match="either"):
        CRF(IMAGE, probabilities=PROBABILITIES, energies=PROBABILITIES)


def expected() -> np.ndarray:
    return CRF(IMAGE, probabilities=PROBABILITIES)


def test_any_layout_and_precision() -> None:
    channels_last = np.ascontiguousarray(np.moveaxis(PROBABILITIES, 0, -1))
    read_only = PROBABILITIES.copy()
    read_only.setflags(write=False)
    backwards = PROBABILITIES[:, ::-1].copy()[:, ::-1]
    for same in (np.moveaxis(channels_last, -1, 0), read_only, backwards):
        np.testing.assert_array_equal(CRF(IMAGE, probabilities=same), expected())
    wide = PROBABILITIES.astype(np.float64)
    np.testing.assert_allclose(CRF(IMAGE, probabilities=wide), expected(), atol=1e-5)
    big_endian = PROBABILITIES.astype(">f4")
    np.testing.assert_allclose(CRF(IMAGE, probabilities=big_endian), expected(), atol=1e-6)
    half = PROBABILITIES.astype(np.float16)
    np.testing.assert_allclose(CRF(IMAGE, probabilities=half), expected(), atol=0.02)
    turned = np.asfortranarray(IMAGE)
    np.testing.assert_array_equal(CRF(turned, probabilities=PROBABILITIES), expected())
    as_float = IMAGE.astype(np.float64)
    np.testing.assert_array_equal(CRF(as_float, probabilities=PROBABILITIES), expected())


def test_input_is_left_alone() -> None:
    image, probabilities = IMAGE.copy(), PROBABILITIES.copy()
    result = CRF(image, probabilities=probabilities)
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(probabilities, PROBABILITIES)
    assert result.dtype == np.float32
    assert result.flags.c_contiguous


def test_certain_pixels() -> None:
    """Probabilities of 0 and 1, or of whatever underflows: defined, and no NaN."""
    sure = np.zeros((3, 20, 30), np.float32)
    sure[0, :, :15] = 1
    sure[1, :, 15:] = 1
    result = CRF(IMAGE, probabilities=sure)
    assert np.isfinite(result).all()
    np.testing.assert_allclose(result, sure, atol=1e-6)
    tiny = PROBABILITIES.copy()
    tiny[1] = 1e-45
    tiny /= tiny.sum(axis=0)
    assert np.isfinite(CRF(IMAGE, probabilities=tiny)).all()


@pytest.mark.parametrize("size", [1e30, 1e38, 3e38, -1e30, -3e38])
def test_enormous_energies(size: float) -> None:
    energies = np.zeros((3, 20, 30), np.float32)
    energies[1] = size
    energies[2, ::2] = -size
    result = CRF(IMAGE, energies=energies)
    assert np.isfinite(result).all()
    np.testing.assert_allclose(result.sum(axis=0), 1, atol=1e-5)
    assert result[1].max() == 0 if size > 0 else result[1, 1::2].min() == 1
    wide = np.array([0.0, 1e300, -1e300])[:, None, None] * np.ones((1, 20, 30))
    np.testing.assert_array_equal(CRF(IMAGE, energies=wide)[2], 1)


def test_impossible_classes() -> None:
    energies = -np.log(PROBABILITIES)
    energies[3] = np.inf
    result = CRF(IMAGE, energies=energies)
    assert (result[3] == 0).all()
    without = CRF(IMAGE, energies=energies[:3])
    np.testing.assert_allclose(result[:3], without, atol=1e-6)


def test_integer_energies_and_one_class() -> None:
    whole = np.random.default_rng(0).integers(-3, 3, (4, 20, 30))
    np.testing.assert_array_equal(
        CRF(IMAGE, energies=whole), CRF(IMAGE, energies=whole.astype(np.float32))
    )
    np.testing.assert_array_equal(CRF(IMAGE, energies=whole[:1]), 1)
    np.testing.assert_array_equal(CRF(IMAGE, probabilities=np.ones((1, 20, 30), np.float32)), 1)


def test_strong_weights_stay_finite() -> None:
    crf = DenseCRF(Gaussian(3, 1e6), Bilateral(10, 5, -1e6), normalization="none", threads=1)
    result = crf(IMAGE, probabilities=PROBABILITIES)
    assert np.isfinite(result).all()
    np.testing.assert_allclose(result.sum(axis=0), 1, atol=1e-5)


def test_a_flat_float_image_is_fine() -> None:
    flat = np.zeros((20, 30, 3), np.float32)
    assert np.isfinite(CRF(flat, probabilities=PROBABILITIES)).all()


def test_kernels_compile_where_nothing_can_be_kept(tmp_path: Path) -> None:
    """From a read-only installation of a user without a home, numba finds no folder."""
    from upscore.core.jit.compile import jit

    space: dict[str, object] = {}
    exec(compile("def twice(x):\n    return 2 * x\n", str(tmp_path / "gone.py"), "exec"), space)
    assert jit(space["twice"])(21) == 42  # type: ignore[type-var]
