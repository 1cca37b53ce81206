"""Live progress of a training: a bar with speed, time left, loss, learning rate and memory."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from upscore.cli.console import errors

if TYPE_CHECKING:
    from upscore.training.trainer import Status


class TrainingDisplay:
    """On a terminal a live bar; elsewhere (a log file, CI) a line each twentieth of the budget."""

    LINES = 20

    def __init__(self) -> None:
        self.silent = os.environ.get("LOCAL_RANK", "0") != "0"
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
            TextColumn("{task.fields[text]}"), console=errors, disable=self.silent,
        )  # fmt: skip
        self._live = errors.is_terminal and not self.silent
        self._lines = 0
        self._stage = ""

    def __enter__(self) -> TrainingDisplay:
        if self._live:
            self._bar.start()
            self._task = self._bar.add_task("training", total=1.0, text="")
        return self

    def update(self, status: Status) -> None:
        text = describe(status)
        if not self.silent:
            for notice in status.notices:
                style = "bold yellow" if notice.warning else None
                errors.print(notice.text, style=style, markup=False)
        if status.stage != self._stage:
            self._stage, self._lines = status.stage, 0
        if self._live:
            self._bar.update(self._task, completed=status.fraction, text=text)
        elif not self.silent and int(status.fraction * self.LINES) >= self._lines:
            self._lines = int(status.fraction * self.LINES) + 1
            errors.print(f"{status.fraction:4.0%} {text}", markup=False)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._bar.stop()


def describe(status: Status) -> str:
    """One line: iteration, loss, rate, speed, best score, memory, time left."""
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
