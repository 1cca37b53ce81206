"""``LearnedEdges``, its network and its weights."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from upscore.data.formats.bsds import find_bsds
from upscore.edges.benchmark.score import evaluate_edges
from upscore.edges.network import EdgeNetwork
from upscore.edges.weight_files import (
    load_edge_network,
    save_edge_network,
    shipped_edge_weights,
)
from upscore.errors import DataError, NotFoundError, SettingsError
from upscore.proposals import LearnedEdges


def random_network() -> EdgeNetwork:
    """With batch norms that are not 1 and 0, so that folding them is seen."""
    torch.manual_seed(0)
    network = EdgeNetwork()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias):
                assert tensor is not None
                nn.init.normal_(tensor, std=0.3)
            for tensor in (module.running_var, module.weight):
                assert tensor is not None
                nn.init.uniform_(tensor, 0.5, 2.0)
    return network.eval()


def test_size_of_the_network_and_its_file() -> None:
    assert sum(p.numel() for p in EdgeNetwork().parameters()) <= 300_000
    assert shipped_edge_weights().stat().st_size <= 1_500_000


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (17, 33), (32, 32), (50, 31)])
def test_any_size_one_map_of_each_scale(size: tuple[int, int]) -> None:
    with torch.no_grad():
        assert random_network()(torch.rand(2, 3, *size)).shape == (2, 6, *size)


def test_fold_keeps_the_output(tmp_path: Path) -> None:
    network = random_network()
    photo = torch.rand(1, 3, 37, 41)
    with torch.no_grad():
        before = network(photo)
        save_edge_network(network.state_dict(), tmp_path / "w.safetensors")
        after = load_edge_network(tmp_path / "w.safetensors").fold()(photo)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.fold().modules())
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (64, 48)])
def test_ranges_and_types(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    strength, orientation = LearnedEdges()(image)
    for values, top in ((strength, 1.0), (orientation, np.pi)):
        assert values.dtype == np.float32
        assert values.shape == size
        assert values.min() >= 0
        assert values.max() <= top
    assert orientation.max() < np.pi


def test_an_edge_is_seen_where_it_is_and_crosses_its_normal() -> None:
    image = np.full((80, 100, 3), 40, np.uint8)
    image[:, 50:] = (200, 160, 90)
    strength, orientation = LearnedEdges(precision="fp32")(image)
    rows = strength[20:60]
    assert np.all(np.abs(rows.argmax(axis=1) - 49.5) <= 1.5)
    assert rows[:, 48:52].max(axis=1).min() > 0.5
    assert rows[:, 15:35].max() < 0.3
    folded = np.minimum(orientation[20:60, 49], np.pi - orientation[20:60, 49])
    assert folded.max() < 0.1  # the normal of an upright edge lies along x


def test_one_colour_has_hardly_an_edge() -> None:
    strength, _ = LearnedEdges()(np.full((60, 60, 3), 128, np.uint8))
    assert strength.max() < 0.3


def test_half_precision_rounds_and_no_more() -> None:
    image = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = np.kron(image, np.ones((10, 10, 1), np.uint8))
    exact, _ = LearnedEdges(precision="fp32")(image)
    rough, _ = LearnedEdges(precision="bf16")(image)
    assert np.abs(exact - rough).max() < 0.08
    assert np.abs(exact - rough).mean() < 0.01


def test_threads_share_one_and_it_travels_without_weights() -> None:
    edges = LearnedEdges(precision="fp32")
    images = np.random.default_rng(2).integers(0, 256, (6, 40, 50, 3), dtype=np.uint8)
    alone = [edges(image)[0] for image in images]
    with ThreadPoolExecutor(3) as pool:
        together = [strength for strength, _ in pool.map(edges, images)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert len(pickle.dumps(edges)) < 1000
    assert pickle.loads(pickle.dumps(edges)) == edges


def test_settings_differ_for_other_weights(tmp_path: Path) -> None:
    save_edge_network(random_network().state_dict(), tmp_path / "w.safetensors")
    own = LearnedEdges(weights=tmp_path / "w.safetensors").settings()
    assert own["kind"] == "LearnedEdges"
    assert own != LearnedEdges().settings()


def test_mean_over_sizes() -> None:
    image = np.random.default_rng(3).integers(0, 256, (30, 44, 3), dtype=np.uint8)
    one, half, both = (
        LearnedEdges(scales=scales, precision="fp32")(image)[0]
        for scales in ((1.0,), (0.5,), (1.0, 0.5))
    )
    np.testing.assert_allclose(both, (one + half) / 2, atol=1e-6)
    assert np.abs(one - half).max() > 0.01


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, -1.0), (float("nan"),), (5.0,)])
def test_scales_out_of_range(scales: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match="expected one or more factors"):
        LearnedEdges(scales=scales)


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has dtype float32"):
        LearnedEdges()(np.zeros((4, 4, 3), np.float32))  # type: ignore[arg-type]
    with pytest.raises(DataError):
        LearnedEdges()(np.zeros((0, 4, 3), np.uint8))
    missing = LearnedEdges(weights=tmp_path / "w.safetensors")
    with pytest.raises(NotFoundError, match="no such file"):
        missing(np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "w.safetensors").write_bytes(b"12345678 not weights")
    with pytest.raises(DataError, match="damaged or truncated, not weights"):
        missing(np.zeros((4, 4, 3), np.uint8))


@pytest.mark.real
def test_shipped_weights_on_real_photos(real_data: Path) -> None:
    """They learned from these photos, so this only says that the file is the one of the card."""
    images = find_bsds(real_data / "bsds500")["val"][:6]
    edges = LearnedEdges()
    items = ((i.name, edges(i.read_image())[0], i.read_boundaries()) for i in images)
    assert evaluate_edges(items, thresholds=19).ods > 0.7
