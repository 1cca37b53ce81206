"""Failures of single items in a long job, and the message that lists them at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LISTED = 20
"""Failures that a message spells out."""


@dataclass(frozen=True)
class Failure:
    """An item (an image, a file) that could not be processed, and why."""

    index: int
    name: str
    message: str


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def format_failures(begin: str, messages: Sequence[str], *, rest: str = "") -> str:
    """``begin``, then a line for each of the first ``LISTED`` messages.

    Args:
        rest: where all of them can be read, as in ``see scores.json``.
    """
    lines = [begin, *(f"  {message}" for message in messages[:LISTED])]
    if len(messages) > LISTED:
        lines.append(f"  and {len(messages) - LISTED} more" + (f", {rest}" if rest else ""))
    return "\n".join(lines)
