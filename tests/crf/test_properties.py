"""What holds for every image, whatever the settings."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crf.crf_cases import random_case, softmax
from upscore.crf import Bilateral, DenseCRF, Gaussian
from upscore.crf.terms import Normalization

FEW = settings(max_examples=25, deadline=None)
sides = st.integers(1, 40)
counts = st.sampled_from([1, 2, 3, 7, 8, 9, 16, 21])
deviations = st.floats(0.5, 100)
weights = st.floats(0, 10)
ways = st.sampled_from(["symmetric", "before", "after", "none"])
seeds = st.integers(0, 10_000)


def a_crf(sxy: float, srgb: float, weight: float, how: Normalization, threads: int = 1) -> DenseCRF:
    weight = weight / 100 if how == "none" else weight
    return DenseCRF(
        Gaussian(3, weight / 2),
        Bilateral(sxy, srgb, weight),
        iterations=4,
        normalization=how,
        threads=threads,
    )


@FEW
@given(sides, sides, counts, deviations, deviations, weights, ways, seeds)
def test_classes_sum_to_one(
    h: int, w: int, c: int, sxy: float, srgb: float, weight: float, how: Normalization, seed: int
) -> None:
    image, probabilities = random_case(seed, (h, w), c)
    result = a_crf(sxy, srgb, weight, how)(image, probabilities=probabilities)
    assert result.shape == (c, h, w)
    assert result.min() >= 0
    np.testing.assert_allclose(result.sum(axis=0), 1, atol=1e-5)


@FEW
@given(sides, sides, counts, deviations, weights, st.integers(0, 255))
def test_uniform_stays_uniform_on_a_flat_image(
    h: int, w: int, c: int, sxy: float, weight: float, grey: int
) -> None:
    image = np.full((h, w, 3), grey, np.uint8)
    energies = np.zeros((c, h, w), np.float32)
    result = a_crf(sxy, 13, weight, "symmetric")(image, energies=energies)
    np.testing.assert_allclose(result, 1 / c, rtol=1e-5)


@FEW
@given(sides, sides, counts, ways, seeds)
def test_classes_may_be_permuted(h: int, w: int, c: int, how: Normalization, seed: int) -> None:
    image, probabilities = random_case(seed, (h, w), c)
    order = np.random.default_rng(seed).permutation(c)
    crf = a_crf(10, 8, 3, how)
    result = crf(image, probabilities=probabilities)
    permuted = crf(image, probabilities=probabilities[order])
    np.testing.assert_allclose(permuted, result[order], atol=2e-3)


@FEW
@given(sides, sides, counts, st.floats(-100, 100), seeds)
def test_a_constant_on_all_energies_changes_nothing(
    h: int, w: int, c: int, constant: float, seed: int
) -> None:
    image, probabilities = random_case(seed, (h, w), c)
    energies = -np.log(probabilities.astype(np.float64))
    shift = constant * np.random.default_rng(seed).random((h, w))
    crf = a_crf(10, 8, 3, "symmetric")
    result = crf(image, energies=energies)
    np.testing.assert_allclose(crf(image, energies=energies + shift), result, atol=1e-3)


@FEW
@given(sides, sides, counts, ways, seeds)
def test_without_weight_it_is_the_softmax(
    h: int, w: int, c: int, how: Normalization, seed: int
) -> None:
    energies = np.random.default_rng(seed).normal(0, 20, (c, h, w)).astype(np.float32)
    result = a_crf(5, 5, 0.0, how)(None, energies=energies)
    np.testing.assert_allclose(result, softmax(-energies.astype(np.float64)), atol=1e-5)


@FEW
@given(st.integers(30, 120), st.integers(60, 120), counts, ways, seeds, st.integers(2, 4))
def test_threads_change_nothing(
    h: int, w: int, c: int, how: Normalization, seed: int, threads: int
) -> None:
    image, probabilities = random_case(seed, (h, w), c)
    one = a_crf(10, 8, 3, how)(image, probabilities=probabilities)
    many = a_crf(10, 8, 3, how, threads)(image, probabilities=probabilities)
    np.testing.assert_array_equal(one, many)
