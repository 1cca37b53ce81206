"""Ctrl-C and SIGTERM end a training after the step under way."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class GracefulStop:
    """``wanted`` turns true at the first signal; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.wanted = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals during the block; does nothing outside the main thread."""
        before = {}
        with contextlib.suppress(ValueError):  # signals belong to the main thread
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, self._hear)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if self.wanted and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.wanted = True
