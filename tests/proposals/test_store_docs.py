"""What docs/proposals.md says of the store is so."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image

from upscore.cli.main import main
from upscore.core.images import read_image
from upscore.proposals import build_store as make
from upscore.proposals import store

TEXT = (Path(__file__).parents[2] / "docs" / "proposals.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("## The store\n")[2].partition("\n## ")[0]


def test_the_command_and_the_python_run(tmp_path, monkeypatch):
    folder = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    photo = folder / "JPEGImages/2007_000032.jpg"
    Image.fromarray(pixels).save(photo)
    mask = np.zeros((20, 30), np.uint8)
    mask[5:9] = 15
    Image.fromarray(mask).save(folder / "SegmentationClass/2007_000032.png")
    (folder / "ImageSets/Segmentation/train.txt").write_text("2007_000032\n")
    monkeypatch.chdir(tmp_path)
    (command,) = re.findall(r"```bash\nupscore (.*?)\n```", SECTION)
    main([*command.split(), "--source", "grid", "--workers", "1"])
    (block,) = re.findall(r"```python\n(.*?)```", SECTION, flags=re.DOTALL)
    names = {"image": read_image(photo)}
    exec(block, names)
    assert names["store"].names == ("2007_000032",)
    assert len(names["proposals"]) == 50
    assert sorted(path.name for path in tmp_path.iterdir()) == ["VOCdevkit", "voc.parquet"]


def test_the_numbers_are_those_of_the_code():
    assert f"{make.PART_PHOTOS} photos or ten seconds a part" in SECTION
    assert make.PART_SECONDS == 10
    assert f"A row group holds {store.GROUP_BOXES:,} boxes or one photo" in SECTION
    for column in store._SCHEMA.names:
        assert f"`{column}`" in SECTION
