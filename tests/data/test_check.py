"""Everything that `data check` must notice, one broken miniature set each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from upscore.data import open_dataset
from upscore.data.check import check, roles
from upscore.data.masks import read_stored_mask

LISTS = Path("ImageSets") / "Segmentation"


def test_nothing_wrong(voc_root: Path) -> None:
    steps: list[tuple[int, int]] = []
    result = check(open_dataset(voc_root), progress=lambda done, total: steps.append((done, total)))
    assert result.problems == ()
    assert result.pairs == 3  # trainval repeats the others
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert result.to_dict()["splits"] == {"train": 2, "trainval": 3, "val": 1}


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def save(mask: object) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(np.asarray(mask, np.uint8)).save(path)


BROKEN = [
    ("unreadable", "JPEGImages/a.jpg", truncate, "damaged or truncated"),
    ("unreadable", "SegmentationClass/a.png", truncate, "replace or remove it"),
    ("unreadable", "JPEGImages/a.jpg", empty, "is empty"),
    ("missing partner", "JPEGImages/a.jpg", Path.unlink, "no such photo"),
    ("missing partner", "SegmentationClass/a.png", Path.unlink, "no such mask"),
    ("size mismatch", "SegmentationClass/a.png", save(np.zeros((12, 17))), "mask is 17x12, its"),
    ("unknown value", "SegmentationClass/a.png", save(np.eye(12, 16) * 9), "9 (12 pixels)"),
    (
        "unknown value",
        "SegmentationClass/a.png",
        save(np.eye(12, 16)[..., None] * [9, 0, 0]),
        "RGB",
    ),
    ("all void", "SegmentationClass/a.png", save(np.full((12, 16), 255)), "every pixel is void"),
]


@pytest.mark.parametrize(("kind", "file", "spoil", "message"), BROKEN)
def test_broken_file(
    voc_root: Path, kind: str, file: str, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(voc_root / file)
    problems = check(open_dataset(voc_root)).problems
    assert [problem.kind for problem in problems] == [kind]
    assert problems[0].path == voc_root / file
    assert problems[0].message.startswith(str(voc_root / file))
    assert message in problems[0].message


def test_name_collision(voc_root: Path) -> None:
    Image.new("RGB", (16, 12)).save(voc_root / "JPEGImages" / "a.png")
    problems = check(open_dataset(voc_root)).problems
    assert [problem.kind for problem in problems] == ["name collision"]
    assert "a.jpg, a.png share the name 'a'" in problems[0].message


def test_too_large_a_photo_names_the_option(voc_root: Path) -> None:
    problems = check(open_dataset(voc_root, max_pixels=100)).problems
    assert all("--max-pixels" in p.message for p in problems if p.kind == "unreadable")
    assert sum(problem.kind == "unreadable" for problem in problems) == 6


def test_empty_split(voc_root: Path) -> None:
    (voc_root / LISTS / "val.txt").write_text("")
    assert [p.kind for p in check(open_dataset(voc_root)).problems] == ["empty split"]


def test_file_in_two_splits(voc_root: Path) -> None:
    (voc_root / LISTS / "val.txt").write_text("c\nb\n")
    problems = check(open_dataset(voc_root)).problems
    assert [problem.kind for problem in problems] == ["in two splits"]
    assert "b.jpg: in split 'train' and in 'val'" in problems[0].message


def test_listed_twice(voc_root: Path) -> None:
    (voc_root / LISTS / "val.txt").write_text("c\nc\n")
    assert [p.kind for p in check(open_dataset(voc_root)).problems] == ["listed twice"]


def test_class_that_never_occurs(voc_root: Path) -> None:
    (voc_root / "classes.txt").write_text("ground\ncat\ndog\ncow\n")
    problems = check(open_dataset(voc_root)).problems
    assert [problem.kind for problem in problems] == ["absent class"]
    assert "class 3 'cow' occurs in no mask;" in problems[0].message


def test_a_single_class(voc_root: Path) -> None:
    (voc_root / "classes.txt").write_text("cat\n")
    for name in "abc":
        save(np.eye(12, 16) * 255)(voc_root / "SegmentationClass" / f"{name}.png")
    (problem,) = check(open_dataset(voc_root)).problems
    assert problem.kind == "one class"
    assert "'cat' is the only class, and a training needs two or more; label" in problem.message
    assert "classes: [background, cat]" in problem.message


def test_class_that_train_lacks(voc_root: Path) -> None:
    for name in "ab":
        save(np.eye(12, 16))(voc_root / "SegmentationClass" / f"{name}.png")
    problems = check(open_dataset(voc_root)).problems
    assert [problem.kind for problem in problems] == ["absent class"]
    assert "'dog' occurs in no mask of 'train'" in problems[0].message


def test_many_problems_are_all_listed(voc_root: Path) -> None:
    truncate(voc_root / "JPEGImages" / "a.jpg")
    empty(voc_root / "SegmentationClass" / "a.png")
    (voc_root / "SegmentationClass" / "b.png").unlink()
    (voc_root / LISTS / "val.txt").write_text("")
    kinds = sorted(problem.kind for problem in check(open_dataset(voc_root)).problems)
    assert kinds == ["empty split", "missing partner", "unreadable", "unreadable"]


def test_mask_without_photo(tmp_path: Path, write_pair) -> None:
    for i in range(5):
        write_pair(tmp_path / "images" / f"{i}.png", tmp_path / "masks" / f"{i}.png", (0, 1))
    (tmp_path / "images" / "4.png").unlink()
    problems = check(open_dataset(tmp_path)).problems
    assert [(p.kind, p.path.name) for p in problems] == [("missing partner", "4.png")]
    assert "mask without a photo" in problems[0].message


def test_releases_of_the_wrong_count(tmp_path: Path) -> None:
    """The lists alone make a set the release; reading 2,913 photos is not needed for that."""
    root = tmp_path / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", LISTS):
        (root / folder).mkdir(parents=True)
    train, val = [f"t{i}" for i in range(1464)], [f"v{i}" for i in range(1448)]
    for name, members in (("train", train), ("val", val), ("trainval", train + val)):
        (root / LISTS / f"{name}.txt").write_text("\n".join(members))
    messages = [p.message for p in open_dataset(root).problems if p.kind == "wrong count"]
    assert len(messages) == 2
    assert "split 'val' has 1448 pairs, the release has 1449" in messages[0]
    sbd = tmp_path / "benchmark_RELEASE" / "dataset"
    for folder in ("img", "cls"):
        (sbd / folder).mkdir(parents=True)
    # of SBD's 11,355 ids those in VOC val go; 10,582 remain with VOC train's
    shared = val[:1000]
    (sbd / "train.txt").write_text("\n".join([*(f"s{i}" for i in range(8498 - 1000)), *shared]))
    (sbd / "val.txt").write_text("\n".join(f"w{i}" for i in range(2857)))
    dataset = open_dataset(tmp_path)
    assert len(dataset.splits["trainaug"]) == 1464 + 8498 - 1000 + 2857
    wrong = [p.message for p in dataset.problems if p.kind == "wrong count"]
    assert any("'trainaug' has 11819 pairs, the release has 10582" in m for m in wrong)
    assert not any("SBD" in m for m in wrong)


def test_camvid_of_the_wrong_count(tmp_path: Path) -> None:
    for folder, count in (("train", 366), ("val", 101)):
        for kind in (folder, f"{folder}annot"):
            (tmp_path / kind).mkdir()
            for i in range(count):
                (tmp_path / kind / f"{folder}{i}.png").touch()
    (problem,) = open_dataset(tmp_path).problems
    assert problem.kind == "wrong count"
    assert "split 'train' has 366 pairs, the release has 367" in problem.message


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("train", "val", False),
        ("train", "trainval", True),
        ("trainaug", "val", False),
        ("trainaug", "trainval", True),
        ("train", "train_noval", True),
        ("train_noval", "val", False),
        ("seg11valid", "val", True),
        ("trainval", "test", False),
        ("all", "test", True),
        ("fold1", "fold2", False),
    ],
)
def test_roles(first: str, second: str, together: bool) -> None:
    assert bool(roles(first) & roles(second)) is together


def test_an_unforeseen_error_of_one_pair_is_a_problem(
    voc_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = sorted(path.stem for path in (voc_root / "SegmentationClass").glob("*.png"))

    def read(path: Path, **options: Any) -> Any:
        if path.stem == names[0]:
            raise IndexError("odd")
        return read_stored_mask(path, **options)

    monkeypatch.setattr("upscore.data.check.read_stored_mask", read)
    result = check(open_dataset(voc_root))
    (problem,) = [item for item in result.problems if item.kind == "unreadable"]
    assert problem.message.startswith(f"{problem.path}: cannot check it (IndexError: odd; at upsco")
    assert problem.path.stem == names[0]
    assert result.pairs == len(names)
