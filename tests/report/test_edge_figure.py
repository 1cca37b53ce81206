from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from upscore.edges.benchmark.score import EdgeCounts, EdgeScores, ImageEdges, best_f
from upscore.errors import SettingsError
from upscore.report.figures.edges import edge_figure
from upscore.report.figures.scores import png


def scores(quality: float, *, num: int = 99, images: int = 3) -> EdgeScores:
    """Of a detector whose precision rises and recall falls with the threshold."""
    thresholds = np.arange(1, num + 1) / (num + 1)
    detected = (10_000 * (1 - thresholds)).astype(np.int64)
    detected[-1] = 0
    right = (detected * np.minimum(1, quality + 0.4 * thresholds)).astype(np.int64)
    counts = EdgeCounts(right, np.full(num, 8000), right, detected)
    image = ImageEdges("[a]", counts, best_f(thresholds, counts))
    return EdgeScores(thresholds, counts, (image,) * images, ())


def lines(figure, *, named: bool):
    return [
        line
        for line in figure.axes[0].lines
        if (line.get_marker() not in ("None", None, "")) == named
    ]


def test_a_curve_and_its_best_point():
    result = scores(0.5)
    figure = edge_figure({"learned": result})
    (dot,) = lines(figure, named=True)
    assert dot.get_xydata().tolist() == [[result.best.recall, result.best.precision]]
    *equal, curve = lines(figure, named=False)
    assert len(equal) == 9
    # the last threshold detects nothing: no precision, no point
    np.testing.assert_array_equal(
        curve.get_xydata(), np.stack([result.recall, result.precision], -1)[:-1]
    )
    (text,) = figure.legends[0].get_texts()
    assert text.get_text() == (
        f"learned: ODS {result.ods:.3f}, OIS {result.ois:.3f}, AP {result.ap:.3f}"
    )
    assert figure.axes[0].get_title() == "Edges of 3 images"


def test_f_is_equal_along_the_lines():
    figure = edge_figure({"a": scores(0.5, images=1)})
    for number, line in enumerate(lines(figure, named=False)[:9], 1):
        recall, precision = line.get_xydata().T
        f = 2 * precision * recall / (precision + recall)
        np.testing.assert_allclose(f, number / 10)
        assert max(precision.max(), recall.max()) <= 1 + 1e-9
    assert figure.axes[0].get_title() == "Edges of 1 image"


def test_the_best_stands_first_and_names_are_plain():
    figure = edge_figure({"bad $x$": scores(0.3), "good": scores(0.6), "fair": scores(0.45)})
    names = [text.get_text().split(":")[0] for text in figure.legends[0].get_texts()]
    assert names == ["good", "fair", r"bad \$x\$"]
    picture = Image.open(io.BytesIO(png(figure)))
    assert 600 < picture.width < 1400
    assert 600 < picture.height < 1400


def test_scores_of_nothing_and_one_threshold_are_drawn():
    nothing = EdgeCounts.zeros(1)
    image = ImageEdges("a", nothing, best_f(np.array([0.5]), nothing))
    png(edge_figure({"none": EdgeScores(np.array([0.5]), nothing, (image,), ())}))
    png(edge_figure({str(i): scores(0.05 * i, num=1 + i) for i in range(12)}))


def test_without_curves_it_is_an_error():
    with pytest.raises(SettingsError, match="no curve to draw"):
        edge_figure({})
