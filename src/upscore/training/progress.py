"""The trainer's status as progress events: one line of text, notices, and the status itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from upscore.core.progress import OnProgress, Progress
from upscore.training.trainer import Status


@dataclass(frozen=True, kw_only=True)
class TrainingProgress(Progress):
    """Progress of a training; ``done`` is the used part of its budget, of a ``total`` of 1."""

    status: Status


def report_status(on_progress: OnProgress) -> Callable[[Status], None]:
    """A function of the trainer's status that reports to ``on_progress``."""

    def report(status: Status) -> None:
        on_progress(
            TrainingProgress(
                f"training {status.stage}" if status.stage else "training",
                status.fraction,
                1.0,
                describe(status),
                status.notices,
                status=status,
            )
        )

    return report


def describe(status: Status) -> str:
    """One line: iteration, loss, learning rate, speed, best score, memory, time left."""
    stage = f"{status.stage}: " if status.stage else ""
    parts = [f"{stage}iteration {status.iteration}"]
    if status.loss is not None:
        parts.append(f"loss {status.loss:.4g}")
    if status.lr:
        parts.append(f"lr {status.lr:.2g}")
    if status.images_per_second:
        parts.append(f"{status.images_per_second:.1f} images/s")
    if status.best is not None:
        parts.append(f"best mIoU {status.best:.4f}")
    parts.append(f"{status.memory_mib} MiB")
    if status.seconds_left is not None:
        minutes, seconds = divmod(int(status.seconds_left), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    return ", ".join(parts)
