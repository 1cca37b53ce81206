"""Mean field against brute force, its options, and use from threads and processes."""

from __future__ import annotations

import multiprocessing
import pickle
import threading

import numpy as np
import pytest

from crf.brute_force import MAX_PIXELS, brute_force
from crf.crf_cases import random_case
from upscore.crf import Bilateral, DenseCRF, Features, Gaussian, Potts
from upscore.crf.lattice.engine import Engine
from upscore.crf.mean_field import CRFResult
from upscore.crf.terms import Normalization
from upscore.errors import DataError, SettingsError


def both(crf: DenseCRF, seed: int, shape: tuple[int, ...], num_classes: int, **options: float
         ) -> tuple[CRFResult, CRFResult]:  # fmt: skip
    image, probabilities = random_case(seed, shape, num_classes, **options)  # type: ignore[arg-type]
    exact = brute_force(crf, image, probabilities=probabilities)
    return crf.infer(image, probabilities=probabilities, kl=True), exact


@pytest.mark.parametrize("how", ["symmetric", "before", "after"])
def test_close_to_brute_force(how: Normalization) -> None:
    """Random images, deviations and class counts: 95 % of the labels, 0.03 on average."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        shape = (int(rng.integers(8, 45)), int(rng.integers(8, 45)))
        crf = DenseCRF(
            Gaussian(rng.uniform(0.7, 6), 1.5),
            Bilateral(rng.uniform(2, 30), rng.uniform(4, 40), 2),
            normalization=how,
            iterations=5,
        )
        ours, exact = both(crf, seed, shape, int(rng.integers(2, 20)), noise=rng.uniform(0, 10))
        assert np.abs(ours.marginals - exact.marginals).mean() < 0.03
        same = ours.marginals.argmax(axis=0) == exact.marginals.argmax(axis=0)
        assert same.mean() > 0.95
        assert ours.iterations == exact.iterations == 5


def test_closer_in_fewer_dimensions() -> None:
    """A Gaussian term alone, at weights that do not push everything over: 0.02 everywhere."""
    for seed, sxy in enumerate((1.0, 3.0, (2.0, 6.0), 10.0)):
        ours, exact = both(DenseCRF(Gaussian(sxy, 1.0)), seed, (40, 33), 4)
        assert np.abs(ours.marginals - exact.marginals).max() < 0.05


def test_unnormalised_as_brute_force() -> None:
    crf = DenseCRF(Gaussian(2, 0.03), Bilateral(10, 20, 0.01), normalization="none", iterations=5)
    ours, exact = both(crf, 1, (30, 30), 4)
    assert np.abs(ours.marginals - exact.marginals).mean() < 0.02


def test_a_matrix_that_is_potts() -> None:
    image, probabilities = random_case(2, (30, 40), 5)
    terms = (Gaussian(3, 2), Bilateral(10, 10, 3))
    potts = DenseCRF(*terms, compatibility=Potts(0.7))(image, probabilities=probabilities)
    for matrix in (0.7 * (1 - np.eye(5)), -0.7 * np.eye(5)):
        crf = DenseCRF(*terms, compatibility=matrix)
        result = crf(image, probabilities=probabilities)
        np.testing.assert_allclose(result, potts, atol=2e-4)


@pytest.mark.parametrize("num_classes", [3, 11])
def test_a_lopsided_matrix(num_classes: int) -> None:
    """mu(l, l') is what class l pays for a neighbour of class l', not the other way round."""
    matrix = np.random.default_rng(0).uniform(0, 1.5, (num_classes, num_classes))
    crf = DenseCRF(Gaussian(2, 1.0), compatibility=matrix)
    ours, exact = both(crf, 3, (25, 31), num_classes)
    assert np.abs(ours.marginals - exact.marginals).max() < 0.05
    turned = DenseCRF(Gaussian(2, 1.0), compatibility=matrix.T)
    other, _ = both(turned, 3, (25, 31), num_classes)
    assert np.abs(ours.marginals - other.marginals).max() > 0.1


def test_several_terms_and_deviations_per_axis() -> None:
    image, probabilities = random_case(4, (30, 40), 3)
    x = np.broadcast_to(np.arange(40, dtype=np.float32) / 5, (30, 40))
    y = np.broadcast_to(np.arange(30, dtype=np.float32)[:, None] / 2, (30, 40))
    named = DenseCRF(terms=[Gaussian((5, 2), 1.5)])(None, probabilities=probabilities)
    general = DenseCRF(terms=[Features(np.stack([x, y]), 1.5)])(None, probabilities=probabilities)
    np.testing.assert_allclose(named, general, atol=1e-5)
    one = DenseCRF(Gaussian(3, 3), normalization="after")
    two = DenseCRF(Gaussian(3, 1), terms=[Gaussian(3, 2)], normalization="after")
    np.testing.assert_allclose(
        one(image, probabilities=probabilities), two(image, probabilities=probabilities), atol=1e-4
    )
    own = DenseCRF(Gaussian(3, 3, normalization="after"), normalization="none")
    np.testing.assert_array_equal(
        own(image, probabilities=probabilities), one(image, probabilities=probabilities)
    )


@pytest.mark.parametrize(("shape", "channels"), [((50,), 1), ((9, 11, 13), 1), ((20, 22), 4)])
def test_any_axes_and_channels(shape: tuple[int, ...], channels: int) -> None:
    crf = DenseCRF(Gaussian(2, 1), Bilateral(4, 30, 1), iterations=5)
    ours, exact = both(crf, 5, shape, 3, channels=channels)
    assert ours.marginals.shape == (3, *shape)
    assert np.abs(ours.marginals - exact.marginals).mean() < 0.02


def test_depth_as_a_float_image() -> None:
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 8, (20, 30, 1)).astype(np.float32)
    _, probabilities = random_case(1, (20, 30), 4)
    crf = DenseCRF(bilateral=Bilateral(5, 0.5, 2))
    exact = brute_force(crf, depth, probabilities=probabilities).marginals
    assert np.abs(crf(depth, probabilities=probabilities) - exact).mean() < 0.03


def test_tolerance_ends_early() -> None:
    image, probabilities = random_case(6, (40, 40), 4)
    crf = DenseCRF(Gaussian(2, 1), iterations=60, tolerance=1e-4)
    result = crf.infer(image, probabilities=probabilities)
    assert 2 < result.iterations < 60
    same = DenseCRF(Gaussian(2, 1), iterations=result.iterations)(
        image, probabilities=probabilities
    )
    np.testing.assert_array_equal(result.marginals, same)
    before = DenseCRF(Gaussian(2, 1), iterations=result.iterations - 1)
    change = np.abs(before(image, probabilities=probabilities) - same).max()
    assert change <= 1e-4
    more = DenseCRF(Gaussian(2, 1), iterations=60)(image, probabilities=probabilities)
    assert np.abs(more - same).max() < 2e-3


def test_divergence() -> None:
    """As brute force computes it, and falling, since the updates descend for such weights."""
    crf = DenseCRF(Gaussian(2, 0.5), iterations=6)
    ours, exact = both(crf, 7, (30, 35), 5)
    assert len(ours.kl_divergence) == 6
    np.testing.assert_allclose(ours.kl_divergence, exact.kl_divergence, rtol=0.02, atol=5)
    assert all(np.diff(ours.kl_divergence) < 1e-3)
    image, probabilities = random_case(7, (30, 35), 5)
    matrix = DenseCRF(Gaussian(2, 0.5), iterations=6, compatibility=-np.eye(5))
    again = matrix.infer(image, probabilities=probabilities, kl=True).kl_divergence
    np.testing.assert_allclose(ours.kl_divergence, again, rtol=1e-5)
    plain = crf.infer(image, probabilities=probabilities)
    assert plain.kl_divergence == ()
    np.testing.assert_allclose(plain.marginals, ours.marginals, atol=1e-6)


def test_pruning() -> None:
    """What the documentation states: a class pruned below t would not have passed e * t."""
    image, probabilities = random_case(8, (40, 50), 12)
    probabilities[:5] += 0.2
    probabilities[5:] *= 0.004
    probabilities /= probabilities.sum(axis=0)
    threshold = float(probabilities[5:].max()) * 1.001
    terms = (Gaussian(3, 2), Bilateral(20, 20, 3))
    whole = DenseCRF(*terms)(image, probabilities=probabilities)
    pruned = DenseCRF(*terms, prune=threshold)(image, probabilities=probabilities)
    np.testing.assert_allclose(pruned[5:], probabilities[5:], rtol=1e-4)
    np.testing.assert_allclose(pruned.sum(axis=0), 1, atol=1e-5)
    assert threshold < 1 / (np.e * 5)
    assert whole[5:].max() < np.e * threshold
    assert np.abs(pruned - whole).mean() < 7 * np.e * threshold
    assert np.any(pruned != whole)
    matrix = DenseCRF(*terms, prune=threshold, compatibility=-np.eye(12))
    np.testing.assert_allclose(matrix(image, probabilities=probabilities), pruned, atol=1e-4)
    nothing = DenseCRF(*terms, prune=1.0)(image, probabilities=probabilities)
    np.testing.assert_allclose(nothing, whole, atol=1e-5)  # no class left: all stay


def test_no_terms_or_iterations() -> None:
    _, probabilities = random_case(9, (20, 20), 4)
    for crf in (DenseCRF(), DenseCRF(Gaussian(3, 3), iterations=0), DenseCRF(Gaussian(3, 0.0))):
        result = crf.infer(None, probabilities=probabilities, kl=True)
        np.testing.assert_allclose(result.marginals, probabilities, atol=2e-6)


def test_a_negative_weight_repels() -> None:
    probabilities = np.full((2, 1, 40), 0.5, np.float32)
    probabilities[:, 0, 20] = 0.9, 0.1
    crf = DenseCRF(Gaussian(1, -4), iterations=1)
    assert crf(None, probabilities=probabilities)[0, 0, 21] < 0.45
    assert (
        DenseCRF(Gaussian(1, 4), iterations=1)(None, probabilities=probabilities)[0, 0, 21] > 0.55
    )


def test_from_many_threads_at_once() -> None:
    image, probabilities = random_case(10, (90, 100), 6)
    crf = DenseCRF(Gaussian(3, 3), Bilateral(20, 5, 5), threads=2)
    expected = crf(image, probabilities=probabilities)
    results: list[np.ndarray] = []
    workers = [
        threading.Thread(target=lambda: results.append(crf(image, probabilities=probabilities)))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 4
    for result in results:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_in_a_forked_child() -> None:
    image, probabilities = random_case(10, (60, 60), 3)
    crf = pickle.loads(pickle.dumps(DenseCRF(Gaussian(3, 3), Bilateral(20, 5, 5), threads=2)))
    expected = crf(image, probabilities=probabilities)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        result = pool.apply(_infer, (crf, image, probabilities))
    np.testing.assert_array_equal(result, expected)


def _infer(crf: DenseCRF, image: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return crf(image, probabilities=probabilities)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"gaussian": 3}, "gaussian is 3"),
        ({"bilateral": Gaussian()}, "bilateral is"),
        ({"terms": ["x"]}, "terms is"),
        ({"iterations": -1}, "iterations is -1"),
        ({"iterations": 2.5}, "iterations is 2.5"),
        ({"iterations": True}, "iterations is True"),
        ({"threads": 0}, "threads is 0"),
        ({"tolerance": -0.1}, "tolerance is -0.1"),
        ({"tolerance": float("nan")}, "tolerance is nan"),
        ({"prune": 1.5}, "prune is 1.5"),
        ({"prune": -0.1}, "prune is -0.1"),
        ({"normalization": "both"}, "symmetric, before, after, none"),
        ({"compatibility": np.zeros((2, 3))}, r"\(2, 3\)"),
        ({"compatibility": 3.0}, "Potts"),
        ({"compatibility": [[0, np.nan], [1, 0]]}, "NaN"),
        ({"compatibility": "x"}, "Potts"),
    ],
)
def test_wrong_settings(arguments: dict[str, object], match: str) -> None:
    with pytest.raises(SettingsError, match=match):
        DenseCRF(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), (3, 0), (), "3", None])
def test_wrong_deviations(value: object) -> None:
    with pytest.raises(SettingsError, match="positive number"):
        Gaussian(value)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="positive number"):
        Bilateral(3, value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", None, True])
def test_wrong_weights(value: object) -> None:
    with pytest.raises(SettingsError, match="weight is"):
        Gaussian(3, value)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="weight is"):
        Bilateral(3, 3, value)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="weight is"):
        Features(np.zeros((1, 4), np.float32), value)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="weight is"):
        Potts(value)  # type: ignore[arg-type]


def test_numbers_of_deviations() -> None:
    image, probabilities = random_case(0, (8, 9), 2)
    for term in (Gaussian((1, 2, 3)), Bilateral((1, 2, 3)), Bilateral(3, (1, 2))):
        with pytest.raises(SettingsError, match="expected one number or"):
            DenseCRF(terms=[term])(image, probabilities=probabilities)
    with pytest.raises(DataError, match="deviation is too small"):
        DenseCRF(Gaussian(1e-6))(image, probabilities=probabilities)
    with pytest.raises(SettingsError, match="normalization"):
        Gaussian(3, 3, "half")  # type: ignore[arg-type]


def test_wrong_compatibility_size() -> None:
    image, probabilities = random_case(0, (8, 9), 3)
    with pytest.raises(SettingsError, match=r"for 2 classes.*have 3"):
        DenseCRF(Gaussian(), compatibility=np.eye(2))(image, probabilities=probabilities)


def test_wrong_features() -> None:
    with pytest.raises(DataError, match="NaN"):
        Features(np.full((1, 3, 3), np.nan, np.float32), 1.0)
    with pytest.raises(DataError, match=r"expected\s+float32"):
        Features(np.zeros(3, np.float32), 1.0)
    _, probabilities = random_case(0, (8, 9), 3)
    crf = DenseCRF(terms=[Features(np.zeros((2, 9, 8), np.float32), 1.0)])
    with pytest.raises(DataError, match=r"expected \('D', 8, 9\)"):
        crf(None, probabilities=probabilities)


def test_brute_force_is_for_small_images() -> None:
    probabilities = np.full((2, MAX_PIXELS + 1), 0.5, np.float32)
    with pytest.raises(DataError, match="at most"):
        brute_force(DenseCRF(Gaussian()), None, probabilities=probabilities)
    with pytest.raises(DataError, match="either"):
        brute_force(DenseCRF(Gaussian()), None)


def test_lattices_are_dropped_before_the_result_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    image, probabilities = random_case(0, (20, 30), 3)
    kept = []
    marginals = Engine.marginals

    def spy(self: Engine) -> np.ndarray:
        kept.append(self.filter)
        return marginals(self)

    monkeypatch.setattr(Engine, "marginals", spy)
    DenseCRF(Gaussian(3, 3), iterations=2)(image, probabilities=probabilities)
    assert kept == [None]
