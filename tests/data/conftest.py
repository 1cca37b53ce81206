"""Miniature data sets with the real folder layouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscore.core.files import make_folder

Writer = Callable[..., None]


@pytest.fixture
def write_pair() -> Writer:
    """Write a photo and an index mask of 12x16 whose pixels go round through ``values``."""

    def write(
        image: Path,
        mask: Path,
        values: Sequence[int] = (0, 1, 2, 255),
        *,
        size: tuple[int, int] = (12, 16),
    ) -> None:
        make_folder(image.parent)
        make_folder(mask.parent)
        seed = sum(image.stem.encode())
        photo = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(photo).save(image)
        Image.fromarray(np.resize(np.array(values, np.uint8), size)).save(mask)

    return write


@pytest.fixture
def voc_root(tmp_path: Path, write_pair: Writer) -> Path:
    """A devkit with two pairs to train, one to validate, and three classes."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("a", "b", "c"):
        write_pair(root / "JPEGImages" / f"{name}.jpg", root / "SegmentationClass" / f"{name}.png")
    lists = root / "ImageSets" / "Segmentation"
    make_folder(lists)
    (lists / "train.txt").write_text("a\nb\n")
    (lists / "val.txt").write_text("c\n")
    (lists / "trainval.txt").write_text("a\nb\nc\n")
    (root / "classes.txt").write_text("ground\ncat\ndog\n")
    return root
