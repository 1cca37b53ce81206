"""What can be said of scores and their differences: as text, and whether it is sure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Contender = Mapping[str, Any]
"""One of ``contenders`` in :func:`upscore.reproduce.scores.score_stages`."""


def score_text(value: float | None) -> str:
    """``0.512``; a dash for what was not measured."""
    return "\u2013" if value is None else f"{value:.3f}"


def interval(contender: Contender | None) -> str | None:
    """``+0.0123 [0.0040, 0.0206]``: difference to the first in mIoU, with its interval."""
    difference = None if contender is None else contender["difference"]
    if difference is None or difference["miou"] is None:
        return None
    return f"{difference['miou']:+.4f} [{difference['low']:+.4f}, {difference['high']:+.4f}]"


def told(contender: Contender | None) -> str:
    """Its interval, or that there is none."""
    return interval(contender) or "missing"


def direction(contender: Contender | None) -> int | None:
    """1 or -1 where the interval is above or below 0, 0 where it holds 0, None without one."""
    difference = None if contender is None else contender["difference"]
    if difference is None or difference["low"] >= difference["high"]:
        return None
    return 1 if difference["low"] > 0 else -1 if difference["high"] < 0 else 0


def surely(contender: Contender | None, *, above: bool) -> bool | None:
    """Whether a difference to the first is above (or below) 0; None where that is not sure."""
    found = direction(contender)
    return None if found in (None, 0) else (found == 1) == above


def both(first: bool | None, second: bool | None) -> bool | None:
    """Whether two things hold, of which either may be unknown."""
    if first is False or second is False:
        return False
    return None if first is None or second is None else True


def greater(value: float | None, other: float | None) -> bool | None:
    """Whether one number is above another; None where they are equal, or one is unknown."""
    return None if value is None or other is None or value == other else value > other
