"""Mask tables, splits and data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscore.core.labels import Labels
from upscore.data import DataSet, Pair, Split, open_dataset
from upscore.data.masks import MaskTable
from upscore.data.toy import make_toy
from upscore.errors import DataError, NotFoundError, SettingsError

HERE = Path("mask.png")


def test_indices_keep_classes_and_void() -> None:
    raw = np.array([[0, 1], [2, 255]], np.uint8)
    labels = MaskTable.indices(3).decode(raw, HERE)
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[0, 1], [2, 255]]


def test_other_value_may_be_void() -> None:
    raw = np.array([[0, 11, 255]], np.uint8)
    assert MaskTable.indices(11, void=(11, 255)).decode(raw, HERE).tolist() == [[0, 255, 255]]


def test_labels_can_be_written_to() -> None:
    labels = MaskTable.indices(3).decode(np.zeros((2, 2), np.uint8), HERE)
    labels[0, 0] = 2
    assert labels[0, 0] == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_value_outside_the_table_is_counted(dtype: type) -> None:
    raw = np.array([[0, 7, 7], [9, 1, 255]], dtype)
    with pytest.raises(
        DataError, match=r"mask.png: .*7 \(2 pixels\), 9 \(1 pixels\); allowed: 0, 1, 255"
    ):
        MaskTable.indices(2).decode(raw, HERE)


def test_many_values_outside_the_table_are_cut_short() -> None:
    raw = np.arange(100, dtype=np.uint8)[None]
    with pytest.raises(DataError, match="and 90 more"):
        MaskTable.indices(2).decode(raw, HERE)


def test_sixteen_bit_values() -> None:
    table = MaskTable(values={0: 0, 1000: 1, 65535: 255})
    raw = np.array([[0, 1000, 65535]], np.int32)
    assert table.decode(raw, HERE).tolist() == [[0, 1, 255]]


def test_values_above_a_byte_do_not_wrap() -> None:
    with pytest.raises(DataError, match=r"256 \(1 pixels\)"):
        MaskTable.indices(2).decode(np.array([[0, 256]], np.int32), HERE)


def test_colors() -> None:
    table = MaskTable(colors={(0, 0, 0): 255, (128, 0, 64): 0, (1, 2, 3): 1})
    raw = np.array([[[128, 0, 64], [1, 2, 3], [0, 0, 0]]], np.uint8)
    assert table.decode(raw, HERE).tolist() == [[0, 1, 255]]


def test_unknown_color_is_named() -> None:
    table = MaskTable(colors={(0, 0, 0): 0})
    raw = np.full((2, 2, 3), 9, np.uint8)
    with pytest.raises(DataError, match=r"\(9,9,9\) \(4 pixels\); allowed: \(0,0,0\)"):
        table.decode(raw, HERE)


def test_grey_mask_for_a_color_table() -> None:
    table = MaskTable(colors={(0, 0, 0): 0, (255, 255, 255): 1})
    assert table.decode(np.array([[0, 255]], np.uint8), HERE).tolist() == [[0, 1]]


def test_grey_saved_as_rgb_for_a_value_table() -> None:
    raw = np.repeat(np.array([[0, 1, 255]], np.uint8)[..., None], 3, axis=2)
    assert MaskTable.indices(2).decode(raw, HERE).tolist() == [[0, 1, 255]]


def test_color_mask_for_a_value_table_is_refused() -> None:
    raw = np.array([[[128, 0, 0]]], np.uint8)
    with pytest.raises(DataError, match="RGB mask, but the data set's masks hold class numbers"):
        MaskTable.indices(2).decode(raw, HERE)


@pytest.mark.parametrize("both", [{}, {"values": {0: 0}, "colors": {(0, 0, 0): 0}}])
def test_a_table_is_of_one_kind(both: dict) -> None:
    with pytest.raises(SettingsError, match="either values or colours"):
        MaskTable(**both)


def test_read_gives_a_checked_sample(voc_root: Path) -> None:
    sample = open_dataset(voc_root).split("train").read(1)
    assert sample.name == "b"
    assert sample.image.shape == (12, 16, 3)
    assert sample.image.dtype == np.uint8
    assert sample.labels.shape == (12, 16)
    assert set(np.unique(sample.labels)) == {0, 1, 2, 255}
    assert sample.image.flags.writeable
    assert sample.labels.flags.writeable


def test_read_refuses_another_size(voc_root: Path) -> None:
    Image.new("L", (16, 13)).save(voc_root / "SegmentationClass" / "a.png")
    split = open_dataset(voc_root).split("train")
    with pytest.raises(DataError, match=r"a.png: mask is 16x13, its photo a.jpg is 16x12"):
        split.read(0)


def test_read_refuses_large_photos(voc_root: Path) -> None:
    split = open_dataset(voc_root, max_pixels=100).split("train")
    with pytest.raises(DataError, match="--max-pixels 192"):
        split.read(0)


def test_unknown_split_lists_those_there(voc_root: Path) -> None:
    with pytest.raises(SettingsError, match=r"no split 'tset'; there are train, trainval, val"):
        open_dataset(voc_root).split("tset")


def test_empty_split(voc_root: Path) -> None:
    (voc_root / "ImageSets" / "Segmentation" / "val.txt").write_text("\n\n")
    with pytest.raises(DataError, match=r"split 'val' is empty; add photos .*: train, trainval$"):
        open_dataset(voc_root).split("val")


def test_split_with_missing_files_is_refused_at_once(voc_root: Path) -> None:
    (voc_root / "SegmentationClass" / "a.png").unlink()
    with pytest.raises(DataError, match=r"split 'train' lacks .*a\.png; .*upscore data check"):
        open_dataset(voc_root).split("train")
    assert len(open_dataset(voc_root).split("val")) == 1


def test_split_with_ambiguous_photos_is_refused(voc_root: Path) -> None:
    Image.new("RGB", (16, 12)).save(voc_root / "JPEGImages" / "a.png")
    with pytest.raises(DataError, match=r"a.jpg, a.png share the name 'a'"):
        open_dataset(voc_root).split("train")


def test_mask_that_vanished(tmp_path: Path) -> None:
    pair = Pair("a", tmp_path / "a.jpg", tmp_path / "a.png")
    split = Split("train", (pair,), Labels.of(["x"]), MaskTable.indices(1))
    with pytest.raises(NotFoundError, match=r"a\.png: no such file"):
        split.read_labels(0)


def test_fingerprint_follows_names_and_sizes(voc_root: Path) -> None:
    before = open_dataset(voc_root).fingerprint()
    assert before == open_dataset(voc_root).fingerprint()
    mask = voc_root / "SegmentationClass" / "a.png"
    mask.write_bytes(mask.read_bytes() + b"x")
    assert open_dataset(voc_root).fingerprint() != before
    mask.unlink()
    assert open_dataset(voc_root).fingerprint() != before


def test_data_set_defaults() -> None:
    dataset = DataSet(Path(), "x", Labels.of(["a"]), {}, MaskTable.indices(1))
    assert dataset.problems == ()
    assert dataset.instances == {}


def test_spread_takes_evenly(tmp_path: Path) -> None:
    split = open_dataset(make_toy(tmp_path / "toy", num=14, seed=0, size=(32, 32))).split("train")
    names = [pair.name for pair in split.pairs]
    assert [pair.name for pair in split.spread(3).pairs] == [
        names[place * len(names) // 3] for place in range(3)
    ]
    assert split.spread(1000).pairs == split.pairs
    assert len(split.spread(0)) == 0
    assert split.take([1, 1]).read(1).name == names[1]
