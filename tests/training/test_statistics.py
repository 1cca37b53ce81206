"""Batch norm's statistics after training, against means by hand in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from upscore.training.batchnorm import estimate_statistics
from upscore.training.trainer import Outcome


def make_net() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.9),
        nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2),
    )  # fmt: skip
    for norm in (net[1], net[5]):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        norm.running_mean.fill_(77.0)
    return net


def by_hand(net: nn.Sequential, batches: list[torch.Tensor]) -> list[np.ndarray]:
    """Mean of the batches' means and variances at both norms, each after its own statistics."""
    found: list[list[np.ndarray]] = [[], [], [], []]
    for batch in batches:
        x = batch.double().permute(0, 2, 3, 1).reshape(-1, 3).numpy()
        for place, (conv, norm) in enumerate(((net[0], net[1]), (net[4], net[5]))):
            weight = conv.weight.detach().double().numpy()[:, :, 0, 0]
            x = x @ weight.T + conv.bias.detach().double().numpy()
            found[2 * place].append(x.mean(axis=0))
            found[2 * place + 1].append(x.var(axis=0, ddof=1))
            x = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + norm.eps)
            x = x * norm.weight.detach().double().numpy() + norm.bias.detach().double().numpy()
            x = np.maximum(x, 0)
    return [np.mean(values, axis=0) for values in found]


def test_means_of_all_batches_as_layers_saw_them() -> None:
    net = make_net().train()
    generator = torch.Generator().manual_seed(1)
    batches = [torch.randn(5, 3, 6, 7, generator=generator) * k for k in (1, 2, 4)]
    weights = {key: value.clone() for key, value in net.named_parameters()}
    estimate_statistics(net, batches)
    expected = by_hand(net, batches)
    found = [net[1].running_mean, net[1].running_var, net[5].running_mean, net[5].running_var]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5, atol=1e-5)
    assert all(torch.equal(value, weights[key]) for key, value in net.named_parameters())
    assert net.training
    assert net[1].training
    assert net[1].momentum == 0.1


def test_no_batch_changes_nothing() -> None:
    net = make_net().eval()
    estimate_statistics(net, [])
    assert net[1].running_mean.tolist() == [77.0] * 4
    assert not net[1].training


def test_a_network_without_norm_is_not_run() -> None:
    estimate_statistics(nn.Conv2d(3, 2, 1), [torch.zeros(1, 99, 1, 1)])


def test_at_the_end_of_a_training(tmp_path: Path, run_tiny: Callable[..., Outcome]) -> None:
    """Weights as without it, statistics others: those of two batches."""
    run_tiny(tmp_path / "plain")
    run_tiny(tmp_path / "measured", "statistics.batches=2", "statistics.size=3")
    plain, measured = (
        load_file(tmp_path / name / "state" / "last" / "model.safetensors")
        for name in ("plain", "measured")
    )
    counts = [value for key, value in measured.items() if key.endswith("num_batches_tracked")]
    assert counts
    assert all(int(count) == 2 for count in counts)
    for key, value in plain.items():
        same = torch.equal(value, measured[key])
        assert same == ("running_" not in key and "num_batches" not in key), key
