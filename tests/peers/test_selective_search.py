from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import selective_search, write_boxes
from benchmarks.peers.selective_search import SelectiveSearch
from upscore.cli.main import main
from upscore.core.images import read_image
from upscore.data import open_dataset
from upscore.data.toy import make_toy
from upscore.errors import DataError, MissingExtraError, SettingsError
from upscore.proposals.store import ProposalStore


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
    monkeypatch.setattr(selective_search, "_in_another_process", None)
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


def test_a_crash_costs_one_image(two_colours):
    """The other process is killed while it works, as a native crash does."""
    pytest.importorskip("cv2")
    if os.name == "nt":
        pytest.skip("signals")
    before = SelectiveSearch()(two_colours)
    (process,) = selective_search._pool._processes.values()
    os.kill(process.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:  # it cannot come back while the process is stopped
        future = pool.submit(SelectiveSearch(), two_colours)
        process.kill()
        with pytest.raises(DataError, match=r"failed on an image of 80x60 \(.*terminated"):
            future.result()
    np.testing.assert_array_equal(SelectiveSearch()(two_colours).boxes, before.boxes)


def test_an_error_of_opencv_names_the_image_and_the_process_goes_on(two_colours):
    pytest.importorskip("cv2")
    with pytest.raises(DataError, match=r"failed on an image of 5x5 \("):
        selective_search._in_another_process(np.zeros((5, 5, 9), np.uint8)[..., :3], True, "x")
    (process,) = selective_search._pool._processes
    assert len(SelectiveSearch()(two_colours)) > 1
    assert list(selective_search._pool._processes) == [process]


HIDE = """
import sys
sys.modules["cv2"] = {stand_in}
import numpy as np
from benchmarks.peers.selective_search import selective_search_opencv
selective_search_opencv(np.zeros((9, 9, 3), np.uint8))
"""


@pytest.mark.parametrize(
    ("stand_in", "message"),
    [("None", "needs cv2, which is not installed"), ("sys", "extra modules")],
)
def test_without_opencv(stand_in, message):
    root = Path(__file__).parents[2]
    told = subprocess.run(
        [sys.executable, "-c", HIDE.format(stand_in=stand_in)],
        capture_output=True, text=True, check=False, cwd=root,
    )  # fmt: skip
    last = told.stderr.strip().splitlines()[-1]
    assert "MissingExtraError" in last
    assert message in last
    assert 'pip install "upscore[opencv]"' in last


def _missing(*_, **__):
    raise MissingExtraError("run: pip ...")


def test_what_is_missing_is_raised(two_colours, monkeypatch):
    monkeypatch.setattr(selective_search, "selective_search_opencv", _missing)
    with pytest.raises(MissingExtraError, match="pip"):
        SelectiveSearch()(two_colours)


def test_its_boxes_in_a_file_that_upscore_reads(tmp_path, capsys):
    pytest.importorskip("cv2")
    toy = make_toy(tmp_path / "toy", num=3, seed=1)
    store = tmp_path / "boxes.parquet"
    options = ["--source", "selective-search", "--data", toy, "--out", store, "--workers", "2"]
    write_boxes.main([str(option) for option in options])
    assert "3 photos" in capsys.readouterr().out
    pair = open_dataset(toy).splits["train"][0]
    expected = SelectiveSearch()(read_image(pair.image))
    np.testing.assert_array_equal(ProposalStore.open(store).read(pair.name).boxes, expected.boxes)
    picture = tmp_path / "boxes.png"
    show = ["proposals", "show", pair.image, "--source", "file", "--file", store, "--out", picture]
    main([str(word) for word in show])
    assert f"of {len(expected)} boxes" in capsys.readouterr().out


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
