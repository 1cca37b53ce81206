"""All state of a run in one object, saved and restored whole."""

from __future__ import annotations

import pickle
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from upscore.core.files import atomic_path
from upscore.errors import RunError


@dataclass
class Position:
    """Counters and best score of a run; the rest of its state is tensors."""

    iteration: int = 0
    """Optimiser steps done."""
    seconds: float = 0.0
    """Wall time spent in training, over all sessions."""
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
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return Position(**content.pop("position")), content
    except (RuntimeError, pickle.UnpicklingError, KeyError, TypeError, EOFError, ValueError) as e:
        raise RunError(
            f"{path}: damaged, cannot resume from it ({str(e).splitlines()[0]}); train again "
            "into another --out"
        ) from e
