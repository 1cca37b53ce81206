"""Curves of one point are told in a sentence."""

from __future__ import annotations

from upscore.report.html_helpers import charts, single_points
from upscore.report.run_data import Curve

ONE = Curve((10,), (2.5,), (10,), (0.25,))
TWO = Curve((10, 20), (2.5, 1.5), (20,), (0.5,))


def test_one_point_is_a_sentence_and_no_figure() -> None:
    assert charts([ONE]) == []
    assert single_points([ONE], ["run"]) == [
        "Training loss: 2.500 at iteration 10; one point makes no curve.",
        "mIoU on the validation split: 0.250 at iteration 10; one point makes no curve.",
    ]


def test_runs_with_one_point_each_are_named() -> None:
    assert len(charts([ONE, TWO])) == 1  # the loss
    assert single_points([ONE, TWO, Curve()], ["a", "b", "c"]) == [
        "mIoU on the validation split: a 0.250 at iteration 10, b 0.500 at iteration 20; one point "
        "makes no curve."
    ]
    assert single_points([Curve()], ["a"]) == []
