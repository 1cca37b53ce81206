"""The torch lattice against a slow dictionary of lattice points, and against the exact sum."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest
import torch

from upscore.crf.lattice import torch_lattice
from upscore.crf.lattice.torch_lattice import TorchLattice
from upscore.errors import DataError


def simplex(point):
    """The lattice points around one point, with their weights: {(D + 1) integers: weight}.

    Each corner is the last one with (1, ..., 1, -D) added, the -D falling on the coordinates of
    the least offset first; the weights solve the linear equations that define them.
    """
    size = len(point) + 1
    deviation = math.sqrt(2 / 3) * size
    basis = np.zeros((size, size - 1))
    for i in range(size - 1):
        basis[: i + 1, i] = 1
        basis[i + 1, i] = -(i + 1)
        basis[:, i] /= math.sqrt((i + 1) * (i + 2))
    lifted = deviation * basis @ np.asarray(point)
    # the nearest point whose coordinates are multiples of D + 1 and sum to zero
    corner = np.round(lifted / size).astype(int)
    while corner.sum() > 0:
        corner[np.argmin(lifted / size - corner)] -= 1
    while corner.sum() < 0:
        corner[np.argmax(lifted / size - corner)] += 1
    corner *= size
    corners = [corner]
    for i in np.argsort(lifted - corner, kind="stable")[: size - 1]:
        step = np.ones(size, dtype=int)
        step[i] -= size
        corners.append(corners[-1] + step)
    equations = np.vstack([np.array(corners).T, np.ones(size)])
    weights, *_ = np.linalg.lstsq(equations, np.append(lifted, 1), rcond=None)
    np.testing.assert_allclose(equations @ weights, np.append(lifted, 1), atol=1e-6)
    assert weights.min() > -1e-6  # so the point does lie inside
    return {tuple(map(int, c)): w for c, w in zip(corners, weights, strict=True)}


def dictionary_filter(features, values, *, directions=None):
    num_axes = len(features[0])
    simplices = [simplex(point) for point in features]
    grid = defaultdict(lambda: np.zeros(len(values[0])))
    for corners, value in zip(simplices, values, strict=True):
        for key, weight in corners.items():
            grid[key] = grid[key] + weight * np.asarray(value)
    for j in directions or range(num_axes + 1):
        step = np.ones(num_axes + 1, dtype=int)
        step[j] -= num_axes + 1
        blurred = {}
        for key, value in grid.items():
            for sign in (-1, 1):
                value = value + grid.get(tuple(map(int, sign * step + key)), 0) / 2
            blurred[key] = value
        grid = blurred
    alpha = 1 / (1 + 2.0**-num_axes)
    return np.array([alpha * sum(w * grid[key] for key, w in s.items()) for s in simplices])


def exact_filter(features, values):
    """Symmetric normalisation of the true Gaussian, every pair."""
    kernel = torch.exp(-(torch.cdist(features, features) ** 2) / 2)
    norm = kernel.sum(dim=1, keepdim=True).rsqrt()
    return norm * (kernel @ (norm * values))


def pixel_features(height, width, sxy, colours=None):
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    features = torch.stack([x.flatten(), y.flatten()], dim=1).double() / sxy
    return features if colours is None else torch.cat([features, colours], dim=1)


@pytest.mark.parametrize(
    ("num_points", "num_axes", "spread", "columns"),
    [(1, 1, 1, 1), (1, 5, 3, 2), (25, 1, 2, 2), (60, 2, 3, 3), (60, 3, 0.5, 1), (50, 5, 1, 2),
     (30, 6, 5, 1), (30, 9, 1000, 1), (25, 12, 1e4, 2)],
)  # fmt: skip
def test_equals_the_dictionary(num_points, num_axes, spread, columns):
    torch.manual_seed(num_axes)
    features = spread * torch.randn(num_points, num_axes, dtype=torch.float64)
    values = torch.randn(num_points, columns, dtype=torch.float64)
    want = dictionary_filter(features.tolist(), values.tolist())
    got = TorchLattice(features).filter(values)
    np.testing.assert_allclose(got.numpy(), want, atol=1e-8)


@pytest.mark.parametrize("max_word", [100, 5000])
def test_keys_too_long_for_one_word_are_still_exact(max_word, monkeypatch):
    monkeypatch.setattr(torch_lattice, "MAX_WORD", max_word)
    torch.manual_seed(0)
    features = 0.7 * torch.randn(200, 3, dtype=torch.float64)
    values = torch.randn(200, 2, dtype=torch.float64)
    got = TorchLattice(features).filter(values)
    want = dictionary_filter(features.tolist(), values.tolist())
    np.testing.assert_allclose(got.numpy(), want, atol=1e-8)


def test_words_do_not_overflow():
    # four digits of 2^22 values: in plain int64 arithmetic the first one would be lost
    keys = torch.tensor([[0, 0, 0, 0], [7, 0, 0, 0], [2**22 - 9] * 4], dtype=torch.int32)
    words = torch_lattice._Packing(list(keys.T))(list(keys.T))
    assert len(words.unique()) == 3


@pytest.mark.parametrize("sxy", [1.5, 3, 8])
def test_positions_within_five_hundredths_of_the_exact_sum(sxy):
    torch.manual_seed(0)
    for height, width in [(20, 30), (1, 40), (24, 7)]:
        features = pixel_features(height, width, sxy)
        values = torch.rand(height * width, 3, dtype=torch.float64)
        lattice = TorchLattice(features)
        norm = lattice.total().rsqrt()
        error = norm * lattice.filter(norm * values) - exact_filter(features, values)
        assert error.abs().max() < 0.05
        assert error.abs().mean() < 0.02


@pytest.mark.parametrize(("sxy", "srgb"), [(20, 3), (20, 13), (5, 20), (80, 13)])
def test_positions_and_colours_within_three_tenths_of_the_exact_sum(sxy, srgb):
    # five axes are the lattice's known weakness: large errors, but at few pixels
    torch.manual_seed(0)
    for _ in range(3):
        picture = torch.nn.functional.interpolate(
            255 * torch.rand(1, 3, 3, 3), (20, 24), mode="bilinear"
        )
        colours = picture[0].flatten(1).T.double() / srgb
        features = pixel_features(20, 24, sxy, colours)
        values = torch.rand(480, 3, dtype=torch.float64)
        lattice = TorchLattice(features)
        norm = lattice.total().rsqrt()
        error = norm * lattice.filter(norm * values) - exact_filter(features, values)
        assert error.abs().max() < 0.3
        assert error.abs().mean() < 0.06


def test_float32_agrees_with_float64():
    torch.manual_seed(0)
    features = pixel_features(20, 30, 20, torch.rand(600, 3, dtype=torch.float64) * 20)
    values = torch.rand(600, 4, dtype=torch.float64)
    want = TorchLattice(features).filter(values)
    got = TorchLattice(features.float()).filter(values.float())
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), want, rtol=1e-4, atol=1e-5)


def test_half_features_are_computed_in_float32():
    features = torch.randn(30, 3).half()
    values = torch.rand(30, 2)
    got = TorchLattice(features).filter(values)
    torch.testing.assert_close(got, TorchLattice(features.float()).filter(values))


def test_points_at_one_place_share_everything():
    lattice = TorchLattice(torch.full((9, 4), 0.3))
    assert (lattice.num_points, lattice.num_vertices) == (9, 5)
    out = lattice.filter(torch.arange(9.0)[:, None])
    torch.testing.assert_close(out, out[:1].expand(9, 1))


def test_values_of_any_layout():
    torch.manual_seed(0)
    lattice = TorchLattice(torch.randn(8, 2))
    values = torch.randn(3, 8)
    want = lattice.filter(values.T.contiguous())
    torch.testing.assert_close(lattice.filter(values.T), want)


def test_the_total_is_the_filter_of_ones():
    lattice = TorchLattice(torch.randn(40, 3))
    torch.testing.assert_close(lattice.total(), lattice.filter(torch.ones(40, 1)))
    assert (lattice.total() > 0).all()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (torch.zeros(4, 2, dtype=torch.int64), "int64; expected floating"),
        (torch.zeros(4), r"\(4,\); expected \(N, D\)"),
        (torch.zeros(0, 2), r"\(0, 2\)"),
        (torch.zeros(4, 0), r"\(4, 0\)"),
        (torch.tensor([[0.0], [math.nan]]), "NaN"),
        (torch.tensor([[0.0], [math.inf]]), "infinite"),
        (torch.tensor([[0.0], [1e9]]), r"1e\+09 deviations"),
    ],
)
def test_bad_features(features, message):
    with pytest.raises(DataError, match=message):
        TorchLattice(features)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.zeros(4, 1, dtype=torch.int64), "int64; expected float32 or float64"),
        (torch.zeros(4, 1, dtype=torch.bfloat16), "bfloat16; expected float32"),
        (torch.zeros(5, 1), r"\(5, 1\); expected \(4, C\)"),
        (torch.zeros(4), r"\(4,\); expected \(4, C\)"),
        (torch.zeros(4, 0), r"\(4, 0\); expected \(4, C\)"),
        (torch.zeros(4, 1, device="meta"), "meta, the lattice is on cpu"),
    ],
)
def test_bad_values(values, message):
    lattice = TorchLattice(torch.randn(4, 2))
    with pytest.raises(DataError, match=message):
        lattice.filter(values)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
@pytest.mark.parametrize("num_axes", [1, 2, 5, 9])
def test_a_gpu_agrees_with_the_cpu(num_axes):
    torch.manual_seed(0)
    features = 30 * torch.rand(5000, num_axes, dtype=torch.float64)
    values = torch.rand(5000, 3, dtype=torch.float64)
    results = []
    for device in ("cpu", "cuda"):
        results.append(TorchLattice(features.to(device)).filter(values.to(device)).cpu())
    torch.testing.assert_close(results[1], results[0])
    on_gpu = TorchLattice(features.cuda())
    with pytest.raises(DataError, match="the lattice is on cuda"):
        on_gpu.filter(values)
