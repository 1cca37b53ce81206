"""Progress of a long job, sent to one callback."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from upscore.core.printable import printable


@dataclass(frozen=True)
class Notice:
    """A line that is shown once and stays.

    Attributes:
        advice: what to type in the command that shows it, after the text; others leave it out.
    """

    text: str
    warning: bool = False
    advice: str = ""


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
        twentieth = int(fraction(event) * self.NUM)
        if event.stage != self._stage or twentieth < self._next - 2:  # the next job of this name
            self._stage, self._next = event.stage, 0
        if not event.text:
            if self._clock() - self._shown < self.SECONDS:
                return False
            self._shown = self._clock()
            return True
        if twentieth < self._next:
            return False
        self._next, self._shown = twentieth + 1, self._clock()
        return True


def fraction(event: Progress) -> float:
    """Finished part of the stage in [0, 1]; 0 while the total is not known."""
    return event.done / event.total if event.total else 0.0


def as_line(event: Progress) -> str:
    """An event as one line of a log."""
    if event.text:
        return f"{fraction(event):4.0%} {event.text}"
    of = f"of {event.total:g}" if event.total else "so far"
    return f"{event.stage}: {event.done:g} {of}"


_milestones = Milestones()


def show_progress(event: Progress) -> None:
    """Print a line now and then, in a notebook or a script: ``on_progress=upscore.show_progress``.

    A training prints one for each twentieth of its budget; other jobs one every 30 seconds, and one
    at the end of each part.

    Example:
        >>> from upscore.core.progress import Progress
        >>> upscore.show_progress(Progress("labelling", 10, 10))
        labelling: 10 of 10
    """
    for notice in event.notices:
        print(printable(notice.text), flush=True)
    if event.notices and not event.text and event.total is None:
        return
    reached = _milestones.reached(event)
    if reached or (not event.text and event.total and event.done >= event.total):
        print(printable(as_line(event)), flush=True)
