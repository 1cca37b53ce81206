"""Tiny reproductions: a generated data set, networks of a few channels, trainings of a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from upscore.core.progress import Progress
from upscore.errors import WorkError
from upscore.reproduce.run import ReproduceResult, reproduce
from upscore.reproduce.trainings import PlannedTraining

TINY = (
    "precision=fp32",
    "device=cpu",
    "budget.iterations=4",
    "batch.size=2",
    "augment.crop=[32, 32]",
    "log_every=2",
    "save_every=2",
    "validate.images=2",
    "model.options.channels=[2, 4, 4, 4, 4]",
    "model.options.fc_width=8",
)


class Recorder:
    """Notes the names of the trainings that began, and the last progress of each other stage."""

    def __init__(self) -> None:
        self.trainings: list[str] = []
        self.stages: dict[str, tuple[float, float | None]] = {}

    def __call__(self, event: Progress) -> None:
        name, colon, _ = event.stage.partition(": training")
        if not colon:
            self.stages[event.stage] = (event.done, event.total)
        elif name not in self.trainings:
            self.trainings.append(name)


def run(source: Any, data: Path, out: Path, **options: Any) -> ReproduceResult:
    """A tiny reproduction; ``assignments`` are further settings."""
    more = options.pop("assignments", ())
    return reproduce(
        source,
        data=data,
        out=out,
        budget=options.pop("budget", "minutes=1"),
        assignments=[*TINY, *more],
        **options,
    )


def planned(
    monkeypatch: pytest.MonkeyPatch, source: Any, data: Path, out: Path, **options: Any
) -> tuple[dict[str, PlannedTraining], dict[Path, Mock]]:
    """The trainings that would be done and the stores that would be made, by name and by path."""
    plans: list[PlannedTraining] = []
    stores: dict[Path, Mock] = {}

    def only_look(given: list[PlannedTraining], *_args: Any, **_more: Any) -> None:
        plans.extend(given)
        raise WorkError("seen enough")

    def make_store(photos: Any, _source: Any, path: Path, **_more: Any) -> Mock:
        return stores.setdefault(path, Mock(photos=photos))

    monkeypatch.setattr("upscore.reproduce.run.train_missing", only_look)
    monkeypatch.setattr("upscore.reproduce.deconvnet_stages.make_store", make_store)
    with pytest.raises(WorkError, match="seen enough"):
        reproduce(source, data=data, out=out, **options)
    return {plan.name: plan for plan in plans}, stores
