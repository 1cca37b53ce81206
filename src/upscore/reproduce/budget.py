"""The training budget of a reproduction, and the share of each training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from upscore.errors import SettingsError

LEAST_SECONDS = 3.0
"""Shortest budget of one training; a shorter one would end before its first iteration."""

Unit = Literal["minutes", "iterations"]


@dataclass(frozen=True)
class Budget:
    """The amount that the trainings of small networks share, or the schedules of the papers.

    Attributes:
        unit: of the amount, ``minutes`` of wall time or ``iterations`` (optimiser steps); None for
            the published schedules.
        amount: above 0, whole for iterations; 0 for the published schedules.
    """

    unit: Unit | None = None
    amount: float = 0

    @classmethod
    def parse(cls, text: str) -> Budget:
        """``papers``, ``minutes=N`` or ``iterations=N``. Raises SettingsError for anything else."""
        if text == "papers":
            return cls()
        name, _, number = text.partition("=")
        try:
            amount = float(number)
        except ValueError:
            amount = math.nan
        if math.isfinite(amount) and amount > 0:
            if name == "minutes":
                return cls("minutes", amount)
            if name == "iterations" and amount == int(amount):
                return cls("iterations", int(amount))
        raise SettingsError(
            f"--budget is {text!r}; allowed: papers (the published schedules), or minutes=N or "
            "iterations=N (a whole number), which all trainings share, for example minutes=30"
        )

    @property
    def papers(self) -> bool:
        """Whether the published schedules are kept."""
        return self.unit is None

    def __str__(self) -> str:
        if self.unit == "iterations":
            return f"iterations={self.amount}"
        return "papers" if self.papers else f"minutes={self.amount:g}"

    def share(self, weights: Mapping[str, float]) -> dict[str, str]:
        """The budget of each training by its name, in the ratios of ``weights``.

        Iterations are rounded down to whole ones of the smallest weight, so that the ratios stay
        exact where weights are whole multiples of it; a few may be left over.

        Returns:
            A budget as it is typed, ``minutes=0.8`` or ``iterations=500``.

        Raises:
            SettingsError: one would get too little for a single iteration.
        """
        assert self.unit is not None
        total = sum(weights.values())
        least = min(weights, key=lambda name: weights[name])
        parts = total / weights[least]  # how often the smallest share goes into all
        if self.unit == "iterations":
            steps = int(self.amount / parts)
            if steps < 1:
                raise SettingsError(
                    f"--budget {self}: {least} would get none; expected at least "
                    f"iterations={math.ceil(parts)} for these {len(weights)} trainings"
                )
            return {
                name: f"iterations={int(steps * w / weights[least])}" for name, w in weights.items()
            }
        wanted = LEAST_SECONDS / 60 * parts
        if self.amount < wanted:
            raise SettingsError(
                f"--budget {self}: {least} would get {60 * self.amount / parts:.2g} seconds, too "
                "little for one iteration; expected at least "
                f"minutes={math.ceil(wanted * 100) / 100:g} for these {len(weights)} trainings"
            )
        return {name: f"minutes={round(self.amount * w / total, 4)}" for name, w in weights.items()}
