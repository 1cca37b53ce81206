"""Signals that ask a job to end: Ctrl-C, SIGTERM of schedulers, SIGHUP of a closed terminal."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

STOPS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

_received: int | None = None


def exit_status() -> int:
    """What a shell reports for a program that the last of these signals ended: 128 + number."""
    return 128 + (_received or signal.SIGINT)


def was_stopped() -> bool:
    """Whether this process got one of these signals."""
    return _received is not None


@contextlib.contextmanager
def listening(hear: Callable[[int], None]) -> Iterator[None]:
    """Call ``hear`` with each of these signals during the block.

    Does nothing outside the main thread, to which signals belong. A SIGHUP that is ignored, as
    under nohup, stays so.
    """
    global _received
    _received = None
    before = {}

    def heard(number: int, _frame: FrameType | None) -> None:
        global _received
        _received = number
        hear(number)

    with contextlib.suppress(ValueError):
        for number in STOPS:
            if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, heard)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt(_number: int) -> None:
    """End what the main thread does, as Ctrl-C does."""
    raise KeyboardInterrupt
