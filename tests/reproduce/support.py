"""Tiny reproductions: a generated data set, networks of a few channels, trainings of a moment."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from upscore.cli.train import make_validate
from upscore.reproduce.run import Hooks, Made, reproduce
from upscore.reproduce.trainings import Planned
from upscore.training.trainer import Status

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


class Told:
    """Hooks that note which trainings and bars there were."""

    def __init__(self) -> None:
        self.trainings: list[str] = []
        self.bars: dict[str, tuple[int, int]] = {}

    def begin(self, plan: Planned) -> Callable[[Status], None]:
        self.trainings.append(plan.name)
        return lambda _status: None

    @contextlib.contextmanager
    def progress(self, description: str) -> Iterator[Callable[[int, int], None]]:
        def note(done: int, total: int) -> None:
            self.bars[description] = (done, total)

        yield note

    def hooks(self) -> Hooks:
        return Hooks(make_validate, self.begin, self.progress)


def run(source: Any, data: Path, out: Path, *, told: Told | None = None, **options: Any) -> Made:
    """A tiny reproduction; ``assignments`` are further settings."""
    more = options.pop("assignments", ())
    return reproduce(
        source,
        data=data,
        out=out,
        budget=options.pop("budget", "minutes=1"),
        hooks=(told or Told()).hooks(),
        assignments=[*TINY, *more],
        **options,
    )
