"""Counts against masks small enough to count by hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from upscore.cli import data as verbs
from upscore.core.files import write_json
from upscore.data import open_dataset
from upscore.data.masks import read_stored_mask
from upscore.data.stats import Known, absent_classes, class_frequencies, measure
from upscore.data.toy import make_toy
from upscore.errors import DataError, WorkError
from upscore.report.figures.dataset import overview_figure
from upscore.report.figures.scores import write_figure


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two 20x40 pairs: the first half ground and half cat, the second void and a 5x10 dog."""
    root = tmp_path / "set"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    first = np.zeros((20, 40), np.uint8)
    first[:, 20:] = 1
    second = np.full((20, 40), 255, np.uint8)
    second[5:10, 10:20] = 2
    for name, mask in (("a", first), ("b", second)):
        Image.fromarray(mask).save(root / "SegmentationClass" / f"{name}.png")
        Image.new("RGB", (40, 20), (90, 120, 30)).save(root / "JPEGImages" / f"{name}.jpg")
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text("a\nb\n")
    (root / "classes.txt").write_text("background\ncat\ndog\ncow\n")
    return root


def test_class_frequencies(two: Path) -> None:
    steps = []
    split = open_dataset(two).split("train")
    pixels, present = class_frequencies(split, progress=lambda *step: steps.append(step))
    assert pixels.dtype == present.dtype == np.int64
    assert pixels.tolist() == [400, 400, 50, 0]
    assert present.tolist() == [800, 800, 50, 0]  # valid pixels of the images that show the class
    assert steps == [(1, 2), (2, 2)]


def test_masks_that_are_counted_already_are_not_read_again(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[str] = Counter()

    def read(path: Path, **options: Any) -> Any:
        reads[path.stem] += 1
        return read_stored_mask(path, **options)

    monkeypatch.setattr("upscore.data.dataset.read_stored_mask", read)
    split = open_dataset(two).split("train")
    known: Known = {}
    assert absent_classes(split, known=known) == ["cow"]
    pixels, present = class_frequencies(split, known=known)
    assert absent_classes(split, known=known) == ["cow"]
    assert reads == {"a": 1, "b": 1}
    assert (pixels.tolist(), present.tolist()) == ([400, 400, 50, 0], [800, 800, 50, 0])
    # one that cannot be read shows nothing, and is reported where its pixels count
    (two / "SegmentationClass" / "b.png").write_bytes(b"")
    known.clear()
    assert absent_classes(split, known=known) == ["dog", "cow"]
    with pytest.raises(DataError, match=r"b\.png: is empty"):
        class_frequencies(split, known=known)


def test_measure(two: Path) -> None:
    stats = measure(open_dataset(two))
    assert stats.objects_from == "connected regions"
    (split,) = stats.splits
    assert (split.images, split.valid_pixels) == (2, 850)
    assert split.void_share == pytest.approx(750 / 1600)
    assert split.image_sizes == ((20, 40, 2),)
    ground, cat, dog, cow = split.classes
    assert (ground.images, ground.objects) == (1, 0)  # the ground is no object
    assert cat.share == pytest.approx(400 / 850)
    assert (cat.objects, cat.object_sizes) == (1, (1.0,) * 5)  # as high as the photo
    assert (dog.objects, dog.object_sizes) == (1, (0.25,) * 5)  # 10 of 40 wide, 5 of 20 high
    assert (cow.pixels, cow.images, cow.objects, cow.object_sizes) == (0, 0, 0, ())


def test_specks_are_no_objects(two: Path) -> None:
    mask = np.zeros((20, 40), np.uint8)
    mask[0, :15] = 1  # 15 pixels
    mask[10:14, :4] = 1  # 16 pixels
    Image.fromarray(mask).save(two / "SegmentationClass" / "a.png")
    cat = measure(open_dataset(two)).splits[0].classes[1]
    assert cat.objects == 1


def test_instance_masks_part_touching_objects(two: Path) -> None:
    (two / "SegmentationObject").mkdir()
    instances = np.zeros((20, 40), np.uint8)
    instances[:10, 20:] = 1
    instances[10:, 20:] = 2
    instances[9:11, 20:] = 255
    Image.fromarray(instances).save(two / "SegmentationObject" / "a.png")
    stats = measure(open_dataset(two))
    assert stats.objects_from == "instance masks"
    _, cat, dog, _ = stats.splits[0].classes
    assert cat.objects == 2
    assert cat.object_sizes[2] == pytest.approx(0.5)
    assert dog.objects == 1  # b has no instance mask: its regions count


def test_instance_mask_of_another_size(two: Path) -> None:
    (two / "SegmentationObject").mkdir()
    Image.new("L", (4, 4)).save(two / "SegmentationObject" / "a.png")
    (failure,) = measure(open_dataset(two)).failures
    assert "SegmentationObject/a.png: instance mask" in failure.message


def test_a_bad_mask_does_not_stop_the_count(two: Path, tmp_path: Path) -> None:
    (two / "SegmentationClass" / "a.png").write_bytes(b"")
    dataset = open_dataset(two)
    found = measure(dataset)
    (split,) = found.splits
    assert (split.images, split.valid_pixels) == (1, 50)
    assert [item.pixels for item in split.classes] == [0, 0, 50, 0]
    (message,) = found.to_dict()["failures"]
    assert message.endswith("a.png: is empty; replace or remove it")
    write_figure(tmp_path / "figure.png", overview_figure(found, dataset))
    with pytest.raises(WorkError, match="1 of 2 masks could not be counted; all others are"):
        verbs.stats(two)


def test_no_mask_at_all_can_be_counted(two: Path) -> None:
    for name in "ab":
        (two / "SegmentationClass" / f"{name}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"no mask can be read; the first: .*a\.png: is empty"):
        measure(open_dataset(two))


def test_toy_sizes_span_the_documented_range(tmp_path: Path) -> None:
    stats = measure(open_dataset(make_toy(tmp_path, num=40)))
    objects = [item for split in stats.splits for item in split.classes if item.object_sizes]
    assert stats.objects_from == "instance masks"
    assert min(item.object_sizes[0] for item in objects) < 0.08
    assert max(item.object_sizes[-1] for item in objects) > 0.5


@pytest.mark.filterwarnings("error")
def test_names_of_any_kind_are_drawn(two: Path, tmp_path: Path) -> None:
    root = two.rename(tmp_path / r"$\nothing$")
    (root / "classes.txt").write_text("$\\nothing$\n车\n$a^$\ncow\n", encoding="utf-8")
    dataset = open_dataset(root)
    assert dataset.labels.names[:3] == (r"$\nothing$", "车", "$a^$")
    write_figure(tmp_path / "figure.png", overview_figure(measure(dataset), dataset))
    assert (tmp_path / "figure.png").exists()


def test_json_and_figure(two: Path, tmp_path: Path) -> None:
    dataset = open_dataset(two)
    stats = measure(dataset)
    write_json(tmp_path / "stats.json", stats.to_dict())
    content = json.loads((tmp_path / "stats.json").read_text())
    assert content["splits"]["train"]["classes"][2]["object_sizes"] == [0.25] * 5
    write_figure(tmp_path / "figure.png", overview_figure(stats, dataset))
    width, height = Image.open(tmp_path / "figure.png").size
    assert width > 1000
    assert height > 500
