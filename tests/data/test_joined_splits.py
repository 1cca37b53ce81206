"""``trainval`` of any layout: the list that is there, else train and val together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscore.data import open_dataset
from upscore.data.dataset import DataSet
from upscore.errors import DataError, SettingsError
from upscore.proposals.sources import photos_of


def pictures(root: Path, images: str, masks: str, names: str) -> None:
    for folder, dtype in ((images, (8, 9, 3)), (masks, (8, 9))):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            Image.fromarray(np.zeros(dtype, np.uint8)).save(root / folder / f"{name}.png")


def plain(root: Path) -> DataSet:
    """images/ and masks/ with lists."""
    pictures(root, "images", "masks", "abc")
    (root / "train.txt").write_text("a\nb")
    (root / "val.txt").write_text("c")
    (root / "classes.txt").write_text("ground\ntree")
    return open_dataset(root)


def camvid(root: Path) -> DataSet:
    pictures(root, "train", "trainannot", "ab")
    pictures(root, "val", "valannot", "c")
    return open_dataset(root)


def described(root: Path) -> DataSet:
    pictures(root, "i/train", "m/train", "ab")
    pictures(root, "i/val", "m/val", "a")  # another photo of that name
    (root / "dataset.yaml").write_text(
        "image: i/{split}/*\nmask: m/{split}/*\nsplits: [train, val]\nclasses: [ground, tree]\n"
        "masks: indices\n"
    )
    return open_dataset(root)


def voc(root: Path) -> DataSet:
    pictures(root, "JPEGImages", "SegmentationClass", "abcd")
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for name, members in {"train": "ab", "val": "c", "trainval": "abcd", "trainaug": "abd"}.items():
        (lists / f"{name}.txt").write_text("\n".join(members))
    (root / "classes.txt").write_text("ground\ntree")
    return open_dataset(root)


@pytest.mark.parametrize("layout", [plain, camvid, described])
def test_train_and_val_together_where_there_is_no_list(layout, tmp_path: Path) -> None:
    dataset = layout(tmp_path)
    assert "trainval" not in dataset.splits
    before = dataset.fingerprint()
    both = dataset.split("trainval")
    assert both.name == "trainval"
    assert len({pair.image for pair in both.pairs}) == len(both) == 3
    parts = [*dataset.split("train").pairs, *dataset.split("val").pairs]
    assert list(both.pairs) == parts
    assert both.read(2).labels.shape == (8, 9)
    assert dataset.split_names == ("train", "val", "trainval")
    assert dataset.fingerprint() == before  # unfinished runs still fit
    assert photos_of(dataset, "trainval") == parts  # for boxes of it


def test_a_list_of_that_name_goes_before(tmp_path: Path) -> None:
    dataset = voc(tmp_path)
    assert [pair.name for pair in dataset.split("trainval").pairs] == list("abcd")
    assert [pair.name for pair in dataset.split("trainvalaug").pairs] == list("abdc")


def test_without_val_there_is_none(tmp_path: Path) -> None:
    dataset = camvid(tmp_path)
    (tmp_path / "x").mkdir()
    pictures(tmp_path / "x", "train", "trainannot", "ab")
    only = open_dataset(tmp_path / "x")
    with pytest.raises(SettingsError, match=r"no split 'trainval'; there are train$"):
        only.split("trainval")
    with pytest.raises(SettingsError, match=r"no split 'tr'; there are train, trainval, val$"):
        dataset.split("tr")
    with pytest.raises(SettingsError, match=r"no split 'trainvalaug'"):
        dataset.split("trainvalaug")


def test_a_photo_in_both_comes_once_and_a_missing_file_is_reported(tmp_path: Path) -> None:
    plain(tmp_path)
    (tmp_path / "val.txt").write_text("b\nc\nd")
    dataset = open_dataset(tmp_path)
    assert [pair.name for pair in dataset.pairs("trainval")] == list("abcd")
    with pytest.raises(DataError, match=r"split 'trainval' lacks .*images/d"):
        dataset.split("trainval")
