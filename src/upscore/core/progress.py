"""Progress of a long job, sent to one callback."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Notice:
    """A line that is shown once and stays."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a stage of a job is.

    Attributes:
        stage: what is being done, as in ``evaluating val``. A new stage begins with a new name.
        done, total: items; ``total`` is None while it is not known.
        text: one line about the state, as speed and loss of a training.
        notices: lines to show once. An event with notices, no text and no total brings only them.
    """

    stage: str
    done: float
    total: float | None = None
    text: str = ""
    notices: tuple[Notice, ...] = ()


OnProgress = Callable[[Progress], None]
"""Called in the thread that runs the job, after each item."""


def ignore_progress(_: Progress) -> None:
    """The callback that does nothing."""


def count_items(on_progress: OnProgress, stage: str) -> Callable[[int, int], None]:
    """A function of (items done, items in all) that reports to ``on_progress`` as one stage."""
    return lambda done, total: on_progress(Progress(stage, done, total))


class Milestones:
    """Selects the events that a log shows.

    About 20 of each stage that has a text; of other stages one every ``SECONDS``.

    Args:
        clock: seconds, rising.
    """

    NUM = 20
    SECONDS = 30.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stage: str | None = None
        self._next = 0
        self._shown = clock()

    def reached(self, event: Progress) -> bool:
        """Whether this event is to be shown."""
        if event.stage != self._stage:
            self._stage, self._next = event.stage, 0
        if not event.text:
            if self._clock() - self._shown < self.SECONDS:
                return False
            self._shown = self._clock()
            return True
        twentieth = int(fraction(event) * self.NUM)
        if twentieth < self._next:
            return False
        self._next, self._shown = twentieth + 1, self._clock()
        return True


def fraction(event: Progress) -> float:
    """Finished part of the stage in [0, 1]; 0 while the total is not known."""
    return event.done / event.total if event.total else 0.0
