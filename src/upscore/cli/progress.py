"""Progress bars on the error stream, and log lines where it is no terminal."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from upscore.cli.console import errors

if TYPE_CHECKING:
    from upscore.core import progress as events


class ProgressDisplay:
    """Shows the current stage of a job: a live bar on a terminal.

    Elsewhere (a log file, CI) only stages with text, such as trainings, print a line for each
    twentieth. Further processes of one training (``LOCAL_RANK`` above 0) print nothing.
    """

    LINES = 20

    def __init__(self) -> None:
        self.silent = os.environ.get("LOCAL_RANK", "0") != "0"
        self._live = errors.is_terminal and not self.silent
        self._stage: str | None = None
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._lines = 0

    def __enter__(self) -> ProgressDisplay:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def __call__(self, event: events.Progress) -> None:
        if event.stage != self._stage:
            self._end()
            self._stage, self._lines = event.stage, 0
            if self._live:
                self._begin(event)
        if self._bar is not None:
            self._bar.update(self._task, completed=event.done, total=event.total, text=event.text)
        elif event.text and not self.silent:
            self._print(event)

    def _begin(self, event: events.Progress) -> None:
        columns = (
            (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[text]}"))
            if event.text
            else (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        )
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            *columns,
            console=errors,
            transient=not event.text,
        )
        self._bar.start()
        self._task = self._bar.add_task(event.stage, total=event.total, text="")

    def _print(self, event: events.Progress) -> None:
        share = event.done / event.total if event.total else 0.0
        if int(share * self.LINES) >= self._lines:
            self._lines = int(share * self.LINES) + 1
            errors.print(f"{share:4.0%} {event.text}", markup=False)

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
