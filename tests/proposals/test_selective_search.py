from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from upscore.errors import DataError, MissingExtraError, SettingsError
from upscore.proposals import selective_search
from upscore.proposals.selective_search import SelectiveSearch


@pytest.fixture
def two_colours() -> np.ndarray:
    """A red square on blue, each with some noise."""
    image = np.zeros((60, 80, 3), np.uint8)
    image[..., 2] = 200
    image[20:50, 25:55] = (220, 20, 20)
    noise = np.random.default_rng(0).integers(0, 20, image.shape, dtype=np.uint8)
    return image + noise


def test_finds_the_square_and_the_whole(two_colours):
    pytest.importorskip("cv2")
    found = SelectiveSearch()(two_colours)
    boxes = found.boxes.astype(int).tolist()
    assert [0, 0, 80, 60] in boxes
    near = np.abs(found.boxes - [25, 20, 55, 50]).max(axis=1)
    assert near.min() <= 1
    assert found.scores[0] == 1
    assert (np.diff(found.scores) < 0).all()


def test_the_seed_fixes_the_order(two_colours):
    pytest.importorskip("cv2")
    first, again, other = (SelectiveSearch(seed=seed)(two_colours) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.boxes, again.boxes)
    assert first.boxes.tolist() != other.boxes.tolist()
    assert sorted(first.boxes.tolist()) == sorted(other.boxes.tolist())


@pytest.mark.parametrize("mode", ["fast", "quality"])
def test_the_boxes_are_opencvs_own(two_colours, mode):
    cv2 = pytest.importorskip("cv2")
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(cv2.cvtColor(two_colours, cv2.COLOR_RGB2BGR))
    switch = {"fast": "switchToSelectiveSearchFast", "quality": "switchToSelectiveSearchQuality"}
    getattr(search, switch[mode])()
    expected = [[x, y, x + w, y + h] for x, y, w, h in search.process().tolist()]
    assert sorted(SelectiveSearch(mode)(two_colours).boxes.tolist()) == sorted(expected)


def test_no_more_boxes_than_asked_and_quality_gives_more(two_colours):
    pytest.importorskip("cv2")
    every = SelectiveSearch()(two_colours)
    np.testing.assert_array_equal(SelectiveSearch(max_boxes=2)(two_colours).boxes, every.boxes[:2])
    assert len(SelectiveSearch("quality")(two_colours)) > len(every)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 99), (9, 11), (50, 70)])
@pytest.mark.parametrize("mode", ["fast", "quality"])
def test_one_colour_and_a_few_pixels_are_never_shown_to_opencv(size, mode, monkeypatch):
    monkeypatch.setattr(selective_search, "_opencv", None)
    image = np.full((*size, 3), (7, 8, 9), np.uint8)
    if size[0] * size[1] < 100:
        image = np.random.default_rng(0).integers(0, 256, image.shape, dtype=np.uint8)
    found = SelectiveSearch(mode)(image)
    assert found.boxes.tolist() == [[0, 0, size[1], size[0]]]
    assert found.scores.tolist() == [1]


@pytest.mark.parametrize("size", [(10, 10), (1, 200), (200, 2), (12, 300)])
def test_odd_images_that_opencv_sees(size):
    pytest.importorskip("cv2")
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    image[:, : size[1] // 2] = 0
    boxes = SelectiveSearch()(image).boxes
    assert len(boxes) >= 1
    assert (boxes[:, 2:] <= [size[1], size[0]]).all()


def test_a_crash_costs_one_image(two_colours, monkeypatch):
    """The other process is killed while it works, as a native crash does."""
    pytest.importorskip("cv2")
    if os.name == "nt":
        pytest.skip("signals")
    before = SelectiveSearch()(two_colours)
    process = selective_search._opencv._process
    os.kill(process.pid, signal.SIGSTOP)

    def dies(stream):
        process.kill()
        return pickle.load(stream)

    with monkeypatch.context() as patched:
        patched.setattr(
            selective_search, "pickle",
            SimpleNamespace(dump=pickle.dump, load=dies, UnpicklingError=pickle.UnpicklingError),
        )  # fmt: skip
        with pytest.raises(DataError, match=r"failed on an image of 80x60 \(signal 9\)"):
            SelectiveSearch()(two_colours)
    np.testing.assert_array_equal(SelectiveSearch()(two_colours).boxes, before.boxes)
    assert selective_search._opencv._process is not process


def test_an_error_of_opencv_is_told_and_the_process_goes_on(two_colours):
    pytest.importorskip("cv2")
    with pytest.raises(DataError, match=r"failed on an image of 5x5 \("):
        selective_search._opencv.boxes(np.zeros((5, 5, 9), np.uint8)[..., :3], fast=None, seed="x")
    assert len(SelectiveSearch()(two_colours)) > 1


HIDE = """
import sys
sys.modules["cv2"] = {stand_in}
import io, pickle
from upscore.proposals import selective_search_process
from upscore.proposals.opencv import selective_search_opencv
import numpy as np
request = {{"image": np.zeros((9, 9, 3), np.uint8), "fast": True, "seed": 0}}
print(*selective_search_process._answer(request))
"""


@pytest.mark.parametrize(
    ("stand_in", "message"),
    [("None", "OpenCV, which is not installed"), ("sys", "extra modules")],
)
def test_without_opencv(stand_in, message):
    code = HIDE.format(stand_in=stand_in)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("missing ")
    assert message in told.stdout
    assert "pip install 'upscore[opencv]'" in told.stdout


def test_what_is_missing_is_raised(two_colours, monkeypatch):
    monkeypatch.setattr(selective_search._opencv, "_ask", lambda _: ("missing", "run: pip ..."))
    with pytest.raises(MissingExtraError, match="pip"):
        SelectiveSearch()(two_colours)


def test_it_pickles_and_has_settings():
    source = pickle.loads(pickle.dumps(SelectiveSearch("quality", max_boxes=9, seed=3)))
    assert source.settings() == {
        "kind": "SelectiveSearch", "mode": "quality", "max_boxes": 9, "seed": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "slow"}, "mode is 'slow'; allowed: fast, quality"),
        ({"max_boxes": 0}, "max_boxes is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(SettingsError, match=message):
        SelectiveSearch(**settings)


@pytest.mark.parametrize("shape", [(20, 20), (20, 20, 4), (0, 20, 3)])
def test_not_an_image(shape):
    with pytest.raises(DataError, match="image"):
        SelectiveSearch()(np.zeros(shape, np.uint8))
