"""fp16's gradient scaler belongs to the state of a run: resuming is exact with it too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision.amp import MixedPrecision
from safetensors.torch import load_file

from training.conftest import validation_takes
from upscore.training import setup
from upscore.training.trainer import Outcome, Training

Run = Callable[..., Outcome]


@pytest.fixture
def scalers(monkeypatch: pytest.MonkeyPatch) -> list[torch.amp.GradScaler]:
    """fp16 on the CPU, its scale doubled at every second step; the scalers of all trainings."""
    made: list[torch.amp.GradScaler] = []

    def launch(*_arguments: Any, **_options: Any) -> Fabric:
        made.append(torch.amp.GradScaler("cpu", init_scale=16.0, growth_interval=2))
        plugin = MixedPrecision("16-mixed", "cpu", made[-1])
        return Fabric(accelerator="cpu", devices=1, plugins=[plugin])

    monkeypatch.setattr(setup, "launch", launch)
    return made


@pytest.fixture
def train_fp16(run_tiny: Run, scalers: list[torch.amp.GradScaler]) -> Run:  # noqa: ARG001
    """Few pixels and no real validations: convolutions in fp16 are slow on a CPU."""

    def run(out: Path, *settings: str, **options: Any) -> Outcome:
        return run_tiny(
            out, "augment.crop=[16, 16]", *settings, make_validate=validation_takes(0.0), **options
        )

    return run


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "state" / "last" / "model.safetensors")


@pytest.mark.parametrize("name", ["sgd", "muon"])
def test_resuming_goes_on_with_the_scale(
    name: str,
    tmp_path: Path,
    train_fp16: Run,
    scalers: list[torch.amp.GradScaler],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = (f"optim.name={name}", "optim.lr=0.001")
    train_fp16(tmp_path / "whole", *settings)
    step = Training._step

    def stop_after_three(self: Training, batches: Any) -> torch.Tensor:
        loss = step(self, batches)
        if self.position.iteration == 2:
            self._stop.wanted = True
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_step", stop_after_three)
        assert train_fp16(tmp_path / "two", *settings).iteration == 3
    kept = scalers[-1].state_dict()
    assert kept["scale"] > 16.0
    assert not train_fp16(tmp_path / "two", *settings, resume=True).interrupted
    assert scalers[0].state_dict() == scalers[-1].state_dict() != kept
    whole, two = weights(tmp_path / "whole"), weights(tmp_path / "two")
    assert all(torch.equal(value, two[key]) for key, value in whole.items())


def test_a_state_without_a_scaler_is_still_read(
    tmp_path: Path, train_fp16: Run, scalers: list[torch.amp.GradScaler]
) -> None:
    train_fp16(tmp_path / "run")
    path = tmp_path / "run" / "state" / "resume.pt"
    state = torch.load(path, weights_only=True)
    assert state.pop("scaler") == scalers[-1].state_dict()
    state["position"] |= {"finished": False, "iteration": 4}
    torch.save(state, path)
    assert train_fp16(tmp_path / "run", resume=True).iteration == 6
