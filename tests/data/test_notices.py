"""What is told before work on a data set starts."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscore.core.run_folder import RunFolder, told_guess
from upscore.data import open_dataset
from upscore.data.notices import tell_listing, tell_meaning
from upscore.errors import DataError
from upscore.training import setup
from upscore.training.recipe import load_recipe
from upscore.workflows.data import measure_data


@pytest.fixture
def root(tmp_path: Path, write_pair, caplog: pytest.LogCaptureFixture) -> Path:
    """Ten pairs without class names."""
    for i in range(10):
        write_pair(tmp_path / "images" / f"{i}.jpg", tmp_path / "masks" / f"{i}.png", (0, 1))
    caplog.set_level(logging.INFO, "upscore")
    return tmp_path


def test_masks_without_a_photo_are_counted(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for i in range(6):
        (root / "images" / f"{i}.jpg").unlink()
    tell_listing(open_dataset(root))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert (
        "6 of 10 masks have no photo and are left out (0.png, 1.png, 2.png and 3 more)"
        in caplog.text
    )


def test_stats_tells_it_too(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "images" / "3.jpg").unlink()
    measure_data(root)
    assert "1 of 10 masks has no photo and is left out (3.png)" in caplog.text


def test_names_listed_twice_are_told(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "train.txt").write_text("1\n1.jpg\n2\n")
    tell_listing(open_dataset(root))
    assert "lists '1' 2 times" in caplog.text


def test_nothing_to_tell(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "classes.txt").write_text("ground\ncat\n")
    dataset = open_dataset(root)
    tell_listing(dataset)
    tell_meaning(dataset, dataset.pairs("train"))
    assert caplog.text == ""


def test_the_guess_is_told(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = open_dataset(root)
    tell_meaning(dataset, dataset.pairs("train"))
    assert "Guessed from the numbers in the masks (10 masks read)" in caplog.text
    assert "foreground" in caplog.text


@pytest.mark.parametrize("is_stated", [False, True])
def test_masks_that_disagree(
    root: Path, caplog: pytest.LogCaptureFixture, *, is_stated: bool
) -> None:
    for i in range(5):
        Image.fromarray(np.resize(np.array([0, 255], np.uint8), (12, 16))).save(
            root / "masks" / f"{i}.png"
        )
    masks = "{0: a, 1: b, 255: void}" if is_stated else "indices"
    (root / "dataset.yaml").write_text(
        f"image: images/*\nmask: masks/*\nsplits: {{train: 1.0}}\nclasses: [a, b]\nmasks: {masks}\n"
    )
    dataset = open_dataset(root)
    if not is_stated:
        with pytest.raises(DataError, match="5 of 10 masks are of 0, 1"):
            tell_meaning(dataset, dataset.pairs("train"))
        return
    tell_meaning(dataset, dataset.pairs("train"))
    assert caplog.text == ""


def test_zero_and_255_beside_a_list_of_two_names(root: Path) -> None:
    for path in (root / "masks").iterdir():
        Image.fromarray(np.resize(np.array([0, 255], np.uint8), (12, 16))).save(path)
    (root / "classes.txt").write_text("ground\ncat\n")
    dataset = open_dataset(root)
    with pytest.raises(DataError, match=r"2 of 2 masks are of 0 and 255 alone, and 255 is void"):
        tell_meaning(dataset, dataset.pairs("val"))
    (root / "dataset.yaml").write_text(
        "image: images/*\nmask: masks/*\nsplits: {train: 1.0}\nclasses: [a, b]\n"
        "masks: {0: a, 255: b}\n"
    )
    dataset = open_dataset(root)
    tell_meaning(dataset, dataset.pairs("train"))


def test_other_palettes_are_told_where_the_values_are_named(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for i in range(10):
        picture = Image.open(root / "masks" / f"{i}.png")
        picture.putpalette([0, 0, 0, i // 9, 90, 0])
        picture.save(root / "masks" / f"{i}.png")
    text = "image: images/*\nmask: masks/*\nsplits: {train: 1.0}\nclasses: [a, b]\nmasks: "
    (root / "dataset.yaml").write_text(f"{text}{{0: a, 1: b}}\n")
    dataset = open_dataset(root)
    tell_meaning(dataset, dataset.pairs("train"))
    assert "1 of 10 palette masks have another palette" in caplog.text
    (root / "dataset.yaml").write_text(f"{text}indices\n")
    with pytest.raises(DataError, match="1 of 10 palette masks"):
        tell_meaning(open_dataset(root), dataset.pairs("train"))


def test_a_training_begins_with_them(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "classes.txt").write_text("ground\ncat\n")
    (root / "images" / "9.jpg").unlink()
    for i in range(5):
        Image.fromarray(np.resize(np.array([0, 255], np.uint8), (12, 16))).save(
            root / "masks" / f"{i}.png"
        )
    with pytest.raises(DataError, match=r"such as .* and . of 0, 255"):
        setup.train(
            load_recipe("fcn8s-quick", ["device=cpu"]),
            data=root,
            out=root / "run",
            resume=False,
            make_validate=lambda *_: pytest.fail("validated"),
        )
    assert "1 of 10 masks has no photo" in caplog.text
    assert not (root / "run").exists()


def test_a_guess_that_is_known_from_the_training_is_one_line(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = open_dataset(root)
    known = {"0": "background", "1": "foreground"}
    tell_meaning(dataset, dataset.pairs("train"), told=known)
    assert caplog.messages == [
        f"{root}: classes guessed as in the training: 0 background, 1 foreground; -v shows details"
    ]
    caplog.clear()
    caplog.set_level(logging.DEBUG, "upscore")
    tell_meaning(dataset, dataset.pairs("train"), told=known)
    assert "Guessed from" in caplog.messages[1]
    caplog.clear()
    tell_meaning(dataset, dataset.pairs("train"), told={"0": "background", "255": "foreground"})
    assert len(caplog.messages) == 2
    assert "Guessed from" in caplog.messages[0]
    assert caplog.messages[1].startswith("To name them, ")


def test_a_run_keeps_what_was_guessed(root: Path, tmp_path: Path) -> None:
    """Evaluations compare their guess with it."""
    recipe = load_recipe("fcn8s-quick")
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    assert told_guess(run.path) is None
    run.write_manifest({"data": setup._describe_splits(recipe, open_dataset(root), root)})
    assert told_guess(run.path) == {"0": "background", "1": "foreground"}
    (root / "classes.txt").write_text("ground\ncat\n")
    run.write_manifest({"data": setup._describe_splits(recipe, open_dataset(root), root)})
    assert told_guess(run.path) is None
    run.manifest.write_text("damaged")
    assert told_guess(run.path) is None


@pytest.mark.parametrize("num", [2, 4])
def test_the_line_that_names_guessed_classes_is_told(
    tmp_path: Path, write_pair, caplog: pytest.LogCaptureFixture, num: int
) -> None:
    caplog.set_level(logging.INFO, "upscore")
    for i in range(4):
        values = tuple(range(num))
        write_pair(tmp_path / "images" / f"{i}.jpg", tmp_path / "masks" / f"{i}.png", values)
    dataset = open_dataset(tmp_path)
    tell_meaning(dataset, dataset.pairs("train"))
    assert dataset.guess is not None
    (line,) = [text for text in caplog.messages if text.startswith("To name them")]
    assert ("(value 0 is `background` if it is no object)" in line) == (num > 2)
    assert f"printf '%s\\n' {' '.join(dataset.labels.names)} > " in line
    caplog.clear()
    tell_meaning(dataset, dataset.pairs("train"), told=dataset.guess.meaning())
    assert not any("printf" in text for text in caplog.messages)
