"""``upscore proposals make``, and the options that say where boxes come from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscore.cli.main import main
from upscore.core.images import read_image
from upscore.data import open_dataset
from upscore.errors import DataError, NotFoundError, SettingsError
from upscore.proposals.sliding_window import Grid
from upscore.proposals.sources import make_edges, make_source, photos_of
from upscore.proposals.store import ProposalStore


@pytest.fixture
def voc(tmp_path) -> Path:
    """A devkit: a and b to train, c to validate; an object of 8x4 in each, one more in c."""
    root = tmp_path / "Daten ☃" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "SegmentationObject", "ImageSets"):
        (root / folder).mkdir(parents=True)
    (root / "ImageSets" / "Segmentation").mkdir()
    for seed, name in enumerate("abc"):
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"JPEGImages/{name}.jpg", quality=95)
        labels = np.zeros((40, 60), np.uint8)
        labels[10:14, 20:28] = 1
        if name == "c":
            labels[10:14, 28:30] = 1  # touches it
        objects = labels.copy()
        objects[:, 28:] *= 2
        Image.fromarray(labels).save(root / f"SegmentationClass/{name}.png")
        Image.fromarray(objects).save(root / f"SegmentationObject/{name}.png")
    for split, names in {"train": "ab", "val": "c", "trainval": "abc"}.items():
        (root / f"ImageSets/Segmentation/{split}.txt").write_text("\n".join(names))
    (root / "classes.txt").write_text("background\ncow\n")
    return root


def make(voc: Path, out: Path, *more: str) -> None:
    main(["proposals", "make", "--data", str(voc), "--out", str(out), "--workers", "1", *more])


def test_the_verb_makes_a_store_and_prints_counts(voc, tmp_path, capsys):
    out = tmp_path / "grid.parquet"
    make(voc, out, "--source", "grid", "--max-boxes", "30")
    printed = capsys.readouterr().out
    assert re.search(r"^90 boxes of 3 photos in \d+\.\d s: .*grid\.parquet, \d+ KiB$", printed)
    store = ProposalStore.open(out, Grid(max_boxes=30).settings())
    assert store.names == ("a", "b", "c")  # once, though they are in two splits
    dataset = open_dataset(voc)
    assert store.data == {
        "layout": dataset.layout,
        "split": None,
        "fingerprint": dataset.fingerprint(),
    }
    expected = Grid(max_boxes=30)(read_image(voc / "JPEGImages/c.jpg"))
    np.testing.assert_array_equal(store.read("c").boxes, expected.boxes)
    make(voc, out, "--source", "grid", "--max-boxes", "30")
    assert "(3 photos were done before)" in capsys.readouterr().out


def test_a_split(voc, tmp_path):
    make(voc, tmp_path / "val.parquet", "--source", "grid", "--split", "val")
    store = ProposalStore.open(tmp_path / "val.parquet")
    assert (store.names, store.data["split"]) == (("c",), "val")


def failing(capsys: pytest.CaptureFixture[str], status: int, *arguments) -> str:
    with pytest.raises(SystemExit) as stop:
        make(*arguments)
    assert stop.value.code == status
    return capsys.readouterr().err


def test_bad_photos_are_listed_last(voc, tmp_path, capsys):
    (voc / "JPEGImages/b.jpg").write_bytes(b"broken")
    out = tmp_path / "grid.parquet"
    printed = failing(capsys, 1, voc, out, "--source", "grid")
    assert "1 photo has no boxes; all others are done" in printed
    assert "b.jpg: is not an image that can be read" in printed
    assert ProposalStore.open(out).names == ("a", "c")


def test_other_settings_are_refused(voc, tmp_path, capsys):
    out = tmp_path / "grid.parquet"
    make(voc, out, "--source", "grid")
    more = ("--source", "grid", "--max-boxes", "7")
    printed = failing(capsys, 2, voc, out, *more)
    assert "boxes of other settings: max_boxes 2000 there, 7 here" in printed
    make(voc, out, *more, "--overwrite")
    assert len(ProposalStore.open(out).read("a")) == 7


def test_what_cannot_be_asked(voc, tmp_path, capsys):
    out = tmp_path / "x.parquet"
    assert "no split 'none'" in failing(capsys, 2, voc, out, "--source", "grid", "--split", "none")
    printed = failing(capsys, 2, tmp_path / "none", out)
    assert "no such data set" in printed
    printed = failing(capsys, 2, voc, out, "--source", "grid", "--beta", "0.9")
    assert "--beta is for --source edge-boxes, not for grid; leave it out" in printed
    assert "name it with --file PATH" in failing(capsys, 2, voc, out, "--source", "file")
    printed = failing(capsys, 2, voc, tmp_path / "x.npz", "--source", "grid")
    assert "expected a name that ends in .parquet" in printed
    assert not out.exists()


def test_a_store_of_another_programs_boxes(voc, tmp_path):
    boxes = tmp_path / "boxes.json"
    entries = [
        {"image_id": name, "bbox": [1, 2, 3, 4], "score": score}
        for name in "abc"
        for score in (0.1, 0.9)
    ]
    boxes.write_text(json.dumps(entries))
    out = tmp_path / "x.parquet"
    make(voc, out, "--source", "file", "--file", str(boxes), "--max-boxes", "1")
    found = ProposalStore.open(out).read("b")
    assert found.boxes.tolist() == [[1, 2, 4, 6]]
    assert found.scores.tolist() == [np.float32(0.9)]


# -- ground truth ----------------------------------------------------------------------------------


def test_ground_truth_of_instances(voc, tmp_path):
    out = tmp_path / "truth.parquet"
    make(voc, out, "--source", "ground-truth")
    store = ProposalStore.open(out)
    assert store.read("a").boxes.tolist() == [[20, 10, 28, 14]]
    assert store.read("c").boxes.tolist() == [[20, 10, 28, 14], [28, 10, 30, 14]]
    assert store.settings["data"] == open_dataset(voc).fingerprint()
    np.testing.assert_allclose(store.read("a").scores, [32 / 2400])


def test_ground_truth_without_instances(voc):
    for path in (voc / "SegmentationObject").iterdir():
        path.unlink()
    source = make_source("ground-truth", data=open_dataset(voc), max_boxes=1)
    image = read_image(voc / "JPEGImages/c.jpg")
    assert source(image, name="c").boxes.tolist() == [[20, 10, 30, 14]]
    with pytest.raises(DataError, match="no photo 'x' in the data set"):
        source(image, name="x")
    with pytest.raises(DataError, match=r"c\.png: mask is 60x40, its photo 30x40"):
        source(image[:, ::2], name="c")
    with pytest.raises(SettingsError, match="need a data set"):
        make_source("ground-truth")


# -- options ---------------------------------------------------------------------------------------


def test_options_that_do_not_fit_a_source(tmp_path):
    with pytest.raises(SettingsError, match=r"source is 'boxes'; allowed: edge-boxes, "):
        make_source("boxes")
    with pytest.raises(SettingsError, match="--beta is for --source edge-boxes, not for grid"):
        make_source("grid", beta=0.9)
    with pytest.raises(SettingsError, match="--file is for --source file, not for grid"):
        make_source("grid", file=tmp_path)
    with pytest.raises(SettingsError, match="--edges gradient is for --source edge-boxes"):
        make_source("grid", edges="gradient")
    with pytest.raises(SettingsError, match="--model is for --source edge-boxes"):
        make_source("ground-truth", model=tmp_path)
    with pytest.raises(SettingsError, match="edges gradient has no model"):
        make_edges("gradient", model=tmp_path)
    with pytest.raises(NotFoundError, match=r"none: no such file; `upscore edges train`"):
        make_edges("learned", model=tmp_path / "none")
    with pytest.raises(SettingsError, match="edges are 'sobel'; allowed: learned, gradient"):
        make_edges("sobel")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--source", "selective-search"), r"write_boxes .*--source selective-search`, then .* "
         r"--source file --file boxes\.parquet"),
        (("--source", "opencv-edge-boxes"), r"write_boxes .*--source opencv-edge-boxes`"),
        (("--edges", "structured-forest"), r"write_boxes .*--edges structured-forest --model"),
    ],
)  # fmt: skip
def test_sources_that_are_no_part_of_upscore_any_more(voc, tmp_path, capsys, options, message):
    printed = failing(capsys, 2, voc, tmp_path / "x.parquet", *options)
    assert re.search(message, printed)


def test_values_out_of_range_are_usage_errors(voc, tmp_path, capsys):
    printed = failing(capsys, 2, voc, tmp_path / "x.parquet", "--beta", "2", "--eta", "0")
    assert "EdgeBoxes: beta is 2, expected 1e-06..1; eta is 0, expected 1e-06..1" in printed


def test_options_reach_the_source(tmp_path):
    source = make_source("edge-boxes", edges="gradient", max_boxes=70, beta=0.9, min_box_area=50.0)
    settings = source.settings()
    assert settings["max_boxes"] == 70
    assert settings["beta"] == 0.9
    assert settings["min_box_area"] == 50
    assert settings["edges"]["kind"] == "GradientEdges"
    weights = tmp_path / "model.safetensors"
    weights.touch()
    assert make_edges("learned", model=weights).weights == weights


def test_photos_of_a_data_set(voc):
    dataset = open_dataset(voc)
    assert [pair.name for pair in photos_of(dataset, None)] == ["a", "b", "c"]
    assert [pair.name for pair in photos_of(dataset, "train")] == ["a", "b"]
    (voc / "SegmentationClass/a.png").unlink()  # masks are no matter
    assert len(photos_of(open_dataset(voc), "train")) == 2
    (voc / "ImageSets/Segmentation/train.txt").write_text("")
    with pytest.raises(DataError, match="split 'train' is empty"):
        photos_of(open_dataset(voc), "train")
    (voc / "JPEGImages/b.png").touch()
    with pytest.raises(DataError, match="share the name 'b'"):
        photos_of(open_dataset(voc), None)


@pytest.mark.real
def test_real_photos(real_data, tmp_path):
    root = real_data / "voc-sample"
    if not root.exists():
        pytest.skip(f"no {root}")
    out = tmp_path / "voc.parquet"
    make(root, out, "--edges", "gradient", "--max-boxes", "200")
    store = ProposalStore.open(out)
    assert len(store) == 4
    for name in store.names:
        height, width = store.find(name).size
        boxes = store.read(name).boxes
        assert len(boxes) == 200
        assert (boxes >= 0).all()
        assert (boxes <= [width, height, width, height]).all()
