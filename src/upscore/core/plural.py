"""Numbers and lists of things in messages."""

from __future__ import annotations

from collections.abc import Sequence

LISTED = 8  # how many names a message lists


def plural(num: int, noun: str) -> str:
    """``1 image``, ``3 images`` or ``1,464 images``."""
    return f"{num:,} {noun}" if num == 1 else f"{num:,} {noun}s"


def listed(names: Sequence[str]) -> str:
    """``a, b, c``, of many names the first eight and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
