from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from upscore.errors import SettingsError
from upscore.proposals.base import Proposals
from upscore.proposals.ground_truth import TrueObject
from upscore.proposals.recall import PhotoRecall, Recall
from upscore.report.figures.proposals import boxes_figure, recall_figure
from upscore.report.figures.scores import png

RNG = np.random.default_rng(0)


def some_recall(*sources: str, counts=(10, 100, 1000), areas=(500, 2000, 20000)) -> Recall:
    objects = tuple(TrueObject((0, 0, 9, 9), 1, area) for area in areas)
    shape = (len(objects), len(counts))
    overlaps = {
        source: np.sort(RNG.uniform(0, 1, shape), axis=1).astype(np.float32) for source in sources
    }
    photo = PhotoRecall(
        "a", objects, 0, overlaps, dict.fromkeys(sources, 9), dict.fromkeys(sources, 0.1)
    )
    return Recall(
        sources, counts, 100, "instance masks", (photo,), 1, 0, (), {key: {} for key in sources}
    )


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_lines_hold_the_scores():
    result = some_recall("one", "two")
    figure = recall_figure(result)
    axes = figure.axes
    assert len(axes) == 8
    for row in result.rows():
        if row.size == "all":
            place = result.counts.index(row.boxes)
            drawn = [lines(axes[i])[row.source].get_ydata()[place] for i in range(4)]
            assert drawn == [row.average_recall, *row.recall]
    by_size = {"small": 4, "medium": 5, "large": 6}
    for size, place in by_size.items():
        expected = [row.average_recall for row in result.rows(size) if row.source == "two"]
        assert list(lines(axes[place])["two"].get_ydata()) == expected
        assert f"1 {size} object" in axes[place].get_title()
    assert list(lines(axes[0])["one"].get_xdata()) == [10, 100, 1000]


def test_up_to_twenty_sources_differ_without_their_colour():
    names = [f"source {number}" for number in range(20)]
    figure = recall_figure(some_recall(*names))
    looks = {(str(line.get_linestyle()), line.get_marker(), line.get_color())
             for line in figure.axes[0].lines}  # fmt: skip
    assert len(looks) == 20
    five = figure.axes[0].lines[:5]
    assert len({line.get_marker() for line in five}) == 5
    legend = figure.axes[7].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == names


@pytest.mark.parametrize("counts", [(10,), (1, 2), (10, 20, 50, 100, 200, 500, 1000, 2000)])
def test_any_counts(counts):
    picture = Image.open(io.BytesIO(png(recall_figure(some_recall("one", counts=counts)))))
    assert 1000 < picture.width < 1500


def test_no_objects_of_a_size():
    figure = recall_figure(some_recall("one", areas=(500,)))
    assert [text.get_text() for text in figure.axes[5].texts] == ["no such object"]
    assert not figure.axes[5].lines
    png(figure)


def test_names_of_any_kind():
    names = ("_hidden", "$x", "a" * 200, "__")
    figure = recall_figure(some_recall(*names))
    texts = [text.get_text() for text in figure.axes[7].get_legend().get_texts()]
    assert texts[0] == "hidden"
    assert texts[2].startswith("...a")
    assert len(texts) == 4
    png(figure)


def some_boxes(num: int) -> Proposals:
    begin = RNG.uniform(0, 40, (num, 2))
    boxes = np.concatenate([begin, begin + 20], axis=1)
    return Proposals(boxes, np.linspace(1, 0.5, num))


@pytest.mark.parametrize("num", [0, 1, 20, 21, 300])
def test_any_number_of_boxes(num):
    figure = boxes_figure(np.zeros((60, 80, 3), np.uint8), some_boxes(num), title="a $photo")
    axes = figure.axes[0]
    assert len(axes.patches) == num
    assert len(axes.texts) == (num if num <= 20 else 0)
    png(figure)


def test_the_best_box_is_drawn_last_and_numbered_one():
    found = some_boxes(3)
    axes = boxes_figure(np.zeros((60, 80, 3), np.uint8), found, title="t").axes[0]
    best = axes.patches[-1]
    assert (best.get_x(), best.get_y()) == pytest.approx(tuple(found.boxes[0, :2]))
    assert (best.get_width(), best.get_height()) == pytest.approx((20, 20))
    assert [text.get_text() for text in axes.texts] == ["3", "2", "1"]
    assert axes.texts[-1].get_position() == pytest.approx(tuple(found.boxes[0, :2]))


def test_boxes_that_leave_the_photo_are_seen_whole():
    outside = Proposals(np.array([[-30, -10, 90, 100]], np.float32), np.ones(1))
    axes = boxes_figure(np.zeros((60, 80, 3), np.uint8), outside, title="t").axes[0]
    assert axes.get_xlim() == (-30, 90)
    assert axes.get_ylim() == (100, -10)


@pytest.mark.parametrize("shape", [(1, 1), (2, 500), (500, 2), (60, 80)])
def test_the_edge_map_beside_photos_of_any_shape(shape):
    strength = np.zeros(shape, np.float32)
    strength[0] = 1
    image = np.zeros((*shape, 3), np.uint8)
    figure = boxes_figure(image, Proposals.none(), title="t", strength=strength)
    drawn = figure.axes[0].images[0]
    assert drawn.norm(drawn.get_array()).min() == 0  # an edge is black
    picture = Image.open(io.BytesIO(png(figure)))
    assert picture.width < 3000
    assert picture.height < 4000


def test_an_edge_map_of_another_size():
    with pytest.raises(SettingsError, match="the photo is 80x60, its edge map 60x80"):
        boxes_figure(
            np.zeros((60, 80, 3), np.uint8),
            Proposals.none(),
            title="t",
            strength=np.zeros((80, 60), np.float32),
        )
