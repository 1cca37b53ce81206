"""Progress of a long job, sent to one callback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a stage of a job is.

    Attributes:
        stage: what is being done, as in ``evaluating val``. A new stage begins with a new name.
        done, total: items; ``total`` is None while it is not known.
        text: one line about the state, as speed and loss of a training.
    """

    stage: str
    done: float
    total: float | None = None
    text: str = ""


OnProgress = Callable[[Progress], None]
"""Called in the thread that runs the job, after each item."""


def ignore_progress(_: Progress) -> None:
    """The callback that does nothing."""


def count_items(on_progress: OnProgress, stage: str) -> Callable[[int, int], None]:
    """A function of (items done, items in all) that reports to ``on_progress`` as one stage."""
    return lambda done, total: on_progress(Progress(stage, done, total))
