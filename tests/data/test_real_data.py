"""The real sets: found, listed with their documented counts, a few pairs read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from upscore.core.labels import CAMVID_LABELS, VOC_LABELS
from upscore.data import open_dataset
from upscore.data.check import check
from upscore.data.stats import class_frequencies

pytestmark = pytest.mark.real


@pytest.fixture
def camvid(real_data: Path) -> Path:
    return _present(real_data / "camvid")


def _present(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"no {path}")
    return path


def test_camvid(camvid: Path) -> None:
    dataset = open_dataset(camvid)
    assert dataset.layout == "camvid"
    assert dataset.labels == CAMVID_LABELS
    assert {name: len(pairs) for name, pairs in dataset.splits.items()} == {
        "train": 367,
        "val": 101,
    }
    assert dataset.problems == ()
    split = dataset.split("val")
    for index in (0, 50, 100):
        sample = split.read(index)
        assert sample.image.shape == (360, 480, 3)
        assert sample.labels.shape == (360, 480)
        assert (sample.labels <= 10).sum() + (sample.labels == 255).sum() == sample.labels.size


@pytest.mark.slow
def test_camvid_frequencies_give_the_published_weights(camvid: Path) -> None:
    """SegNet's class weights are median frequency over frequency (formats.md 2.4)."""
    pixels, present = class_frequencies(open_dataset(camvid).split("train"))
    frequency = pixels / present
    weights = np.median(frequency) / frequency
    published = [0.2595, 0.1826, 4.5640, 0.1417, 0.9051, 0.3826, 9.6446, 1.8418, 0.6823, 6.2478,
                 7.3614]  # fmt: skip
    # sign_symbol is off by 2.5 and all by 0.92: the release counted in a way it does not document
    ratio = weights / np.array(published)
    assert np.median(np.abs(np.log(ratio))) < 0.15


def test_camvid_as_released(real_data: Path) -> None:
    dataset = open_dataset(_present(real_data / "camvid-original-sample"))
    assert [pair.name for pair in dataset.splits["train"]] == [
        "0001TP_006690",
        "0001TP_006720",
        "0001TP_006750",
    ]
    assert dataset.split("val").read(1).image.shape == (360, 480, 3)


def test_voc_sample(real_data: Path) -> None:
    dataset = open_dataset(_present(real_data / "voc-sample"))
    assert dataset.labels == VOC_LABELS
    assert {name: len(pairs) for name, pairs in dataset.splits.items()} == {
        "train": 2,
        "trainval": 4,
        "val": 2,
    }
    kinds = {problem.kind for problem in check(dataset).problems}
    assert kinds == {"absent class"}
    labels = dataset.split("trainval").read(0).labels
    assert (labels == 255).any()  # the void border


def test_msrc_and_its_21_classes_by_description(real_data: Path, tmp_path: Path) -> None:
    root = _present(real_data / "msrc")
    plain = open_dataset(root)
    assert (len(plain.labels), len(plain.splits["train"]), len(plain.splits["val"])) == (
        16,
        319,
        74,
    )
    names = (root / "classes21.txt").read_text().split()
    file = tmp_path / "dataset.yaml"
    file.write_text(
        f"root: {root}\n"
        "image: JPEGImages/{name}.jpg\n"
        "mask: SegmentationClass21/{name}.png\n"
        "splits: {train: ImageSets/Segmentation/train.txt, val: ImageSets/Segmentation/val.txt}\n"
        f"classes: [{', '.join(names)}]\n"
        "masks: indices\n"
    )
    stuff = open_dataset(file)
    assert len(stuff.labels) == 21
    assert [p.name for p in stuff.splits["val"]] == [p.name for p in plain.splits["val"]]
    for index in (0, 40):
        labels = stuff.split("val").read(index).labels
        assert ((labels < 21) | (labels == 255)).all()
