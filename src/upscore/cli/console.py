"""The consoles that commands print to, and log messages as lines on the error stream."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from upscore.core.printable import printable


class Screen(Console):
    """A console that shows names as they are: they may hold [red], :car: or codes for terminals."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The pieces of text of a renderable; those with codes are rich's own."""
        for segment in super().render(renderable, options):
            yield segment if segment.is_control else segment._replace(text=printable(segment.text))


console = Screen()
errors = Screen(stderr=True)


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
