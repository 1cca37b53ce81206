"""The log that survives a kill, the average of weights, and the state file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from upscore.errors import RunError
from upscore.training.log import COLUMNS, RunLog
from upscore.training.progress import describe
from upscore.training.state import Position, load_state, save_state
from upscore.training.trainer import Status
from upscore.training.weight_average import WeightAverage


def test_a_resumed_log_drops_later_rows_and_half_rows(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    log = RunLog(path, after_iteration=0)
    for iteration in (2, 4, 6):
        log.write({"iteration": iteration, "loss": 1 / iteration})
    log.close()
    with path.open("a") as stream:
        stream.write("8,0.")  # killed while writing
    RunLog(path, after_iteration=4).close()
    lines = path.read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert [line.split(",")[0] for line in lines[1:]] == ["2", "4"]
    assert lines[2].split(",")[COLUMNS.index("loss")] == "0.25"


def test_a_new_run_starts_an_empty_log(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("old\n")
    RunLog(path, after_iteration=0).close()
    assert path.read_text().strip() == ",".join(COLUMNS)


def test_average_by_hand() -> None:
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    with torch.no_grad():
        model[0].weight.fill_(0.0)
    average = WeightAverage(model, decay=0.5)
    expected = 0.0
    for iteration, value in enumerate([1.0, 2.0, 5.0], 1):
        with torch.no_grad():
            model[0].weight.fill_(value)
            model[1].num_batches_tracked.fill_(iteration)
        average.update(model, iteration)
        decay = min(0.5, (1 + iteration) / (10 + iteration))
        expected = decay * expected + (1 - decay) * value
        assert float(average.model[0].weight) == pytest.approx(expected)  # type: ignore[index]
    assert int(average.model[1].num_batches_tracked) == 3  # type: ignore[index]
    assert not any(p.requires_grad for p in average.model.parameters())


def test_state_round_trip_and_damage(tmp_path: Path) -> None:
    path = tmp_path / "resume.pt"
    save_state(path, Position(iteration=7, best=0.5), {"model": {"w": torch.ones(2)}})
    position, tensors = load_state(path)
    assert position == Position(iteration=7, best=0.5)
    assert tensors["model"]["w"].tolist() == [1, 1]
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(RunError, match="damaged"):
        load_state(path)
    torch.save({"something": 1}, path)
    with pytest.raises(RunError, match="damaged"):
        load_state(path)


def test_a_line_of_progress() -> None:
    status = Status(
        iteration=120, fraction=0.25, loss=0.5123, lr=0.00123, images_per_second=7.31,
        seconds_left=125.0, memory_mib=900, best=0.61234,
    )  # fmt: skip
    assert describe(status) == (
        "iteration 120, loss 0.5123, lr 0.0012, 7.3 images/s, best mIoU 0.6123, 900 MiB, 2:05 left"
    )
