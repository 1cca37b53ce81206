"""What a record of a data set tells apart, and which files it reads again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscore.data import open_dataset, record
from upscore.data.record import DataRecord, summary
from upscore.errors import DataError, RunError

HEAD = "image: images/*.png\nmask: masks/*.png\nsplits: {train: train.txt, val: val.txt}\n"
FIRST = "classes: [crop, weed]\nmasks: {0: crop, 1: weed}\n"

Look = Callable[[], DataRecord]


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    for number in range(5):
        draw(tmp_path, number, 3)
        photo = np.full((16, 16, 3), number, np.uint8)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(photo).save(tmp_path / "images" / f"f{number}.png")
    describe(tmp_path, FIRST)
    listed(tmp_path, "f0 f1 f2", "f3")
    return tmp_path


def draw(fields: Path, number: int, rows: int) -> None:
    """A mask, of the same file size whatever ``rows`` are."""
    mask = np.zeros((16, 16), np.uint8)
    mask[:rows] = 1
    (fields / "masks").mkdir(exist_ok=True)
    Image.fromarray(mask).save(fields / "masks" / f"f{number}.png", format="BMP")


def describe(fields: Path, text: str) -> None:
    (fields / "dataset.yaml").write_text(HEAD + text)


def listed(fields: Path, train: str, val: str) -> None:
    for name, photos in (("train", train), ("val", val)):
        (fields / f"{name}.txt").write_text("\n".join(photos.split()))


def look(fields: Path, known: DataRecord | None = None) -> DataRecord:
    dataset = open_dataset(fields / "dataset.yaml")
    return DataRecord.of(dataset, [dataset.split("train"), dataset.split("val")], known)


def test_the_same_data_is_the_same(fields: Path, tmp_path: Path) -> None:
    first = look(fields)
    first.write(tmp_path / "data.json")
    kept = DataRecord.read(tmp_path / "data.json")
    assert kept == first
    assert kept is not None
    assert kept.differences(look(fields)) == []
    assert kept.digest == look(fields).digest
    assert DataRecord.read(tmp_path / "none.json") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "classes: [crop, weed]\nmasks: {0: weed, 1: crop}\n",
            "mask value 0 is crop in the run, weed now; mask value 1 is weed in the run, crop now",
        ),
        (
            "classes: [weed, crop]\nmasks: {0: weed, 1: crop}\n",
            "class 0 is crop in the run, weed now; class 1 is weed in the run, crop now; "
            "mask value 0 is crop in the run, weed now; mask value 1 is weed in the run, crop now",
        ),
        (
            "classes: [crop, weed, soil]\nmasks: {0: crop, 1: weed, 2: soil}\n",
            "2 classes in the run (crop, weed), 3 now (crop, weed, soil); "
            "mask value 2 is not allowed in the run, soil now",
        ),
        (
            "classes: [crop, weed]\nmasks: {0: crop, 1: weed, 7: void}\n",
            "mask value 7 is not allowed in the run, void now",
        ),
        (
            "classes: [crop, weed]\nmasks: {0: crop, 1: weed}\nrange: [0, 4095]\n"
            "drawn_on: stored\n",
            "range is not set in the run, (0.0, 4095.0) now; drawn_on is not set in the run, "
            "stored now",
        ),
    ],
)
def test_another_meaning(fields: Path, text: str, found: str) -> None:
    first = look(fields)
    describe(fields, text)
    assert summary(first.differences(look(fields, first))) == found
    assert look(fields, first).digest != first.digest


@pytest.mark.parametrize(
    ("train", "val", "found"),
    [
        ("f0 f1", "f3", "1 photo of split 'train' gone (f2)"),
        ("f0 f1 f2 f4", "f3", "1 photo new in split 'train' (f4)"),
        ("f2 f1 f0", "f3", "the photos of split 'train' are in another order"),
        (
            "f0 f1 f3",
            "f2",
            "1 photo of split 'train' gone (f2); 1 photo new in split 'train' (f3); "
            "1 photo of split 'val' gone (f3); 1 photo new in split 'val' (f2)",
        ),
    ],
)
def test_other_splits(fields: Path, train: str, val: str, found: str) -> None:
    first = look(fields)
    listed(fields, train, val)
    assert summary(first.differences(look(fields, first))) == found


def test_redrawn_masks_of_the_same_size_and_time(fields: Path) -> None:
    first = look(fields)
    mask = fields / "masks" / "f1.png"
    before = mask.stat()
    draw(fields, 1, 9)
    os.utime(mask, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert mask.stat().st_size == before.st_size
    assert first.differences(look(fields, first)) == [
        "1 mask of split 'train' with other content (f1)"
    ]


def test_times_alone_are_no_difference_and_only_changed_files_are_read(
    fields: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    whole = record.checksum

    def checksum(path: Path, algorithm: str) -> str:
        read.append(path.parent.name + path.name)
        return whole(path, algorithm)

    monkeypatch.setattr(record, "checksum", checksum)
    first = look(fields)
    assert len(read) == 8
    read.clear()
    future = 2**33 * 10**9
    os.utime(fields / "masks" / "f2.png", ns=(future, future))  # of a clock that is wrong
    draw(fields, 0, 5)
    second = look(fields, first)
    assert sorted(read) == ["masksf0.png", "masksf2.png"]
    assert first.differences(second) == ["1 mask of split 'train' with other content (f0)"]


@pytest.mark.parametrize("text", ["[]", "{}", '{"classes": 1, "masks": {}, "splits": {}}', "{"])
def test_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(RunError, match="damaged"):
        DataRecord.read(tmp_path / "data.json")


def test_a_pipe_is_not_waited_for(fields: Path) -> None:
    (fields / "masks/f0.png").unlink()
    os.mkfifo(fields / "masks/f0.png")
    dataset = open_dataset(fields)
    with pytest.raises(DataError, match=r"f0\.png: is not a file"):
        DataRecord.of(dataset, [dataset.split("train")])
