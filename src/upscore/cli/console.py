"""What commands print: text or one JSON object on stdout, messages on the error stream."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from upscore.core.printable import one_line, printable

_names: dict[str, str] = {}
"""What was given with ends of lines or tabs in it, and how it is shown."""


def know_names(arguments: Iterable[str]) -> None:
    """Show ends of lines in these arguments of the command as ``\\n``, unlike those of messages.

    The parts of paths, too, since a message may name a folder above or a file below.
    """
    parts = [part for given in arguments for part in (given, *re.split("[/=]", given))]
    named = {part for part in parts if part.strip() and one_line(part) != printable(part)}
    _names.clear()
    _names.update((part, one_line(part)) for part in sorted(named, key=len, reverse=True))


def shown(text: str) -> str:
    """A message as it is printed: names in it cannot begin lines of their own."""
    for name, escaped in _names.items():
        text = text.replace(name, escaped)
    return printable(text)


class Screen(Console):
    """A console that shows names as they are: they may hold [red], :car: or codes for terminals."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print objects; texts as :func:`shown`."""
        super().print(
            *(shown(item) if isinstance(item, str) else item for item in objects), **options
        )

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The pieces of text of a renderable; those with codes are rich's own."""
        for segment in super().render(renderable, options):
            yield segment if segment.is_control else segment._replace(text=printable(segment.text))


console = Screen()
errors = Screen(stderr=True)


@dataclass
class Style:
    """How a command prints, for all commands alike.

    Attributes:
        json: one JSON object on stdout at the end, in place of text.
        quiet: only errors.
        verbose: also messages of the level DEBUG.
        log_json: progress and messages as JSON lines on the error stream.
        result: what the command has found so far, as JSON values.
    """

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    log_json: bool = False
    result: dict[str, Any] | None = None


style = Style()


class Result(Protocol):
    """What a workflow returns."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""


def keep_result(result: Result | dict[str, Any]) -> None:
    """The result of the command, for ``--json``."""
    style.result = result if isinstance(result, dict) else result.to_dict()


def set_style(given: Style) -> None:
    """Print in this way from now on."""
    vars(style).update(vars(given))
    console.quiet = given.json or given.quiet
    errors.quiet = given.quiet


def print_result(status: int, message: str | None) -> None:
    """The JSON object of ``--json``: exit status, error message or null, and the result or null."""
    if style.json:
        answer = {"status": status, "error": message, "result": style.result}
        print(json.dumps(answer, ensure_ascii=True, default=str))


def log_line(**values: Any) -> None:
    """A JSON line on the error stream."""
    errors.print(json.dumps(values, ensure_ascii=True, default=str))


class _Messages(logging.Handler):
    """Log records as plain lines on the error stream, above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        if style.log_json:
            log_line(level=record.levelname.lower(), message=record.getMessage())
        else:
            begin = "Warning: " if record.levelno == logging.WARNING else ""
            errors.print(begin + record.getMessage())


def show_messages(logger_name: str) -> None:
    """Print the records of a logger from now on, such as that kernels are compiled."""
    logger = logging.getLogger(logger_name)
    logger.setLevel(logging.DEBUG if style.verbose else logging.INFO)
    if not any(isinstance(handler, _Messages) for handler in logger.handlers):
        logger.addHandler(_Messages())
