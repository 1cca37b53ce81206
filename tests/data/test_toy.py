"""The toy set: the same for the same seed, as described, and careful with what is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscore.core.images import read_mask
from upscore.data import open_dataset
from upscore.data.check import check
from upscore.data.toy import LARGEST, SHAPES, TOY_LABELS, make_toy, toy_image, toy_name
from upscore.errors import DataError, OutputError, SettingsError


def test_layout_on_disk(tmp_path: Path) -> None:
    seen = []
    out = make_toy(tmp_path / "toy", num=9, seed=3, progress=lambda *step: seen.append(step))
    assert seen[-1] == (9, 9)
    dataset = open_dataset(out)
    assert dataset.layout == "toy"
    assert dataset.labels == TOY_LABELS
    assert [pair.name for pair in dataset.splits["val"]] == [toy_name(i) for i in (1, 5)]
    assert len(dataset.splits["train"]) == 7
    assert len(dataset.splits["trainval"]) == 9
    assert Image.open(dataset.splits["train"][0].mask).mode == "P"
    assert all(path.exists() for path in dataset.instances.values())
    assert [p.kind for p in check(dataset).problems if p.kind != "absent class"] == []


def test_disk_holds_what_was_drawn(tmp_path: Path) -> None:
    out = make_toy(tmp_path, num=2, seed=5)
    toy = toy_image(5, 1)
    sample = open_dataset(out).split("val").read(0)
    np.testing.assert_array_equal(sample.labels, toy.labels)
    instances = read_mask(out / "SegmentationObject" / f"{toy_name(1)}.png")
    np.testing.assert_array_equal(instances, toy.instances)
    assert np.abs(sample.image.astype(int) - toy.image).mean() < 4  # JPEG


def test_a_function_of_seed_and_index_alone(tmp_path: Path) -> None:
    few, many = make_toy(tmp_path / "few", num=3), make_toy(tmp_path / "many", num=6, workers=1)
    for name in (toy_name(i) for i in range(3)):
        for part in (f"JPEGImages/{name}.jpg", f"SegmentationClass/{name}.png",
                     f"SegmentationObject/{name}.png"):  # fmt: skip
            assert (few / part).read_bytes() == (many / part).read_bytes()
    other = toy_image(1, 0)
    assert other.image.shape != toy_image(0, 0).image.shape or (
        (other.image != toy_image(0, 0).image).any()
    )


def test_label_maps_do_not_change_with_versions() -> None:
    """The digest of the first label maps: toy scores in the documentation depend on them."""
    import hashlib

    digest = hashlib.sha256()
    for index in range(4):
        digest.update(toy_image(0, index).labels.tobytes())
    assert digest.hexdigest()[:16] == "62f42307892fd589"


def test_contents() -> None:
    toys = [toy_image(0, index) for index in range(60)]
    present = np.unique(np.concatenate([np.unique(toy.labels) for toy in toys]))
    assert present.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 255]
    assert {toy.labels.shape for toy in toys} & {(128, 160), (127, 160), (160, 128)} or len(
        {toy.labels.shape for toy in toys}
    ) > 20
    sizes = []
    for toy in toys:
        height, width = toy.labels.shape
        assert toy.image.shape == (height, width, 3)
        assert min(height, width) >= 112
        numbers = np.unique(toy.instances)
        objects = numbers[(numbers > 0) & (numbers < 255)]
        assert objects.tolist() == list(range(1, len(objects) + 1))  # no gaps
        np.testing.assert_array_equal(toy.labels == 255, toy.instances == 255)
        np.testing.assert_array_equal(toy.labels == 0, toy.instances == 0)
        for number in objects:
            classes = np.unique(toy.labels[toy.instances == number])
            assert len(classes) == 1
            ys, xs = np.nonzero(toy.instances == number)
            sizes.append(max(np.ptp(ys), np.ptp(xs)) / min(height, width))
        share = (toy.labels == 255).mean()
        assert 0 < share < 0.3
    assert min(sizes) < 0.06
    assert 0.6 < max(sizes) <= LARGEST
    assert sum(len(np.unique(t.instances)) - 2 >= 2 for t in toys) > 30  # most have several


def test_void_separates_all_neighbours() -> None:
    for index in range(5):
        instances = toy_image(0, index).instances.astype(int)
        for a, b in ((instances[1:], instances[:-1]), (instances[:, 1:], instances[:, :-1])):
            assert ((a == b) | (a == 255) | (b == 255)).all()


def test_every_class_leads_equally_often() -> None:
    val = [1 + (i // 4 + 2 * (i % 4)) % len(SHAPES) for i in range(1, 56, 4)]
    assert sorted(set(val)) == list(range(1, 8))
    assert np.ptp(np.bincount(val)[1:]) == 0


def test_other_sizes() -> None:
    assert max(toy_image(0, 0, (16, 16)).labels.shape) <= 16
    large = toy_image(0, 0, (400, 600))
    assert 350 <= min(large.labels.shape) <= 400


def test_goes_on_after_an_interruption(tmp_path: Path) -> None:
    out = make_toy(tmp_path, num=4)
    before = (out / "JPEGImages" / "toy_000000.jpg").stat().st_mtime_ns
    (out / "JPEGImages" / "toy_000002.jpg").unlink()
    (out / "ImageSets" / "Segmentation" / "val.txt").unlink()
    with pytest.raises(DataError, match="unfinished toy set; run `upscore data toy"):
        open_dataset(out)
    make_toy(tmp_path, num=4)
    assert open_dataset(out).split("trainval").read(2).name == "toy_000002"
    assert (out / "JPEGImages" / "toy_000000.jpg").stat().st_mtime_ns == before


def test_other_settings_are_refused(tmp_path: Path) -> None:
    make_toy(tmp_path, num=2, seed=0)
    with pytest.raises(OutputError, match="toy set of other settings"):
        make_toy(tmp_path, num=2, seed=1)


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match="not empty and no toy set"):
        make_toy(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_damaged_marker(tmp_path: Path) -> None:
    (tmp_path / "toy.json").write_text("{")
    with pytest.raises(OutputError, match="damaged"):
        make_toy(tmp_path)


def test_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "toy").write_text("x")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        make_toy(tmp_path / "toy")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"num": 1}, "num is 1"), ({"seed": -1}, "seed is -1"), ({"size": (8, 99)}, "size is 8 99")],
)
def test_wrong_settings(tmp_path: Path, wrong: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make_toy(tmp_path / "toy", **wrong)
    assert not (tmp_path / "toy").exists()
