from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from upscore.errors import SettingsError
from upscore.report.figures.scores import png
from upscore.report.figures.tuning import DRAWN, NO_CRF, START, Point, tuning_figure

RANGES = {
    "gaussian.sxy": (1.0, 10.0),
    "gaussian.weight": (0.5, 10.0),
    "bilateral.sxy": (5.0, 160.0),
    "bilateral.srgb": (2.0, 40.0),
    "bilateral.weight": (0.5, 20.0),
}
MIDDLE = {key: (low * high) ** 0.5 for key, (low, high) in RANGES.items()}


def some_trials(num: int, *, start: bool = False) -> list[Point]:
    """No CRF, named settings, one of them without comparable values, and drawn ones."""
    rng = np.random.default_rng(0)
    known = [(NO_CRF, {}), ("deconvnet", MIDDLE), ("released", {}), ("deeplab", MIDDLE)]
    known += [(START, MIDDLE)] * start
    points = [Point(i, 0.5 + 0.01 * i, *known[i]) for i in range(len(known))]
    for number in range(len(known), num):
        values = {key: float(np.exp(rng.uniform(*np.log(ends)))) for key, ends in RANGES.items()}
        points.append(Point(number, float(rng.uniform(0.1, 0.6)), DRAWN, values))
    return points[:num]


def draw(points, *, num_images=2):
    return tuning_figure(points, ranges=RANGES, num_images=num_images)


def names(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def line(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


@pytest.mark.parametrize("num", [1, 2, 4, 5, 44, 400])
def test_any_number_of_trials(num):
    figure = draw(some_trials(num), num_images=num)
    picture = Image.open(io.BytesIO(png(figure)))
    assert 900 < picture.width < 1400
    assert 500 < picture.height < 1200


def test_a_panel_for_the_order_and_one_for_each_setting():
    figure = draw(some_trials(20), num_images=3)
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels[0] == "trial"
    assert len([label for label in labels if label]) == 1 + len(RANGES)
    assert all(axes.get_xscale() == "log" for axes in figure.axes[1:])
    assert "3 images" in figure.get_suptitle()


def test_best_so_far_never_falls_and_ends_at_the_ring():
    trials = some_trials(30)
    axes = draw(trials).axes[0]
    so_far = line(axes, "best so far").get_ydata()
    assert list(so_far) == list(np.maximum.accumulate([t.score for t in trials]))
    best = max(trials, key=lambda t: t.score)
    ring = line(axes, "best")
    assert ring.get_xdata()[0] == best.number
    assert ring.get_ydata()[0] == best.score == so_far[-1]


def test_far_below_stands_on_the_edge_and_no_crf_is_always_seen():
    trials = some_trials(4) + [
        Point(i, score, DRAWN, MIDDLE | {"bilateral.sxy": 10.0 + i})
        for i, score in enumerate([0.52, 0.53, 0.54, 0.001], 4)
    ]
    axes = draw(trials).axes[0]
    floor = axes.get_ylim()[0]
    assert 0.3 < floor < trials[0].score
    below = line(axes, "far below")
    assert list(below.get_xdata()) == [7]
    assert list(below.get_ydata()) == [floor]


def test_no_crf_and_unnormalised_settings_are_in_the_first_panel_only():
    axes = draw(some_trials(10)).axes
    first = {line.get_label() for line in axes[0].lines}
    second = {line.get_label() for line in axes[1].lines}
    assert {"no CRF", "released", "deconvnet"} <= first
    assert "released" not in second
    assert "no CRF" not in second
    assert "deconvnet" in second


def test_start_has_a_name_in_the_legend():
    assert names(draw(some_trials(12, start=True))) == [
        "no CRF", "deconvnet", "released", "deeplab", "--start", "drawn", "far below",
        "best so far", "best",
    ]  # fmt: skip
    assert "--start" not in names(draw(some_trials(12)))


def test_settings_that_no_trial_has_get_no_panel():
    values = {"bilateral.srgb": 3.0, "bilateral.weight": 5.0}
    figure = draw([Point(0, 0.5, START, values)], num_images=1)
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert [label for label in labels if label] == [
        "trial", "bilateral: deviation in colour", "bilateral: weight",
    ]  # fmt: skip
    assert "1 image" in figure.get_suptitle()
    png(figure)


def test_equal_scores():
    png(draw([Point(i, 0.5, DRAWN, MIDDLE) for i in range(3)]))


def test_nothing():
    with pytest.raises(SettingsError, match="no trial"):
        draw([])
