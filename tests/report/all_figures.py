"""One of each figure that the package draws, with long names and many classes among them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from report.test_compare_figures import guesses
from report.test_edge_figure import scores as edge_scores
from report.test_figures import curve, some_matrix
from report.test_proposal_figures import some_boxes, some_recall
from report.test_tuning_figure import RANGES, some_trials
from upscore.core.labels import CAMVID_LABELS, VOC_LABELS, Labels
from upscore.data import DataSet
from upscore.data.stats import measure
from upscore.metrics.comparison import compare
from upscore.metrics.confusion import score
from upscore.report.figures.comparison import class_differences, sizes_figure, trimap_figure
from upscore.report.figures.dataset import overview_figure
from upscore.report.figures.edges import edge_figure
from upscore.report.figures.proposals import boxes_figure, recall_figure
from upscore.report.figures.reproduction import (
    Line,
    bars_chart,
    horizontal_bars,
    lines_chart,
    loss_curves,
)
from upscore.report.figures.scheme import Column, Skip, scheme_chart
from upscore.report.figures.scores import (
    PAPER,
    confusion_heat_map,
    learning_curve,
    per_class_bars,
)
from upscore.report.figures.tuning import tuning_figure

METHODS = ("FCN-8s", "DeconvNet", "DeconvNet+CRF", "EDeconvNet", "EDeconvNet+CRF")
SIZES = ("small (4)", "medium (57)", "large (1,213)")


def all_figures(dataset: DataSet) -> Iterator[tuple[str, Figure]]:
    """Each figure by its name; all but those of more than 60 classes."""
    rng = np.random.default_rng(0)
    for labels in (CAMVID_LABELS, VOC_LABELS, Labels.of([f"class number {i}" for i in range(55)])):
        matrix = some_matrix(len(labels))
        matrix[-1] = 0
        yield f"confusion-{len(labels)}", confusion_heat_map(matrix, labels)
        yield f"per-class-{len(labels)}", per_class_bars(score(matrix), labels)
    yield "curve", learning_curve([curve(), curve(20)], "val_miou")
    split = dataset.split("val")
    few, many = (compare(guesses(split, num), split) for num in (2, 5))
    yield "trimap", trimap_figure(many)
    yield "sizes-few", sizes_figure(few)
    yield "sizes-many", sizes_figure(many)
    yield "differences", class_differences(many)
    steps = tuple(range(10, 701, 10))
    losses = [
        Line(f"Exp. {i}", steps, tuple(3 / (1 + x / 99) + 0.1 * i for x in steps))
        for i in (1, 2, 3)
    ]
    yield "loss-curves", loss_curves(losses, mark=60, theme=PAPER)
    lines = [Line(name, tuple(range(1, 41)), tuple(np.sort(rng.random(40)))) for name in METHODS]
    for num in (1, 2):
        panels = [("pixel accuracy", lines), ("mIoU", lines)][:num]
        figure = lines_chart(panels, x_name="pixels", y_name="mIoU", theme=PAPER, every=5)
        yield f"lines-{num}", figure
    bars = [(name, tuple(rng.random(3))) for name in METHODS]
    yield "bars", bars_chart(SIZES, bars, y_name="mIoU", theme=PAPER)
    bars = [(f"FCN-8s, learned upsampling, {i}", tuple(rng.random(7))) for i in range(4)]
    yield "bars-turned", bars_chart([f"part {i}" for i in range(7)], bars, y_name="x", theme=PAPER)
    bars = [("mIoU", tuple(rng.random(len(METHODS))))]
    yield "bars-down", horizontal_bars(METHODS, bars, theme=PAPER)
    columns = (Column(("photo",), 1), Column(("pool3", "pool4"), 0.4), Column(("scores",), 0.5))
    yield "scheme", scheme_chart(columns, (Skip(0, 2, "skip"),), theme=PAPER)
    yield "overview", overview_figure(measure(dataset), dataset)
    yield "edges", edge_figure({f"edges/of/detector {i}": edge_scores(0.2 * i) for i in (1, 2, 3)})
    names = ("EdgeBoxes with learned edges", "sliding windows", "runs/boxes.parquet")
    yield "recall", recall_figure(some_recall(*names, counts=(1, 10, 20, 50, 100, 200, 1000)))
    photo = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
    title = "10 of 2,000 boxes of a photo with a long name.jpg"
    yield "boxes", boxes_figure(photo, some_boxes(10), title=title)
    strength = rng.random((60, 80), dtype=np.float32)
    yield "boxes-edges", boxes_figure(photo, some_boxes(10), title=title, strength=strength)
    trials = some_trials(60, start=True)
    yield "tuning", tuning_figure(trials, ranges=RANGES, num_images=40)
