from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from evaluation.maps import noisy
from evaluation.small_world import make_data
from upscore.core.draw import WRONG_COLOR, titled
from upscore.core.labels import VOID, Labels
from upscore.data import open_dataset
from upscore.metrics.comparison import PackedLabels, PredictedMaps, compare
from upscore.report.figures.comparison import (
    class_differences,
    side_by_side,
    sizes_figure,
    trimap_figure,
    write_pictures,
)
from upscore.report.figures.scores import png

LABELS = Labels.of(["background", "tr$ee", "car"])


@pytest.fixture
def split(tmp_path):
    return open_dataset(make_data(tmp_path / "data", LABELS.names)).split("val")


def guesses(split, num: int) -> list[PredictedMaps]:
    found = []
    for seed in range(num):
        rng = np.random.default_rng(seed)
        maps = []
        for place in range(len(split)):
            truth = split.read_labels(place)
            noise = rng.integers(0, 3, truth.shape, dtype=np.uint8)
            said = np.where(rng.random(truth.shape) < 0.1 * (seed + 1), noise, truth)
            maps.append(PackedLabels.of(np.where(said == VOID, 0, said).astype(np.uint8)))
        found.append(PredictedMaps(f"co$t {seed}", tuple(maps)))
    return found


def size(figure) -> tuple[int, int]:
    return Image.open(io.BytesIO(png(figure))).size


@pytest.mark.parametrize("num", [2, 7])
def test_figures_of_any_number_of_contenders(split, num):
    found = compare(guesses(split, num), split)
    for draw in (trimap_figure, sizes_figure, class_differences):
        width, height = size(draw(found))
        assert 900 < width < 1400
        assert 400 < height < 800, draw
    curves = trimap_figure(found).axes[0].lines
    assert len(curves) == num
    wanted = [band.pixel_accuracy for band in found.models[1].details.trimap.scores()]
    assert list(curves[1].get_ydata()) == wanted
    bars = sizes_figure(found).axes[0].patches
    assert len(bars) == 3 * num
    assert bars[0].get_height() == found.models[0].details.sizes.miou(0)


def test_differences_are_drawn_best_on_top(split):
    axes = class_differences(compare(guesses(split, 2)[::-1], split)).axes[0]
    marks = axes.lines[-1].get_xdata()
    assert list(marks) == sorted(marks, reverse=True)
    assert marks[0] > 0


def test_nothing_to_draw(split):
    for pair in split.pairs:
        Image.new("L", Image.open(pair.mask).size, VOID).save(pair.mask)
    found = compare(guesses(split, 2), split)
    for draw in (trimap_figure, sizes_figure, class_differences):
        assert size(draw(found))[0] > 900
    assert "not in the truth: 3 of 3 classes" in class_differences(found).get_suptitle()


def test_a_sheet():
    truth, said = noisy(40, 60), noisy(40, 60, 3, void=False)
    photo = np.full((40, 60, 3), 90, np.uint8)
    one = side_by_side(photo, truth, [("a", said)], LABELS)
    two = side_by_side(photo, truth, [("a", said), ("b", said)], LABELS)
    assert one.dtype == np.uint8
    # what a photo is narrower than, its legend fills
    assert two[:, : 3 * 60 + 16].shape[1] == 3 * 60 + 16
    wrong = int(((truth != said) & (truth != VOID)).sum())
    assert (one == WRONG_COLOR).all(axis=2).sum() == wrong
    assert (two == WRONG_COLOR).all(axis=2).sum() == 2 * wrong


def test_a_large_photo_is_shrunk():
    truth = np.zeros((300, 2000), np.uint8)
    photo = np.zeros((300, 2000, 3), np.uint8)
    assert side_by_side(photo, truth, [("a", truth)], LABELS).shape[1] < 1000


def test_pictures_of_odd_names_and_lost_photos(split, tmp_path):
    labelled = guesses(split, 2)
    found = compare(labelled, split)
    first = found.most_different(1)[0]
    split.pairs[found.places[first]].image.unlink()
    drawn = write_pictures(found, labelled, split, tmp_path / "out", num=3)
    assert first not in drawn
    assert len(drawn) == 2
    assert [name[:15] for name in drawn.values()] == ["differences/01-", "differences/02-"]
    assert all((tmp_path / "out" / name).exists() for name in drawn.values())


def test_titles():
    picture = np.full((10, 50, 3), 7, np.uint8)
    sheet = titled(picture, "a very long title that cannot fit")
    assert sheet.shape[1] == 50
    assert (sheet[-10:] == 7).all()
    assert sheet[:-10].min() < 100 < sheet[:-10].max()
    assert titled(np.zeros((1, 1, 3), np.uint8), "x").shape[1] == 1
