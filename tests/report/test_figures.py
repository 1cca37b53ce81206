from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from upscore.core.labels import VOC_LABELS, Labels
from upscore.errors import OutputError
from upscore.metrics.confusion import score
from upscore.report.figures.scores import (
    PAGE,
    confusion_heat_map,
    learning_curve,
    per_class_bars,
    png,
    svg,
    write_figure,
)
from upscore.report.run_data import Curve

NAMES = Labels.of(["<script>", "a & b", "$x$ costs $5", "Straße", "道路"])


def some_matrix(num: int) -> np.ndarray:
    rng = np.random.default_rng(num)
    return rng.integers(0, 20, (num, num)) + np.diag(rng.integers(100, 300, num))


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def labels_of(num: int) -> Labels:
    return VOC_LABELS if num == 21 else Labels.of([f"class number {i}" for i in range(num)])


@pytest.mark.parametrize("num", [1, 2, 21, 200])
def test_figures_of_any_number_of_classes(num):
    matrix, labels = some_matrix(num), labels_of(num)
    for figure in (confusion_heat_map(matrix, labels), per_class_bars(score(matrix), labels)):
        picture = Image.open(io.BytesIO(png(figure)))
        assert 900 < picture.width < 1400
        assert 200 < picture.height < 5000


def test_numbers_are_per_cent_of_the_row():
    figure = confusion_heat_map(np.array([[3, 1], [0, 0]]), Labels.of(["a", "b"]))
    assert texts(figure) == ["75", "25"]  # the row without truth is empty


def test_many_classes_have_no_numbers_and_fewer_names():
    figure = confusion_heat_map(some_matrix(200), labels_of(200))
    assert texts(figure) == []
    assert len(figure.axes[0].get_xticks()) <= 60


def test_bars_are_sorted_and_say_what_is_absent():
    matrix = np.array([[1, 1, 0], [0, 8, 0], [0, 0, 0]])
    figure = per_class_bars(score(matrix), Labels.of(["poor", "good", "never"]))
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["good", "poor", "never"]
    assert texts(figure) == ["0.889", "0.500", "not in the truth"]


def test_a_class_without_truth_is_drawn_as_it_counts():
    matrix = np.array([[4, 0, 1], [0, 8, 0], [0, 0, 0]])
    figure = per_class_bars(score(matrix), Labels.of(["some", "good", "guessed"]))
    assert texts(figure) == ["1.000", "0.800", "0.000, not in the truth"]
    assert "the mean over 3 is 0.600" in figure.axes[0].get_title()


def test_nothing_to_score():
    matrix = np.zeros((3, 3), dtype=np.int64)
    labels = Labels.of(["a", "b", "c"])
    png(confusion_heat_map(matrix, labels))
    figure = per_class_bars(score(matrix), labels)
    assert "nothing to score" in figure.axes[0].get_title()
    png(figure)


def test_strange_names_are_drawn_without_formulas_or_warnings():
    matrix = some_matrix(5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png(confusion_heat_map(matrix, NAMES))
        png(per_class_bars(score(matrix), NAMES))


def curve(num=30):
    steps = tuple(range(100, 100 * num + 1, 100))
    return Curve(steps, tuple(2.0 / i for i in steps), steps[::3], tuple(0.01 for _ in steps[::3]))


@pytest.mark.parametrize("what", ["loss", "val_miou"])
@pytest.mark.parametrize("count", [1, 2, 25])
def test_learning_curves(what, count):
    figure = learning_curve([curve()] * count, what, theme=PAGE)
    assert len(figure.axes[0].lines) == count
    looks = {(line.get_color(), line.get_linestyle(), str(line._unscaled_dash_pattern))
             for line in figure.axes[0].lines}  # fmt: skip
    assert len(looks) == min(count, 20)
    text = svg(figure, name="test")
    ET.fromstring(text)
    assert "var(--series-0)" in text
    assert "var(--ink)" in text
    for color in (PAGE.ink, PAGE.grid, *PAGE.series):
        assert color not in text
    assert not re.search(r'(?:href|src)="(?!#)', text)


def test_learning_curve_of_nothing_or_one_point():
    learning_curve([], "loss")
    png(learning_curve([Curve()], "loss"))
    one = Curve((100,), (1.0,), (100,), (0.5,))
    for what in ("loss", "val_miou"):
        figure = learning_curve([one], what)
        assert figure.axes[0].lines[0].get_marker() == "o"  # a line of one point is invisible
        png(figure)


def test_wide_range_of_losses_is_logarithmic():
    figure = learning_curve([Curve((100, 200), (1e6, 1e3))], "loss")
    assert figure.axes[0].get_yscale() == "log"
    figure = learning_curve([Curve((100, 200), (2.0, 1.0))], "loss")
    assert figure.axes[0].get_yscale() == "linear"
    figure = learning_curve([Curve((100, 200), (2.0, -1.0))], "loss")
    assert figure.axes[0].get_ylim()[0] <= -1


def test_finer_log_stands_behind_its_mean():
    fine = Curve(tuple(range(10, 301, 10)), tuple(float(i % 3) for i in range(30)))
    assert len(learning_curve([fine], "loss").axes[0].lines) == 2
    assert len(learning_curve([fine, fine], "loss").axes[0].lines) == 2


def test_same_figure_same_svg():
    assert svg(learning_curve([curve()], "loss"), name="a") == svg(
        learning_curve([curve()], "loss"), name="a"
    )


def test_png_goes_to_disk_whole_or_not(tmp_path):
    figure = learning_curve([curve()], "loss")
    write_figure(tmp_path / "deep" / "curve.png", figure)
    assert Image.open(tmp_path / "deep" / "curve.png").format == "PNG"
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        write_figure(tmp_path / "file" / "curve.png", figure)
