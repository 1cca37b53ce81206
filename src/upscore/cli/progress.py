"""Progress bars on the error stream, and log lines where it is no terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from upscore.cli import console
from upscore.core.progress import Milestones, as_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from upscore.core import progress as events


class ProgressDisplay:
    """Shows notices and the current stage of a job: a live bar on a terminal, notices above it.

    Elsewhere (a log file, CI) stages with text, such as trainings, print 20 lines in all, and
    other stages a line every 30 seconds. ``--log json`` also shows where each stage begins and
    ends. Further processes of one training (``LOCAL_RANK`` above 0) print nothing.
    """

    def __init__(self) -> None:
        self.silent = os.environ.get("LOCAL_RANK", "0") != "0"
        self._live = console.errors.is_terminal and not self.silent and not console.style.log_json
        self._stage: str | None = None
        self._bar: Progress | None = None
        self._task: TaskID
        self._milestones = Milestones()

    def __enter__(self) -> ProgressDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def __call__(self, event: events.Progress) -> None:
        if self.silent:
            return
        for notice in event.notices:
            self._notice(notice)
        if event.notices and not event.text and event.total is None:
            return
        if not self._live:
            reached = self._milestones.reached(event)
            ends = bool(event.total) and event.done == event.total
            if reached or (console.style.log_json and (ends or event.stage != self._stage)):
                self._line(event)
            self._stage = event.stage
            return
        if event.stage != self._stage:
            self._end()
            self._stage = event.stage
            self._begin(event)
        if self._bar is not None:
            self._bar.update(self._task, completed=event.done, total=event.total, text=event.text)

    @staticmethod
    def _notice(notice: events.Notice) -> None:
        text = f"{notice.text} {notice.advice}".rstrip()
        if console.style.log_json:
            console.log_line(level="warning" if notice.warning else "info", message=text)
        else:
            console.errors.print(text, style="bold yellow" if notice.warning else None)

    @staticmethod
    def _line(event: events.Progress) -> None:
        if console.style.log_json:
            console.log_line(stage=event.stage, done=event.done, total=event.total, text=event.text)
        else:
            console.errors.print(as_line(event))

    def _begin(self, event: events.Progress) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[text]}"))
            if event.text
            else (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        )
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            *columns,
            console=console.errors,
            transient=not event.text,
        )
        self._bar.start()
        self._task = self._bar.add_task(event.stage, total=event.total, text="")

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
