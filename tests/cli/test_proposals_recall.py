from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscore.cli.proposals_recall import COUNTS, SOURCES, recall
from upscore.core.files import make_folder
from upscore.data.toy import make_toy
from upscore.errors import (
    DataError,
    NotFoundError,
    OutputError,
    SettingsError,
    WorkError,
)
from upscore.proposals import recall as room
from upscore.proposals.sources import parse_source


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return make_toy(tmp_path_factory.mktemp("data") / "toy", num=8, seed=1)


@pytest.fixture
def spoilt(tmp_path):
    """A data set whose only photo with an object is broken, and one without any object."""
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        make_folder(tmp_path / folder)
    mask = np.zeros((40, 50), np.uint8)
    Image.fromarray(mask).save(tmp_path / "SegmentationClass/none.png")
    mask[10:30, 10:30] = 1
    for name in ("good", "bad"):
        Image.fromarray(mask).save(tmp_path / f"SegmentationClass/{name}.png")
    for name in ("good", "none"):
        Image.new("RGB", (50, 40)).save(tmp_path / f"JPEGImages/{name}.jpg")
    (tmp_path / "JPEGImages/bad.jpg").write_bytes(b"no photo")
    lists = tmp_path / "ImageSets/Segmentation"
    (lists / "val.txt").write_text("good\nbad\nnone\n")
    (lists / "none.txt").write_text("none\n")
    (lists / "bad.txt").write_text("bad\nnone\n")
    (tmp_path / "classes.txt").write_text("background\ncat\n")
    return tmp_path


def test_defaults_are_those_of_the_room():
    assert COUNTS == room.COUNTS
    assert len(set(SOURCES)) == 3


def test_ground_truth_is_the_ceiling_and_all_files_are_written(toy, tmp_path, capsys):
    recall(
        data=toy, sources=("grid", "ground-truth"), out=tmp_path / "out", counts=(200, 5),
        workers=1,
    )  # fmt: skip
    content = json.loads((tmp_path / "out/recall.json").read_text())
    assert content["objects_from"] == "instance masks"
    assert content["counts"] == [5, 200]
    every = content["sources"]["ground-truth"]["sizes"]["all"]
    assert every["average_recall"][1] == 1
    assert 0 < content["sources"]["grid"]["sizes"]["all"]["average_recall"][1] < 1
    assert content["data"]["split"] == "val"
    assert content["sources"]["grid"]["settings"]["max_boxes"] == 200
    with (tmp_path / "out/recall.csv").open() as stream:
        assert {row["source"] for row in csv.DictReader(stream)} == {"grid", "ground-truth"}
    assert Image.open(tmp_path / "out/recall.png").width > 1000
    shown = capsys.readouterr().out
    assert "2 photos" in shown
    for title in ("average recall ", "recall at IoU 0.9", "average recall, small", "a photo"):
        assert title in shown


def test_nothing_is_written_without_out(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    recall(data=toy, sources=("grid",), counts=(5,), workers=1)
    assert list(tmp_path.iterdir()) == []
    assert "grid" in capsys.readouterr().out


def test_a_broken_photo_is_listed_at_the_end(spoilt, tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(WorkError, match=r"1 of 3 photos failed.*\n.*bad\.jpg: is not an image"):
        recall(data=spoilt, sources=("grid",), out=out, workers=1)
    content = json.loads((out / "recall.json").read_text())
    assert len(content["failures"]) == 1
    assert content["objects"]["all"] == 1
    assert content["photos_without_objects"] == 1
    assert "1 object (connected regions; 1 small" in capsys.readouterr().out


def test_no_objects(spoilt):
    with pytest.raises(DataError, match=r"no object of 100 or more pixels in split 'none'"):
        recall(data=spoilt, split="none", sources=("grid",), workers=1)


def test_objects_that_are_too_small(spoilt):
    (spoilt / "ImageSets/Segmentation/val.txt").write_text("good\n")
    with pytest.raises(DataError, match=r"\(1 smaller one\).*--min-area"):
        recall(data=spoilt, sources=("grid",), workers=1, min_area=401)


def test_all_photos_with_objects_fail(spoilt):
    with pytest.raises(WorkError, match=r"1 of 2 failed, the first: .*bad\.jpg"):
        recall(data=spoilt, split="bad", sources=("grid",), workers=1)


@pytest.mark.parametrize(
    ("word", "settings"),
    [
        ("edge-boxes", {"kind": "EdgeBoxes"}),
        ("edge-boxes:gradient", {"kind": "EdgeBoxes"}),
        ("grid", {"kind": "Grid", "max_boxes": 77}),
    ],
)
def test_words(word, settings):
    found = parse_source(word, max_boxes=77).settings()
    assert settings.items() <= found.items()


def test_parameters_of_edge_boxes():
    words = ("edge-boxes:gradient", "edge-boxes:gradient,beta=0.9,min-box-area=300,eta=.5")
    plain, other = (parse_source(word, max_boxes=5).settings() for word in words)
    assert {key for key in plain if plain[key] != other[key]} == {"beta", "min_box_area", "eta"}
    assert (other["beta"], other["min_box_area"], other["eta"]) == (0.9, 300, 0.5)


def test_edge_maps_differ():
    learned, gradient = (
        parse_source(f"edge-boxes:{edges}", max_boxes=5).settings()["edges"]
        for edges in ("learned", "gradient")
    )
    assert learned["kind"] == "LearnedEdges"
    assert gradient["kind"] == "GradientEdges"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("edge-box", r"no source 'edge-box', and no such file; allowed: edge-boxes:EDGES"),
        ("none.parquet", "no such file"),
        ("grid:fine", "no source 'grid:fine'"),
        ("edge-boxes:canny", r"allowed: edge-boxes:learned, edge-boxes:gradient"),
        ("edge-boxes:gradient,beat=1", r"'beat=1' is no parameter; allowed: alpha, beta"),
        ("edge-boxes:gradient,beta", r"'beta' is no parameter"),
        ("edge-boxes:gradient,beta=x", r"beta is 'x'; expected a number"),
        ("edge-boxes:gradient,beta=2", r"beta is 2"),
        ("opencv-edge-boxes:gradient", r"write_boxes .*--source opencv-edge-boxes`"),
        ("selective-search:fast", r"write_boxes .*--source selective-search`"),
        ("edge-boxes:structured-forest", r"--edges structured-forest --model model\.yml\.gz`"),
    ],
)
def test_unknown_words(toy, word, message):
    with pytest.raises(SettingsError, match=message):
        recall(data=toy, sources=(word,), workers=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": 0}, "^workers is 0"),
        ({"counts": (0,)}, r"--counts are \(0,\)"),
        ({"min_area": 0}, "min_area is 0"),
        ({"split": "test"}, "no split 'test'"),
        ({"sources": ()}, "no source"),
        ({"model": Path("x.gz")}, "--model x.gz: no source uses it"),
    ],
)
def test_bad_settings(toy, changes, message):
    with pytest.raises(SettingsError, match=message):
        recall(**{"data": toy, "sources": ("grid",), "workers": 1, **changes})


def test_a_refused_number_of_workers_leaves_no_folder(toy, tmp_path):
    with pytest.raises(SettingsError, match=r"^workers is 0"):
        recall(data=toy, sources=("grid",), workers=0, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_data_and_no_place_to_write(toy, tmp_path):
    with pytest.raises(NotFoundError, match="no such data set"):
        recall(data=tmp_path / "none")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        recall(data=toy, sources=("grid",), out=tmp_path / "file")
