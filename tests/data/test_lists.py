"""List files as people and tools write them: one rule in every layout."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from upscore.data import DataSet, open_dataset
from upscore.data.check import check
from upscore.data.lists import Names, read_lines, split_line
from upscore.errors import DataError

NAMES = ("a", "b.v2", "c d", "Straße é")


@pytest.fixture(params=["folder", "voc", "dataset.yaml"])
def layout(request: pytest.FixtureRequest, tmp_path: Path, write_pair) -> tuple[Path, str, str]:
    """Root, folder of the photos and folder of the masks of three layouts."""
    images, masks = "images", "masks"
    if request.param == "voc":
        images, masks = "JPEGImages", "SegmentationClass"
    for name in NAMES:
        write_pair(tmp_path / images / f"{name}.jpg", tmp_path / masks / f"{name}.png", (0, 1))
    (tmp_path / "classes.txt").write_text("ground\ncat\n")
    if request.param == "dataset.yaml":
        (tmp_path / "dataset.yaml").write_text(
            "image: images/*.jpg\nmask: masks/*.png\nsplits: {train: train.txt}\n"
            "classes: [ground, cat]\nmasks: indices\n"
        )
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    return tmp_path, images, masks


def open_with(layout: tuple[Path, str, str], text: str, encoding: str = "utf-8") -> DataSet:
    root, images, _ = layout
    home = root / "ImageSets" / "Segmentation" if images == "JPEGImages" else root
    (home / "train.txt").write_bytes(text.encode(encoding))
    return open_dataset(root)


STYLES = {
    "name": "{name}",
    "suffix": "{name}.jpg",
    "upper suffix": "{name}.JPG",
    "path": "{images}/{name}.jpg",
    "path without suffix": "{images}/{name}",
    "absolute path of elsewhere": "/home/somebody/set/{images}/{name}.jpg",
    "current folder": "./{images}/{name}.jpg",
    "backslash": "{images}\\{name}.jpg",
    "two columns": "{images}/{name}.jpg {masks}/{name}.png",
    "slash first": "/{images}/{name}.jpg /{masks}/{name}.png",
    "two names": "{name}.jpg {name}.png",
    "comma": "{images}/{name}.jpg, {masks}/{name}.png",
    "tab": "{images}/{name}.jpg\t{masks}/{name}.png",
    "quotes": '"{name}"',
    "quoted columns": '"{images}/{name}.jpg" "{masks}/{name}.png"',
    "single quotes": "'{images}/{name}.jpg','{masks}/{name}.png'",
    "presence": "{name}.jpg 1",
    "comma behind": "{name}.jpg,",
    "comment behind": "{name}.jpg # blurred",
}


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_styles(layout: tuple[Path, str, str], style: str) -> None:
    root, images, masks = layout
    lines = [style.format(name=name, images=images, masks=masks) for name in NAMES]
    dataset = open_with(layout, "\n".join(["# made by hand", "", *lines]))
    assert dataset.problems == ()
    assert [pair.name for pair in dataset.splits["train"]] == list(NAMES)
    for pair in dataset.splits["train"]:
        assert (pair.image.parent, pair.mask.parent) == (root / images, root / masks)
        assert pair.image.stem == pair.mask.stem == pair.name
    assert len(dataset.split("train").read(2).labels) == 12


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lists_of_windows(layout: tuple[Path, str, str], encoding: str) -> None:
    dataset = open_with(layout, "a\r\nStraße é\r\n\r\n", encoding)
    assert [pair.name for pair in dataset.splits["train"]] == ["a", "Straße é"]


def test_accents_in_either_spelling(layout: tuple[Path, str, str]) -> None:
    root, images, _ = layout
    for path in (root / images).glob("Str*"):
        path.rename(path.with_name(unicodedata.normalize("NFD", path.name)))
    listed = unicodedata.normalize("NFD", "Straße é.jpg")
    for text in (listed, "Straße é"):
        (pair,) = open_with(layout, text).splits["train"]
        assert pair.name == "Straße é"
        assert pair.image.exists()
        assert pair.mask.exists()


def test_second_column_names_another_mask(layout: tuple[Path, str, str]) -> None:
    root, images, masks = layout
    (root / masks / "a.png").rename(root / masks / "a_label.png")
    Image.new("L", (16, 12), 1).save(root / masks / "b.v2.png")
    elsewhere = root / "fine" / "a.png"
    elsewhere.parent.mkdir()
    Image.new("L", (16, 12), 1).save(elsewhere)
    (pair,) = open_with(layout, f"{images}/a.jpg {masks}/a_label.png").splits["train"]
    assert pair.mask == root / masks / "a_label.png"
    (pair,) = open_with(layout, f"{images}/a.jpg fine/a.png").splits["train"]
    assert pair.mask == elsewhere


def test_a_listed_name_that_is_not_there_is_one_problem(layout: tuple[Path, str, str]) -> None:
    root, images, _ = layout
    problems = check(open_with(layout, f"a\n{images}/zebra.jpg\nb.v2\n")).problems
    missing = [problem for problem in problems if problem.kind == "missing partner"]
    assert [problem.path.name for problem in missing] == ["zebra.jpg"]
    assert missing[0].path.parent == root / images
    assert "'zebra' is listed, but neither this photo nor" in missing[0].message


def test_the_same_photo_twice_in_two_styles(layout: tuple[Path, str, str]) -> None:
    dataset = open_with(layout, "a\na.jpg\n")
    assert [pair.name for pair in dataset.splits["train"]] == ["a"]
    assert [problem.kind for problem in dataset.problems] == ["listed twice"]


# --- the rule itself ------------------------------------------------------------------------------


def names(*listed: str) -> Names:
    return Names({name: [Path("/set/photos") / f"{name}.jpg"] for name in listed})


def test_names_with_folders_are_not_confused() -> None:
    """The same file name in two folders must not stand for the other one."""
    both = names("train/001", "val/001", "train/002")
    assert both.find("val/001.jpg") == "val/001"
    assert both.find("/elsewhere/photos/train/001") == "train/001"
    assert both.find("001") is None  # which one?
    assert both.find("002.jpg") == "train/002"
    assert both.find("test/001") is None


def test_a_name_with_folders_beside_a_name_without() -> None:
    mixed = names("a", "sub/b")
    assert mixed.find("photos/a.jpg") == "a"
    assert mixed.find("sub/a") is None
    assert mixed.find("sub/b.jpg") == "sub/b"


def test_the_whole_line_goes_before_columns() -> None:
    photos = names("img 00", "img", "00")
    assert split_line("img 00", photos, photos) == ("img 00", None)
    assert split_line("img 07", photos, names()) == ("img 07", None)
    assert split_line("img 00", names("img"), names("00")) == ("img", "00")


def test_lines_of_a_damaged_file_take_no_time_by_their_length() -> None:
    assert names("a").find("x/" * 200_000 + "a") == "a"
    photo, _ = split_line("'" * 100_000, names("a"), names("a"))
    assert photo


def test_wide_text_must_say_so(tmp_path: Path) -> None:
    path = tmp_path / "l.txt"
    path.write_bytes("a\r\nß\r\n".encode("utf-16"))
    assert read_lines(path) == ["a", "ß"]
    path.write_bytes("a\r\nß\r\n".encode("utf-16-le"))
    with pytest.raises(DataError, match="not a UTF-8 text file"):
        read_lines(path)


@pytest.mark.parametrize(
    "line", ["x" * 300, "a\0b", "some words " * 40, "i/" + "y" * 256 + ".jpg", "z/" * 2500]
)
def test_lines_that_can_be_no_name(layout: tuple[Path, str, str], line: str) -> None:
    with pytest.raises(DataError, match=r"train\.txt: .* is no name of a file") as caught:
        open_with(layout, f"a\n{line}\n")
    assert len(str(caught.value)) < 300
