"""Verdicts on the report's sentences, from scores and losses that are given."""

from __future__ import annotations

import pytest

from upscore.report.figures.reproduction import Line
from upscore.reproduce.fcn_checks import checks


def contender(miou, low, high):
    return {
        "scores": {"miou": miou},
        "difference": {"miou": miou - 0.5, "low": low, "high": high},
        "boundary_iou": {"mean": 0.2},
    }


SCORES = {
    "exp1": {**contender(0.5, 0, 0), "difference": None},
    "exp2": contender(0.45, -0.08, -0.02),
    "exp3": contender(0.6, 0.05, 0.15),
    "conv-vgg-bilinear": contender(0.3, -0.3, -0.1),
}
LINES = {
    "exp1": Line("Exp. 1", (10, 20), (1.0, 0.5)),
    "exp2": Line("Exp. 2", (10, 20), (1.2, 0.6)),
    "exp3": Line("Exp. 3", (10, 40), (1.0, 0.4)),
}


def verdicts(scores=SCORES, lines=LINES, *, timed=False):
    return [check.agrees for check in checks(scores, lines, 10, timed=timed)]


def test_all_as_in_the_report():
    assert verdicts() == [False, True, True, True, True, True, True]


def test_losses_at_one_iteration_say_nothing_by_the_clock():
    assert verdicts(timed=True) == [False, True, True, None, True, True, True]


@pytest.mark.parametrize("name", ["exp1", "exp2", "exp3"])
def test_without_an_experiment_nothing_is_claimed_of_it(name):
    scores = {key: value for key, value in SCORES.items() if key != name}
    lines = {key: value for key, value in LINES.items() if key != name}
    found = verdicts(scores, lines)
    assert found[0] is None
    assert found[4] is None
    assert found[5] is None


def test_a_difference_within_its_interval_cannot_be_told():
    scores = {**SCORES, "exp3": contender(0.51, -0.02, 0.04)}
    assert verdicts(scores)[1] is None
    assert verdicts(scores)[2] is None
