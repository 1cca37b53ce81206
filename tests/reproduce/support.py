"""Tiny reproductions: a generated data set, networks of a few channels, trainings of a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from upscore.core.progress import Progress
from upscore.reproduce.run import ReproduceResult, reproduce

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
