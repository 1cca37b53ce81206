"""Progress of a long job, sent to one callback."""

from __future__ import annotations

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
    """Selects the events that a log shows: about 20 of each stage that has a text."""

    NUM = 20

    def __init__(self) -> None:
        self._stage: str | None = None
        self._next = 0

    def reached(self, event: Progress) -> bool:
        """Whether this event is the first of its stage, or the first in another twentieth of it."""
        if event.stage != self._stage:
            self._stage, self._next = event.stage, 0
        twentieth = int(fraction(event) * self.NUM)
        if not event.text or twentieth < self._next:
            return False
        self._next = twentieth + 1
        return True


def fraction(event: Progress) -> float:
    """Finished part of the stage in [0, 1]; 0 while the total is not known."""
    return event.done / event.total if event.total else 0.0
