"""All state of a run in one object, saved and restored whole."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from upscore.core.damage import reading
from upscore.core.files import atomic_path
from upscore.core.quoting import quote
from upscore.core.tensor_files import read_torch
from upscore.errors import RunError


@dataclass
class Position:
    """Counters and best score of a run; the rest of its state is tensors."""

    iteration: int = 0
    """Optimiser steps done."""
    seconds: float = 0.0
    """Wall time spent in training, over all sessions."""
    prepared: float = 0.0
    """Wall time of the head's warm-up, which is not part of the budget."""
    validations: int = 0
    best: float | None = None
    """Best validation mIoU so far, in [0, 1]."""
    best_iteration: int = 0
    since_best: int = 0
    """Validations since the best one or since the last cut of the learning rate."""
    worse: int = 0
    """Validations since the best one."""
    cuts: int = 0
    """Plateaus met so far."""
    window_loss: float = 0.0
    """Sum of the losses since the last row of the log."""
    window_count: int = 0
    finished: bool = False

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Position:
        """The counters of a state file. Raises TypeError for others, or values of other kinds."""
        found, fresh = cls(**stored), cls()
        for name, value in asdict(found).items():
            known = getattr(fresh, name)
            kinds = (float, int) if known is None or isinstance(known, float) else type(known)
            if not isinstance(value, kinds) and (name, value) != ("best", None):
                raise TypeError(f"{name} is {quote(value)}")
        return found


class Clock:
    """Wall time of a run that may be resumed."""

    def __init__(self, before: float) -> None:
        self._before = before
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._start


def save_state(path: Path, position: Position, tensors: dict[str, Any]) -> None:
    """Write the state file, atomically."""
    with atomic_path(path) as temporary:
        torch.save({"position": asdict(position), **tensors}, temporary)


def load_state(path: Path) -> tuple[Position, dict[str, Any]]:
    """Read a state file; tensors on the CPU.

    Raises:
        RunError: damaged, or not such a file.
    """
    what, fix = "damaged, cannot resume from it", "train again into another --out"
    content = read_torch(path, fix, what=what)
    with reading(path, what, fix, error=RunError):
        return Position.of(content.pop("position")), content
