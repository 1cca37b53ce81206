"""Failures of single items in a long job, and the message that lists them at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from upscore.errors import UpscoreError

LISTED = 20
"""Failures that a message spells out."""


@dataclass(frozen=True)
class Failure:
    """An item (an image, a file) that could not be processed, and why."""

    index: int
    name: str
    message: str


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
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def failures_begin(failed: int, num: int, items: str) -> str:
    """How many of ``num`` items failed, to begin :func:`format_failures` with."""
    rest = "; all others are" if failed < num else ""
    return f"{failed} of {num} {items} could not be scored{rest}:"


def format_failures(begin: str, messages: Sequence[str], *, rest: str = "") -> str:
    """``begin``, then a line for each of the first ``LISTED`` messages.

    Args:
        rest: where all of them can be read, as in ``see scores.json``.
    """
    lines = [begin, *(f"  {message}" for message in messages[:LISTED])]
    if len(messages) > LISTED:
        lines.append(f"  and {len(messages) - LISTED} more" + (f", {rest}" if rest else ""))
    return "\n".join(lines)
