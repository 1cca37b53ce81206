"""Scores and their differences as text, and whether a difference is significant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from upscore.core.labels import LabelMap
from upscore.metrics.bootstrap import (
    Overlaps,
    difference_interval,
    mean_iou_of,
    spread_interval,
)
from upscore.metrics.boundary import BoundaryIoU

Contender = Mapping[str, Any]
"""One of ``contenders`` of :meth:`upscore.reproduce.context.Context.score_stages`, or anything else
with a ``difference``: None, or ``miou``, ``low``, ``high`` and, of several trainings of each, their
interval ``trainings``."""


def by_stage(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The contenders by the name of their stage."""
    return {one["stage"]: one for one in content["contenders"]}


def score_text(value: float | None) -> str:
    """``0.512``; a dash for what was not measured."""
    return "\u2013" if value is None else f"{value:.3f}"


def interval(contender: Contender | None) -> str | None:
    """``+0.0123 [0.0040, 0.0206]``: difference to the first in mIoU, with its interval.

    With several trainings of each, that between trainings follows.
    """
    difference = contender and contender["difference"]
    if not difference or difference["miou"] is None:
        return None
    text = f"{difference['miou']:+.4f} [{difference['low']:+.4f}, {difference['high']:+.4f}]"
    if (trainings := difference.get("trainings")) is not None:
        text += f", between trainings [{trainings[0]:+.4f}, {trainings[1]:+.4f}]"
    return text


def direction(contender: Contender | None) -> int | None:
    """1 or -1 where the interval is above or below 0, 0 where it holds 0, None without one.

    With several trainings of each, that between trainings must be on the same side.
    """
    difference = contender and contender["difference"]
    if not difference or difference["low"] >= difference["high"]:
        return None
    trainings = difference.get("trainings")
    intervals = [(difference["low"], difference["high"]), *([trainings] if trainings else [])]
    if all(low > 0 for low, _ in intervals):
        return 1
    return -1 if all(high < 0 for _, high in intervals) else 0


def significant(contender: Contender | None, *, above: bool) -> bool | None:
    """Whether a difference to the first is above (or below) 0; None where its interval holds 0."""
    found = direction(contender)
    return None if found in (None, 0) else (found == 1) == above


def both(first: bool | None, second: bool | None) -> bool | None:
    """Logical and of two values that may be unknown (None)."""
    if first is False or second is False:
        return False
    return None if first is None or second is None else True


def greater(value: float | None, other: float | None) -> bool | None:
    """Whether one number is above another; None where they are equal, or one is unknown."""
    return None if value is None or other is None or value == other else value > other


def significantly_greater(values: Mapping[Any, float], others: Mapping[Any, float]) -> bool | None:
    """Whether a number is above another one; None where the difference is not significant.

    Args:
        values, others: of several trainings, by seed. The interval of the mean difference between
            trainings of the same seed must leave out 0; one seed has no interval.
    """
    spread = spread_interval([values[seed] - others[seed] for seed in values if seed in others])
    if spread is None:
        return None
    return None if spread[0] <= 0 <= spread[1] else spread[0] > 0


def boundary_overlaps(truth: LabelMap, labels: LabelMap, num_classes: int) -> Overlaps:
    """A row of :data:`Overlaps`, (2, C), of the rims of boundary IoU in place of whole areas."""
    boundary = BoundaryIoU(num_classes)
    boundary.update(truth, labels)
    right, true, said = boundary.counts[0]
    return np.stack([right, true + said - right])


def paired_difference(before: Overlaps, after: Overlaps) -> dict[str, float | None]:
    """mIoU of ``after`` minus that of ``before``, with its interval by a paired bootstrap."""
    first, second = mean_iou_of(before), mean_iou_of(after)
    low, high = difference_interval(before, after)
    found = None if first is None or second is None else second - first
    return {"miou": found, "low": low, "high": high}
