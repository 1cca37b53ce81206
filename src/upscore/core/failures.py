"""Failures of single items in a long job, and the message that lists them at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from upscore.core.quoting import shorten
from upscore.errors import UpscoreError, WorkError

LISTED = 20
"""Failures that a message spells out."""


@dataclass(frozen=True)
class Failure:
    """An item (an image, a file) that could not be processed, and why."""

    index: int
    name: str
    message: str

    def __str__(self) -> str:
        return self.message


ITEM_ERRORS = (UpscoreError, RuntimeError, MemoryError, OSError)
"""What one image may raise (CUDA out of memory is a RuntimeError) without ending the whole job."""


def failure_message(
    name: str, error: BaseException, *, memory_hint: str = "try a smaller --tile"
) -> str:
    """The message for an error of one item: an UpscoreError's own, else with the item's name.

    Args:
        memory_hint: what to do where memory was too small; empty where nothing helps.
    """
    if isinstance(error, UpscoreError):
        return str(error)
    is_memory_error = isinstance(error, MemoryError) or "memory" in str(error).lower()
    hint = f"; {memory_hint}" if memory_hint and is_memory_error else ""
    return f"{name}: {type(error).__name__}: {first_line(error)}{hint}"


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or its type if the message is empty."""
    return shorten((str(error).strip().splitlines() or [type(error).__name__])[0])


def check_failures(
    failures: Sequence[Failure | str], num_done: int, what: str, *, others: str = "", rest: str = ""
) -> None:
    """Raise WorkError with the failures, if there are any.

    Args:
        num_done: items that did not fail.
        what: as in ``images could not be scored``.
        others: what became of the others, as in ``all others are``.
        rest: as of :func:`format_failures`.
    """
    if failures:
        others = f"; {others}" if others and num_done else ""
        begin = f"{len(failures)} of {len(failures) + num_done} {what}{others}:"
        raise WorkError(format_failures(begin, failures, rest=rest))


def format_failures(begin: str, failures: Sequence[Failure | str], *, rest: str = "") -> str:
    """``begin``, then a line for each of the first ``LISTED`` failures.

    Args:
        rest: where all of them can be read, as in ``see scores.json``.
    """
    lines = [begin, *(f"  {failure}" for failure in failures[:LISTED])]
    if len(failures) > LISTED:
        lines.append(f"  and {len(failures) - LISTED} more" + (f", {rest}" if rest else ""))
    return "\n".join(lines)
