"""Differences between scores as text, and their significance."""

from __future__ import annotations

import pytest

from upscore.reproduce.differences import (
    both,
    direction,
    greater,
    interval,
    score_text,
    significant,
)


def contender(miou: float | None, low: float, high: float) -> dict:
    return {"difference": {"miou": miou, "low": low, "high": high}}


@pytest.mark.parametrize(
    ("one", "way"),
    [
        (contender(0.02, 0.01, 0.03), 1),
        (contender(-0.02, -0.03, -0.01), -1),
        (contender(0.01, -0.01, 0.03), 0),
        (contender(0.01, 0.0, 0.03), 0),
        (contender(0.0, 0.0, 0.0), None),  # one photo: no interval
        ({"difference": None}, None),  # the first, which the others are measured against
        (None, None),
    ],
)
def test_direction_needs_an_interval_without_zero(one, way):
    assert direction(one) == way
    assert significant(one, above=True) == {1: True, -1: False}.get(way)
    assert significant(one, above=False) == {1: False, -1: True}.get(way)


def test_texts():
    assert interval(contender(0.0123, 0.004, 0.0206)) == "+0.0123 [+0.0040, +0.0206]"
    assert interval(contender(None, 0, 0)) is interval(None) is None
    assert score_text(0.5) == "0.500"
    assert score_text(None) == "\u2013"


def test_what_is_unknown_decides_nothing():
    assert both(True, True) is True
    assert both(None, False) is False
    assert both(True, None) is None
    assert greater(0.2, 0.1) is True
    assert greater(0.1, 0.2) is False
    assert greater(0.1, 0.1) is None
    assert greater(None, 0.1) is None
