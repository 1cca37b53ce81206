"""A data set that has ``train`` and no ``val``: a share of its photos validates."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscore.data import open_dataset
from upscore.data.dataset import DataSet
from upscore.data.drawn_splits import draw_validation
from upscore.errors import DataError, SettingsError


def photos(root: Path, names: list[str], lists: bool = True) -> DataSet:
    for folder, shape in (("images", (8, 9, 3)), ("masks", (8, 9))):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            Image.fromarray(np.zeros(shape, np.uint8)).save(root / folder / f"{name}.png")
    (root / "classes.txt").write_text("ground\ntree")
    if lists:
        (root / "train.txt").write_text("\n".join(names))
    return open_dataset(root)


@pytest.mark.parametrize(
    ("num", "want"), [(1, 1), (2, 1), (5, 1), (7, 1), (8, 2), (40, 8), (1000, 200), (1010, 200)]
)
def test_a_fifth_by_hash_whatever_the_order(num: int, want: int) -> None:
    names = [f"photo {index}" for index in range(num)]
    drawn = draw_validation(names)
    assert len(drawn) == want
    assert draw_validation(names[::-1]) == drawn
    first = sorted(names, key=lambda name: hashlib.sha256(f"0:{name}".encode()).hexdigest())
    assert drawn == sorted(first[:want])


def test_train_and_val_share_no_photo(tmp_path: Path) -> None:
    names = [f"{index:02}" for index in range(12)]
    dataset = photos(tmp_path, names)
    assert dataset.split_names == ("train",)
    before = dataset.fingerprint()
    train, val = dataset.train_and_val("train", "val")
    assert [pair.name for pair in val.pairs] == draw_validation(names)
    assert sorted(pair.name for pair in train.pairs + val.pairs) == names
    assert (train.name, val.name) == ("train", "val")
    assert dataset.split("val") == val
    # on disk nothing changes, and all photos are trained on where train validates
    assert [pair.name for pair in dataset.split("train").pairs] == names
    assert [len(split) for split in dataset.train_and_val("train", "train")] == [12, 12]
    assert dataset.fingerprint() == before
    (tmp_path / "train.txt").write_text("\n".join(names[::-1]))
    assert {p.name for p in open_dataset(tmp_path).split("val").pairs} == set(
        draw_validation(names)
    )


def test_a_set_that_has_val_keeps_it(tmp_path: Path) -> None:
    photos(tmp_path, list("abc"))
    (tmp_path / "val.txt").write_text("b")
    dataset = open_dataset(tmp_path)
    train, val = dataset.train_and_val("train", "val")
    assert [len(train), len(val)] == [3, 1]  # the overlap is reported by training
    assert not dataset.draws_validation


def test_one_photo_cannot_do_both(tmp_path: Path) -> None:
    dataset = photos(tmp_path, ["a"])
    with pytest.raises(DataError, match=r"one photo .* add a photo, or .* data\.val_split=train"):
        dataset.train_and_val("train", "val")


def test_a_single_photo_without_lists_is_for_training(tmp_path: Path) -> None:
    dataset = photos(tmp_path, ["a"], lists=False)
    assert {name: len(pairs) for name, pairs in dataset.splits.items()} == {"train": 1}
    with pytest.raises(DataError, match="has one photo and there is no 'val'"):
        dataset.train_and_val("train", "val")
    assert [len(split) for split in dataset.train_and_val("train", "train")] == [1, 1]


def test_only_val_is_drawn_and_only_from_train(tmp_path: Path) -> None:
    dataset = photos(tmp_path / "train", list("abc"))
    with pytest.raises(SettingsError, match="no split 'test'"):
        dataset.split("test")
    photos(tmp_path / "all", list("abc"), lists=False)
    (tmp_path / "all" / "test.txt").write_text("a")
    with pytest.raises(SettingsError, match="no split 'val'; there are test"):
        open_dataset(tmp_path / "all").split("val")
