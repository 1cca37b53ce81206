"""The loop with a task of one's own: no validation, two optimisers, and fp16 with its scaler."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import Tensor, nn

from upscore.core.run_folder import RunFolder
from upscore.training.recipe import BudgetSettings
from upscore.training.sample_stream import Batch
from upscore.training.settings import OptimSettings, ScheduleSettings
from upscore.training.trainer import Training


@dataclass(frozen=True)
class Settings:
    iterations: int
    optim: OptimSettings
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    average: float = 0.0
    log_every: int = 1
    save_every: int = 100
    seed: int = 0

    @property
    def budget(self) -> BudgetSettings:
        return BudgetSettings(iterations=self.iterations)


class Numbers:
    """Images of numbers that depend on the iteration alone."""

    step_size = num_samples = 2

    def steps(self, first_iteration: int) -> Generator[list[Batch]]:
        for iteration in count(first_iteration):
            generator = torch.Generator().manual_seed(iteration)
            images = torch.rand(2, 3, 8, 8, generator=generator)
            yield [Batch(images, images.mean(dim=1, keepdim=True), ("a", "b"))]

    def names(self, iteration: int) -> list[str]:  # noqa: ARG002
        return ["a", "b"]


class Regression:
    """Squared error of the mean over the channels."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def num_targets(self, batch: Batch) -> int:
        return batch.labels.numel()

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        return self.scale * (network(batch.images) - batch.labels).square().sum()

    def save(self, folder: Path, network: nn.Module, trained: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        assert trained["iterations"] > 0
        torch.save(network.state_dict(), folder / "weights.pt")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 1, 1))


def training(
    out: Path, iterations: int, optim: OptimSettings, *, scaler: torch.amp.GradScaler | None = None,
    scale: float = 1.0,
) -> Training:  # fmt: skip
    plugins = [] if scaler is None else [MixedPrecision("16-mixed", "cpu", scaler)]
    fabric = Fabric(accelerator="cpu", devices=1, plugins=plugins)
    return Training(
        Settings(iterations, optim),
        run=RunFolder(out),
        fabric=fabric,
        model=network(),
        task=Regression(scale),
        source=Numbers(),
        model_folder=out / "mine",
    )


def weights(folder: Path) -> dict[str, Tensor]:
    return torch.load(folder / "weights.pt", weights_only=True)


SGD = OptimSettings(name="sgd", lr=0.1, momentum=0.0, weight_decay=0.0)


def test_a_step_is_that_of_a_loop_written_out(tmp_path):
    outcome = training(tmp_path, 3, SGD).fit()
    assert (outcome.iteration, outcome.best, outcome.interrupted) == (3, None, False)
    plain = network()
    for iteration in range(3):
        (batch,) = next(Numbers().steps(iteration))
        loss = (plain(batch.images) - batch.labels).square().mean()
        gradients = torch.autograd.grad(loss, list(plain.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(plain.parameters(), gradients, strict=True):
                parameter -= 0.1 * gradient
    found = weights(tmp_path / "mine")
    for name, expected in plain.state_dict().items():
        torch.testing.assert_close(found[name], expected)


@pytest.mark.parametrize(
    "optim", [SGD, OptimSettings(name="muon", lr=0.01)], ids=["one optimiser", "two optimisers"]
)
def test_fp16_scales_gradients_that_it_would_lose(tmp_path, optim):
    """Gradients below 6e-8 are 0 in fp16; scaled by 2 ** 16 they are not."""
    tiny = 1e-6  # of the loss: gradients of some 1e-8
    lr = optim.lr / tiny if optim.name == "sgd" else optim.lr
    optim = optim.model_copy(update={"lr": lr})
    exact, half = tmp_path / "fp32", tmp_path / "fp16"
    training(exact, 2, optim, scale=tiny).fit()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=1)
    training(half, 2, optim, scaler=scaler, scale=tiny).fit()
    # once a step, whatever the number of optimisers: each of the two steps doubles it
    assert scaler.get_scale() == 2.0**18
    before, wanted, found = network().state_dict(), weights(exact / "mine"), weights(half / "mine")
    for name, start in before.items():
        moved = (wanted[name] - start).norm()
        assert moved > 0
        assert (found[name] - wanted[name]).norm() < 0.1 * moved


def test_the_scaler_is_gone_on_with(tmp_path):
    first = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1)
    training(tmp_path, 2, SGD, scaler=first).fit()
    again = torch.amp.GradScaler("cpu", init_scale=1.0, growth_interval=1)
    resumed = training(tmp_path, 3, SGD, scaler=again)
    resumed.fit()
    assert again.get_scale() == 32.0
