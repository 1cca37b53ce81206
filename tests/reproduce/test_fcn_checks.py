"""Verdicts on the report's sentences, from scores and losses that are given."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from upscore.report.figures.reproduction import Line
from upscore.reproduce.fcn_checks import checks
from upscore.reproduce.fcn_losses import Losses

LINE = Line("", (), ())


def contender(miou, low, high):
    return {
        "scores": {"miou": miou},
        "difference": {"miou": miou - 0.5, "low": low, "high": high},
        "boundary_iou": {"mean": 0.2},
    }


def losses(start, early, last, seeds=(0, 1)):
    """Of trainings that differ in their seed and come to the same losses."""
    return Losses(LINE, *(dict.fromkeys(seeds, value) for value in (start, early, last)))


SCORES = {
    "exp1": {**contender(0.5, 0, 0), "difference": None},
    "exp2": contender(0.45, -0.08, -0.02),
    "exp3": contender(0.6, 0.05, 0.15),
    "conv-vgg-bilinear": contender(0.3, -0.3, -0.1),
}
START = math.log(21)
LOSSES = {
    "exp1": losses(3.12, 1.30, 0.45),
    "exp2": losses(3.05, 1.32, 0.46),
    "exp3": losses(3.10, 1.30, 0.35),
}


def verdicts(scores=SCORES, given=LOSSES, *, timed=False, start=START):
    return [check.agrees for check in checks(scores, given, 500, timed=timed, start=start)]


def test_all_as_in_the_report():
    assert verdicts() == [False, True, True, True, True, True, True, True, True]


def test_losses_of_one_seed_cannot_be_compared():
    one = {
        "exp1": losses(3.12, 1.30, 0.45, [None]),
        "exp2": losses(3.05, 1.32, 0.46, [None]),
        "exp3": losses(3.10, 1.30, 0.35, [None]),
    }
    assert verdicts(given=one) == [False, True, True, True, True, None, None, True, True]


def test_losses_at_one_iteration_say_nothing_by_the_clock():
    assert verdicts(timed=True) == [False, True, True, True, True, None, True, True, True]


@pytest.mark.parametrize(
    ("start", "agrees"), [(3.045, True), (3.2, False), (2.9, False)]
)  # fmt: skip
def test_a_start_elsewhere_than_that_of_equal_scores(start, agrees):
    given = {**LOSSES, "exp2": losses(start, 1.32, 0.46)}
    assert verdicts(given=given)[3] is agrees
    assert verdicts(given=given, start=None)[3] is None


def test_a_loss_that_falls_slowly():
    assert verdicts(given={**LOSSES, "exp1": losses(3.1, 1.6, 0.45)})[4] is False


def test_an_old_log_without_its_first_iteration():
    given = {**LOSSES, "exp1": replace(LOSSES["exp1"], start={})}
    assert verdicts(given=given)[3:6] == [None, None, True]


def test_losses_of_several_seeds_must_differ_between_trainings():
    """exp2's early loss is higher on average, but not for every seed."""

    def of(*early):
        by_seed = dict(enumerate(early))
        return Losses(LINE, dict.fromkeys(by_seed, 3.05), by_seed, dict.fromkeys(by_seed, 0.4))

    close = {**LOSSES, "exp1": of(1.30, 1.35, 1.25), "exp2": of(1.36, 1.31, 1.29)}
    assert verdicts(given=close)[5] is None
    apart = {**LOSSES, "exp1": of(1.30, 1.35, 1.25), "exp2": of(1.40, 1.46, 1.35)}
    assert verdicts(given=apart)[5] is True


def test_scores_of_several_seeds_must_differ_between_trainings():
    """An interval over the photos that leaves out 0 is not enough."""
    sure = {**SCORES["exp3"]["difference"], "trainings": [0.01, 0.19]}
    unsure = {**sure, "trainings": [-0.02, 0.22]}
    assert verdicts({**SCORES, "exp3": {**SCORES["exp3"], "difference": sure}})[1] is True
    assert verdicts({**SCORES, "exp3": {**SCORES["exp3"], "difference": unsure}})[1] is None


@pytest.mark.parametrize("name", ["exp1", "exp2", "exp3"])
def test_without_an_experiment_nothing_is_claimed_of_it(name):
    scores = {key: value for key, value in SCORES.items() if key != name}
    given = {key: value for key, value in LOSSES.items() if key != name}
    found = verdicts(scores, given)
    assert found[0] is None
    assert found[6] is None
    assert found[7] is None


def test_a_difference_within_its_interval_cannot_be_told():
    scores = {**SCORES, "exp3": contender(0.51, -0.02, 0.04)}
    assert verdicts(scores)[1] is None
    assert verdicts(scores)[2] is None
