"""The consoles that commands print to, and log messages as lines on the error stream."""

from __future__ import annotations

import logging

from rich.console import Console

# no markup and no emoji: names of files and classes may hold [red] or :car:
console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


class _Messages(logging.Handler):
    """Log records as plain lines on the error stream, above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        errors.print(record.getMessage())


def show_messages(logger_name: str) -> None:
    """Print the records of a logger from now on, such as that kernels are compiled."""
    logger = logging.getLogger(logger_name)
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _Messages) for handler in logger.handlers):
        logger.addHandler(_Messages())
