"""How the failures of a long job are told at its end."""

from __future__ import annotations

from collections.abc import Sequence

LISTED = 20
"""Failures that a message spells out."""


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def tell_failures(begin: str, messages: Sequence[str], *, rest: str = "") -> str:
    """``begin``, then a line for each of the first ``LISTED`` messages.

    Args:
        rest: where all of them can be read, as in ``see scores.json``.
    """
    lines = [begin, *(f"  {message}" for message in messages[:LISTED])]
    if len(messages) > LISTED:
        lines.append(f"  and {len(messages) - LISTED} more" + (f", {rest}" if rest else ""))
    return "\n".join(lines)
