"""Every dataset.yaml in docs/data.md is loaded and read."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscore.core.files import make_folder
from upscore.data import open_dataset
from upscore.data.detect import LAYOUTS

TEXT = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)


def write(path: Path, pixels: np.ndarray) -> None:
    make_folder(path.parent)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def open_example(number: int, folder: Path):
    make_folder(folder)
    (folder / "dataset.yaml").write_text(EXAMPLES[number], encoding="utf-8")
    return open_dataset(folder)


def test_there_are_three_examples() -> None:
    assert len(EXAMPLES) == 3


def test_numbers(tmp_path: Path) -> None:
    for i in range(5):
        write(tmp_path / "photos" / f"{i}.jpg", np.zeros((4, 4, 3)))
        write(tmp_path / "masks" / f"{i}.png", np.resize([0, 1, 2, 255], (4, 4)))
    dataset = open_example(0, tmp_path)
    assert len(dataset.split("train")) == 4
    assert dataset.split("val").read(0).labels[0].tolist() == [0, 1, 2, 255]


def test_colors(tmp_path: Path) -> None:
    root = tmp_path / "street"
    colors = [(128, 64, 128), (244, 35, 232), (0, 0, 142), (70, 70, 70), (0, 0, 0)]
    for name in ("a", "b"):
        write(root / "leftImg" / f"{name}_left.png", np.zeros((1, 5, 3)))
        write(root / "colors" / f"{name}_color.png", np.array([colors]))
    make_folder(root / "lists")
    (root / "lists" / "train.txt").write_text("a\n")
    (root / "lists" / "val.txt").write_text("b\n")
    dataset = open_example(1, tmp_path / "mine")
    assert dataset.labels.colors[1] == (0, 0, 142)
    assert dataset.split("val").read(0).labels[0].tolist() == [0, 0, 1, 2, 255]


def test_zero_and_255(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(tmp_path / split / "image" / "1.png", np.zeros((1, 2, 3)))
        write(tmp_path / split / "mask" / "1.png", np.array([[0, 255]]))
    dataset = open_example(2, tmp_path)
    assert dataset.split("train").read(0).labels[0].tolist() == [0, 1]


@pytest.mark.parametrize("layout", LAYOUTS, ids=[layout.looks[:30] for layout in LAYOUTS])
def test_every_layout_is_documented(layout) -> None:
    for word in re.findall(r"\w+/|\w+\.(?:json|yaml)", layout.looks):
        assert word in TEXT
