"""Masks beside their photos, as Roboflow exports them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscore.data import open_dataset
from upscore.data.check import check
from upscore.errors import DataError

CLASSES = "Pixel Value, Class\n0, background\n1, cat\n2, dog\n"


@pytest.fixture
def export(tmp_path: Path, write_pair) -> Path:
    """Three folders of splits, all with the same names of photos."""
    for split in ("train", "valid", "test"):
        for i in range(2):
            stem = tmp_path / split / f"{i}_jpg.rf.c0ffee"
            write_pair(
                stem.with_name(f"{stem.name}.jpg"),
                stem.with_name(f"{stem.name}_mask.png"),
                (0, 1, 2),
            )
    return tmp_path


@pytest.mark.parametrize("folders", [[""], ["train", "valid", "test"]])
def test_roboflows_export(export: Path, folders: list[str]) -> None:
    for folder in folders:
        (export / folder / "_classes.csv").write_text(CLASSES)
    dataset = open_dataset(export)
    assert dataset.layout == "beside"
    assert dataset.labels.names == ("background", "cat", "dog")
    assert dataset.guess is None
    assert {name: len(pairs) for name, pairs in dataset.splits.items()} == {
        "train": 2, "val": 2, "test": 2,
    }  # fmt: skip
    assert dataset.splits["val"][0].mask == export / "valid" / "0_jpg.rf.c0ffee_mask.png"
    assert check(dataset).problems == ()
    assert np.unique(dataset.split("val").read(0).labels).tolist() == [0, 1, 2]


def test_folders_that_name_other_classes(export: Path) -> None:
    (export / "train" / "_classes.csv").write_text(CLASSES)
    (export / "test" / "_classes.csv").write_text(CLASSES.replace("dog", "cow"))
    with pytest.raises(DataError, match=r"train/_classes\.csv and test/_classes\.csv name diff"):
        open_dataset(export)


def test_without_class_file_and_without_splits(export: Path) -> None:
    (export / "train" / "3.JPG").write_bytes(b"")
    dataset = open_dataset(export / "train")
    assert dataset.labels.names == ("class_0", "class_1", "class_2")
    assert sum(map(len, dataset.splits.values())) == 3
    kinds = {problem.kind for problem in check(dataset).problems}
    assert kinds == {"unreadable", "missing partner"}


def test_a_mask_without_photo_is_told(export: Path) -> None:
    (export / "_classes.csv").write_text(CLASSES)
    (export / "test" / "1_jpg.rf.c0ffee.jpg").unlink()
    (problem,) = open_dataset(export).problems
    assert problem.kind == "missing partner"
    assert problem.path.name == "1_jpg.rf.c0ffee_mask.png"


def test_colours_ask_with_a_description_that_works(export: Path) -> None:
    colors = np.array([(0, 0, 0), (200, 0, 0), (0, 200, 0)], np.uint8)
    for path in export.glob("*/*_mask.png"):
        Image.fromarray(colors[np.asarray(Image.open(path))]).save(path)
    with pytest.raises(DataError, match="3 different RGB colours") as caught:
        open_dataset(export)
    (export / "dataset.yaml").write_text(str(caught.value).split("count:\n")[1])
    dataset = open_dataset(export)
    assert check(dataset).problems == ()
    assert len(dataset.split("valid")) == 2
