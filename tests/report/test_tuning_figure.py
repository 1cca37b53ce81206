from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from upscore.crf.search import SPACE, RandomSampler, Trial, known_candidates, with_values
from upscore.crf.settings import CRFSettings, crf_settings
from upscore.errors import SettingsError
from upscore.report.figures.scores import png
from upscore.report.figures.tuning import tuning_figure

BASE = crf_settings("deconvnet")


def some_trials(num: int, *, base: CRFSettings = BASE, start: str = "deconvnet") -> list[Trial]:
    rng = np.random.default_rng(0)
    known = known_candidates(start, base)
    trials = [Trial(i, *known[i], 0.5 + 0.01 * i, 1.0) for i in range(len(known))]
    for number in range(len(known), num):
        settings = with_values(base, RandomSampler(SPACE, 0).draw(number, []))
        trials.append(Trial(number, "random", settings, float(rng.uniform(0.1, 0.6)), 1.0))
    return trials[:num]


def names(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def line(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


@pytest.mark.parametrize("num", [1, 2, 4, 5, 44, 400])
def test_any_number_of_trials(num):
    figure = tuning_figure(some_trials(num), num_images=num)
    picture = Image.open(io.BytesIO(png(figure)))
    assert 400 < picture.width < 2600
    assert 400 < picture.height < 1400


def test_a_panel_for_the_order_and_one_for_each_setting():
    figure = tuning_figure(some_trials(20), num_images=3)
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels[0] == "trial"
    assert len([label for label in labels if label]) == 1 + len(SPACE)
    assert all(axes.get_xscale() == "log" for axes in figure.axes[1:])
    assert "3 images" in figure.get_suptitle()


def test_best_so_far_never_falls_and_ends_at_the_ring():
    trials = some_trials(30)
    axes = tuning_figure(trials, num_images=2).axes[0]
    so_far = line(axes, "best so far").get_ydata()
    assert list(so_far) == list(np.maximum.accumulate([t.score for t in trials]))
    best = max(trials, key=lambda t: t.score)
    ring = line(axes, "best")
    assert ring.get_xdata()[0] == best.number
    assert ring.get_ydata()[0] == best.score == so_far[-1]


def test_far_below_stands_on_the_edge_and_no_crf_is_always_seen():
    trials = some_trials(4) + [
        Trial(i, "random", with_values(BASE, {"bilateral.sxy": 10.0 + i}), score, 1.0)
        for i, score in enumerate([0.52, 0.53, 0.54, 0.001], 4)
    ]
    axes = tuning_figure(trials, num_images=2).axes[0]
    floor = axes.get_ylim()[0]
    assert 0.3 < floor < trials[0].score
    below = line(axes, "far below")
    assert list(below.get_xdata()) == [7]
    assert list(below.get_ydata()) == [floor]


def test_no_crf_and_unnormalised_settings_are_in_the_first_panel_only():
    axes = tuning_figure(some_trials(10), num_images=2).axes
    first = {line.get_label() for line in axes[0].lines}
    second = {line.get_label() for line in axes[1].lines}
    assert {"no CRF", "released", "deconvnet"} <= first
    assert "released" not in second
    assert "no CRF" not in second
    assert "deconvnet" in second


def test_start_has_a_name_in_the_legend():
    base = with_values(BASE, {"bilateral.sxy": 33.0})
    figure = tuning_figure(some_trials(12, base=base, start="dir/mine.yaml"), num_images=2)
    assert "--start" in names(figure)
    assert names(figure)[-3:] == ["far below", "best so far", "best"]


def test_a_missing_term_and_lists_of_deviations():
    base = CRFSettings.model_validate({"bilateral": {"sxy": [9, 8], "srgb": 3, "weight": 5}})
    figure = tuning_figure([Trial(0, "a.yaml", base, 0.5, 1.0)], num_images=1)
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert [label for label in labels if label] == [
        "trial", "bilateral: deviation in colour", "bilateral: weight",
    ]  # fmt: skip
    assert "1 image" in figure.get_suptitle()
    png(figure)


def test_equal_scores():
    trials = [Trial(i, "random", BASE, 0.5, 1.0) for i in range(3)]
    png(tuning_figure(trials, num_images=2))


def test_nothing():
    with pytest.raises(SettingsError, match="no trial"):
        tuning_figure([], num_images=2)
