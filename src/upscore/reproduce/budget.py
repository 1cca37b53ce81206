"""How long a reproduction may train, and what each of its trainings gets of that."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from upscore.errors import SettingsError

LEAST_SECONDS = 3.0
"""A training with less would be over before its first iteration."""


@dataclass(frozen=True)
class Budget:
    """Minutes for all trainings together; None for the published schedules."""

    minutes: float | None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """``papers`` or ``minutes=N``. Raises SettingsError for anything else."""
        if text == "papers":
            return cls(None)
        name, _, number = text.partition("=")
        try:
            minutes = float(number) if name == "minutes" else math.nan
        except ValueError:
            minutes = math.nan
        if not (math.isfinite(minutes) and minutes > 0):
            raise SettingsError(
                f"--budget is {text!r}; allowed: papers (the published schedules), or minutes=N, "
                "which all trainings share, as in minutes=30"
            )
        return cls(minutes)

    def __str__(self) -> str:
        return "papers" if self.minutes is None else f"minutes={self.minutes:g}"

    def share(self, weights: Mapping[str, float]) -> dict[str, float]:
        """Minutes of each training by its name, in the ratios of ``weights``.

        Raises:
            SettingsError: one would get too little for a single iteration.
        """
        assert self.minutes is not None
        total = sum(weights.values())
        least = min(weights, key=lambda name: weights[name])
        wanted = LEAST_SECONDS / 60 * total / weights[least]
        if self.minutes < wanted:
            seconds = 60 * self.minutes * weights[least] / total
            raise SettingsError(
                f"--budget {self}: {least} would get {seconds:.2g} seconds, too little for one "
                f"iteration; want at least minutes={math.ceil(wanted * 100) / 100:g} for these "
                f"{len(weights)} trainings"
            )
        return {name: round(self.minutes * w / total, 4) for name, w in weights.items()}
