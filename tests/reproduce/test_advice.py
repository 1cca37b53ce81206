"""Trainings of a reproduction pass on what `upscore train` says, but not which options to type."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from upscore.core.progress import Notice, Progress
from upscore.reproduce import trainings
from upscore.training.recipe import load_recipe


def test_advice_for_train_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: object, on_progress, **__: object) -> SimpleNamespace:
        warning = Notice("A small budget.", warning=True, advice="For as many: --iterations 9")
        on_progress(Progress("training", 0, notices=(warning,)))
        return SimpleNamespace(interrupted=False)

    monkeypatch.setattr(trainings, "train", train)
    plan = trainings.PlannedTraining("a", "A", load_recipe("fcn8s-toy"), None, "a", None)
    said: list[Progress] = []
    folder = SimpleNamespace(run=lambda name: tmp_path / name)
    assert not trainings.train_missing([plan], folder, data=tmp_path, on_progress=said.append)
    assert [event.stage for event in said] == ["a: training"] * 2
    (notice,) = said[1].notices
    assert notice == Notice("A small budget.", warning=True)
