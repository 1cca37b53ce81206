"""Ctrl-C, SIGTERM and SIGHUP end a training after the step under way."""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager

from upscore.core.stop_signals import interrupt, listening


class GracefulStop:
    """``wanted`` turns true at the first signal; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.wanted = False

    def listening(self) -> AbstractContextManager[None]:
        """Handle signals during the block; does nothing outside the main thread."""
        return listening(self._hear)

    def _hear(self, number: int) -> None:
        if self.wanted and number == signal.SIGINT:
            interrupt(number)
        self.wanted = True
