"""Photos that EXIF turns against masks that were drawn on the stored pixels."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from upscore.core.images import photo_turn
from upscore.data import open_dataset
from upscore.data.check import check
from upscore.data.notices import tell_meaning
from upscore.data.turns import fit_of, turn_labels
from upscore.errors import DataError

MASK = np.arange(6, dtype=np.uint8).reshape(2, 3) % 4


def exif(turn: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = turn
    return tags


@pytest.mark.parametrize("turn", range(1, 9))
def test_labels_turn_as_pillow_turns_photos(turn: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(MASK).save(path, exif=exif(turn))
    with Image.open(path) as picture:
        turned = np.asarray(ImageOps.exif_transpose(picture))
    assert turn_labels(MASK, turn).tolist() == turned.tolist()


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("turn", [1, 3, 8])
def test_the_turn_of_a_file(tmp_path: Path, suffix: str, turn: int) -> None:
    path = tmp_path / f"a.{suffix}"
    profile = bytes(70_000)  # pushes what follows it far back
    Image.new("RGB", (8, 8)).save(path, exif=exif(turn), icc_profile=profile)
    assert photo_turn(path) == turn
    Image.new("RGB", (8, 8)).save(path)
    assert photo_turn(path) == 1


def test_an_impossible_turn_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(path, exif=exif(77))
    assert photo_turn(path) == 1


@pytest.mark.parametrize(
    ("turn", "upright", "mask", "fit"),
    [
        (3, (4, 6), (4, 6), "either"),
        (6, (4, 4), (4, 4), "either"),
        (6, (6, 4), (6, 4), "upright"),
        (6, (6, 4), (4, 6), "stored"),
        (6, (6, 4), (5, 5), "upright"),
    ],
)
def test_fit(turn: int, upright: tuple[int, int], mask: tuple[int, int], fit: str) -> None:
    assert fit_of(turn, upright, mask) == fit


def dataset_of(root: Path, turns: list[int], size: tuple[int, int], more: str = "") -> Path:
    """Photos of one grey for each class, and masks drawn on the pixels as stored."""
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    mask = np.zeros(size, np.uint8)
    mask[: size[0] // 2, : size[1] // 4] = 1
    for i, turn in enumerate(turns):
        Image.fromarray(np.repeat(mask[..., None] * 200, 3, axis=2)).save(
            root / "images" / f"{i}.png", exif=exif(turn)
        )
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
    (root / "dataset.yaml").write_text(
        "image: images/*\nmask: masks/*\nsplits: {train: 1.0}\nclasses: [ground, thing]\n"
        f"masks: indices\n{more}"
    )
    return root


@pytest.mark.parametrize("turn", range(2, 9))
@pytest.mark.parametrize("size", [(8, 12), (8, 8)])
def test_every_turn_is_told_once_and_drawn_on_resolves_it(
    tmp_path: Path, turn: int, size: tuple[int, int]
) -> None:
    root = dataset_of(tmp_path / "a", [turn, turn, 1], size)
    (problem,) = check(open_dataset(root)).problems
    assert problem.kind == "exif turn"
    assert f"EXIF turns 2 of 3 photos (orientation {turn}), such as " in problem.message
    is_clear = turn >= 5 and size[0] != size[1]
    known = "by size, 2 masks fit the photo as stored" if is_clear else "sizes do not show whether"
    assert known in problem.message
    assert "`drawn_on: stored` in a dataset.yaml" in problem.message
    dataset = open_dataset(dataset_of(tmp_path / "b", [turn, turn, 1], size, "drawn_on: stored\n"))
    assert check(dataset).problems == ()
    split = dataset.split("train")
    for index in range(3):
        sample = split.read(index)
        assert (sample.image[..., 0] // 200).tolist() == sample.labels.tolist()


def test_upright_masks_of_a_phone_are_no_problem(tmp_path: Path) -> None:
    """Where some masks fit the turned photos by their size, so do the others."""
    root = dataset_of(tmp_path, [6, 3, 1], (8, 12))
    Image.new("L", (8, 12), 1).save(root / "masks" / "0.png")
    assert check(open_dataset(root)).problems == ()


def test_drawn_on_upright_ends_the_question(tmp_path: Path) -> None:
    assert (
        check(open_dataset(dataset_of(tmp_path, [3], (8, 12), "drawn_on: upright\n"))).problems
        == ()
    )


def test_reading_names_exif_as_the_cause(tmp_path: Path) -> None:
    split = open_dataset(dataset_of(tmp_path, [6], (8, 12))).split("train")
    with pytest.raises(DataError, match=r"EXIF turns the photo \(orientation 6\), and the"):
        split.read(0)


def test_the_start_of_a_training_tells_or_refuses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = open_dataset(dataset_of(tmp_path / "a", [3, 1, 1], (8, 12)))
    with caplog.at_level(logging.WARNING, "upscore"):
        tell_meaning(dataset, dataset.pairs("train"))
    assert "EXIF turns 1 of 3 photos (orientation 3)" in caplog.text
    dataset = open_dataset(dataset_of(tmp_path / "b", [6, 1, 1], (8, 12)))
    with pytest.raises(DataError, match="by size, 1 mask fit the photo as stored"):
        tell_meaning(dataset, dataset.pairs("train"))
