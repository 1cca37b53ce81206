"""Signals that ask a job to end: Ctrl-C, SIGTERM of schedulers, SIGHUP of a closed terminal."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from upscore.core.temporary import remove_unfinished

STOPS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

_received: list[int] = []


def exit_status() -> int:
    """What a shell reports for a program that the last of these signals ended: 128 + number."""
    return 128 + (_received[-1] if _received else signal.SIGINT)


def was_stopped() -> bool:
    """Whether this process got one of these signals."""
    return bool(_received)


@contextlib.contextmanager
def listening(hear: Callable[[int], None]) -> Iterator[None]:
    """Call ``hear`` with each of these signals during the block.

    Does nothing outside the main thread, to which signals belong. A SIGHUP that is ignored, as
    under nohup, stays so.
    """
    _received.clear()
    before = {}

    def heard(number: int, _frame: FrameType | None) -> None:
        _received.append(number)
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


def end_program(number: int) -> None:
    """The first signal ends what the main thread does, which then cleans up.

    A second Ctrl-C, of a person who will not wait for that, ends the process at once: files
    appear whole, locks are the system's, and workers end with their parent. Other signals are sent
    twice without meaning it, to a process and to its group.
    """
    if len(_received) < 2:
        raise KeyboardInterrupt
    if number == signal.SIGINT:
        remove_unfinished()
        show_cursor = b"\x1b[?25h" if os.isatty(2) else b""  # a progress bar may hide it
        with contextlib.suppress(OSError):
            os.write(2, show_cursor + b"upscore: interrupted\n")
        os._exit(exit_status())
