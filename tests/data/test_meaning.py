"""What mask values mean: guessed and told, named by tools' class files, or refused."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from upscore.cli import data as verbs
from upscore.cli.console import style
from upscore.data import open_dataset
from upscore.data.check import check
from upscore.errors import DataError, WorkError

Mask = np.ndarray | Image.Image


def write(root: Path, masks: list[Mask], *, suffix: str = "png", quality: int = 75) -> Path:
    """images/ and masks/ with photos of the masks' sizes."""
    for i, mask in enumerate(masks):
        picture = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
        for kind in ("images", "masks"):
            (root / kind).mkdir(exist_ok=True)
        Image.new("RGB", picture.size, (9, 90, 30)).save(root / "images" / f"{i}.jpg")
        picture.save(root / "masks" / f"{i}.{suffix}", quality=quality)
    return root


def of(*values: int) -> np.ndarray:
    """(4, 6) uint8 whose pixels go round through ``values``."""
    return np.resize(np.array(values, np.uint8), (6, 4)).T.copy()


def palette_mask(colors: list[int], *values: int) -> Image.Image:
    picture = Image.fromarray(of(*values))
    picture.putpalette(colors)
    return picture


# --- guessed, and told ----------------------------------------------------------------------------


def test_the_guess_is_a_table(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path, [of(0, 1), of(0, 0, 0, 255), of(0, 1, 2, 255)]))
    assert dataset.guess is not None
    assert dataset.guess.num_masks == 3
    assert dataset.guess.rows == (
        (0, None, "class_0", pytest.approx((12 + 18 + 6) / 72), 3),
        (1, None, "class_1", pytest.approx((12 + 6) / 72), 2),
        (2, None, "class_2", pytest.approx(6 / 72), 1),
        (255, None, "void", pytest.approx(12 / 72), 2),
    )
    header = dataset.guess.text().splitlines()[1]
    assert header.split() == ["value", "class", "pixels", "%", "masks"]


def test_the_colours_of_the_palette_are_told(tmp_path: Path) -> None:
    masks: list[Mask] = [palette_mask([1, 2, 3, 200, 0, 7], 0, 1)] * 2
    guess = open_dataset(write(tmp_path, masks)).guess
    assert guess is not None
    assert [row[1] for row in guess.rows] == [(1, 2, 3), (200, 0, 7)]
    lines = guess.text().splitlines()
    assert lines[0].startswith("Guessed from the numbers in the masks (2 masks read)")
    assert lines[1].split() == ["value", "colour", "class", "pixels", "%", "masks"]
    assert lines[3].split() == ["1", "200,0,7", "foreground", "50.00", "2"]


@pytest.mark.skipif(sys.platform == "win32", reason="a line for a shell")
@pytest.mark.parametrize(
    ("masks", "names"),
    [
        ([of(0, 1, 3, 255)] * 2, ["class_0", "class_1", "class_2", "class_3"]),  # none shows 2
        ([of(0, 1)] * 2, ["background", "foreground"]),
        ([of(0, 255)] * 2, ["background", "foreground"]),
    ],
)
def test_the_line_that_check_prints_names_the_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], masks: list[Mask], names: list[str]
) -> None:
    root = tmp_path / "my photos"
    root.mkdir()
    write(root, masks)
    guessed = open_dataset(root)
    with contextlib.suppress(WorkError):  # of a class that no mask shows
        verbs.check(root)
    shown = capsys.readouterr().out.splitlines()
    (line,) = [line for line in shown if "printf" in line]
    subprocess.run(["sh", "-c", line.replace(names[-1], "sheep")], check=True)
    dataset = open_dataset(root)
    assert dataset.guess is None
    assert dataset.labels.names == (*names[:-1], "sheep")
    for split in guessed.splits:
        before, after = guessed.split(split).read(0), dataset.split(split).read(0)
        assert (before.labels == after.labels).all()
    with contextlib.suppress(WorkError):
        verbs.check(root)
    assert "printf" not in capsys.readouterr().out


def test_check_prints_the_guess(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verbs.check(write(tmp_path, [of(0, 255), of(0, 255)]))
    text = capsys.readouterr().out
    assert "Guessed from masks of 0 and 255 (2 masks read)" in text
    row = next(line for line in text.splitlines() if line.startswith("255"))
    assert row.split() == ["255", "foreground", "50.00", "2"]
    values = style.result["guess"]["values"]
    assert values[1] == {
        "value": 255,
        "color": None,
        "class": "foreground",
        "share": 0.5,
        "masks": 2,
    }


def test_nothing_is_guessed_with_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, [of(0, 1), of(0, 1)])
    (tmp_path / "classes.txt").write_text("ground\ncat\n")
    verbs.check(tmp_path)
    assert "Guessed" not in capsys.readouterr().out


# --- files that disagree --------------------------------------------------------------------------

RED, GREEN = [0, 0, 0, 200, 0, 0], [0, 0, 0, 0, 200, 0]
ONE_BIT = Image.fromarray(of(0, 1) > 0)
CLEAR = np.dstack([of(0, 1), of(0, 1), of(0, 1), of(255, 0)])
DISAGREE: dict[str, tuple[list[Mask], str]] = {
    "0/1 and 0/255": ([of(0, 1), of(0, 255)], "1 of 2 masks is of 0, 1, such as 0.png, and 1 of 0"),
    "0/1 and wholly 255": ([of(0, 1), of(255)], "255 would be void in some and an object in other"),
    "0/1 and 1 bit": ([of(0, 1), ONE_BIT], "and 1 bits, such as 1.png"),
    "0/1/2 and 0/127/255": ([of(0, 1, 2), of(0, 127, 255)], "of 0, 127, 255, such as 1.png"),
    "8 and 16 bits": (
        [of(0, 1, 2), of(0, 1, 2).astype(np.uint16) * 257],
        "of 0, 257, 514 and 32 bits, such as 1.png",
    ),
    "palettes": (
        [palette_mask(RED, 0, 1), palette_mask(RED, 0, 1), palette_mask(GREEN, 0, 1)],
        "value 1 is the colour (200,0,0) in 0.png and (0,200,0) in 2.png: 1 of 3 palette masks",
    ),
    "colours and numbers": (
        [np.dstack([of(0, 9), of(0, 8), of(0, 7)]), of(0, 1)],
        "1 of 2 masks is RGB colours, such as 0.png, and others are single numbers, such as 1.png",
    ),
}


@pytest.mark.parametrize(("masks", "message"), DISAGREE.values(), ids=DISAGREE)
def test_masks_that_disagree_are_refused(tmp_path: Path, masks: list[Mask], message: str) -> None:
    with pytest.raises(DataError) as caught:
        open_dataset(write(tmp_path, masks))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("case", ["0/1 and 0/255", "palettes"])
def test_masks_that_disagree_are_told_where_only_the_order_of_names_is_given(
    tmp_path: Path, case: str
) -> None:
    write(tmp_path, DISAGREE[case][0])
    (tmp_path / "classes.txt").write_text("ground\ncat\n")
    problems = check(open_dataset(tmp_path)).problems
    (found,) = [problem for problem in problems if problem.kind == "masks disagree"]
    assert DISAGREE[case][1] in found.message


def test_values_of_three_classes_beside_255(tmp_path: Path) -> None:
    def told() -> list[str]:
        problems = check(open_dataset(tmp_path)).problems
        return [problem.message for problem in problems if problem.kind == "masks disagree"]

    write(tmp_path, [of(0, 1, 2), of(0, 255)])
    (tmp_path / "classes.txt").write_text("ground\ncat\ndog\n")
    (message,) = told()
    assert "1 of 2 masks is of 0, 1, 2, such as 0.png, and 1 of 0, 255, such as 1.png" in message
    write(tmp_path, [of(0, 1, 255), of(0, 2, 255), of(0, 255)])  # 255 is void beside classes
    assert told() == []


def test_one_bit_is_class_1_where_255_is_no_class(tmp_path: Path) -> None:
    write(tmp_path, [ONE_BIT, of(0, 1)])
    (tmp_path / "classes.txt").write_text("ground\ncat\n")
    dataset = open_dataset(tmp_path)
    assert check(dataset).problems == ()
    split = dataset.split("trainval")
    assert [split.read(i).labels.tolist() for i in range(2)] == [of(0, 1).tolist()] * 2


@pytest.mark.parametrize(
    "masks",
    [
        [of(0, 1, 255), of(0, 255)],  # void beside the object in some file, so 255 is void
        [of(0, 1), of(0, 0)],
        [palette_mask(RED, 0, 1), palette_mask([*RED, 5, 5, 5], 0, 1)],  # an unused colour differs
        [palette_mask(RED, 0, 1), of(0, 1)],
        [of(0, 1), of(0, 1).astype(np.uint16)],
        [np.dstack([of(0, 1)] * 3), of(0, 1)],  # grey saved as colour
        [np.dstack([of(0, 1), of(0, 1), of(0, 1), of(255, 255)]), of(0, 1)],  # opaque alpha
    ],
)
def test_masks_that_agree(tmp_path: Path, masks: list[Mask]) -> None:
    dataset = open_dataset(write(tmp_path, masks))
    assert dataset.labels.names == ("background", "foreground")
    assert [p for p in check(dataset).problems if p.kind == "masks disagree"] == []


def test_a_dataset_yaml_may_say_that_255_is_void(tmp_path: Path) -> None:
    write(tmp_path, [of(0, 1), of(0, 255)])
    text = "image: images/*\nmask: masks/*\nsplits: {train: 1.0}\nclasses: [ground, cat]\n"
    (tmp_path / "dataset.yaml").write_text(text + "masks: {0: ground, 1: cat, 255: void}\n")
    assert check(open_dataset(tmp_path)).problems == ()
    (tmp_path / "dataset.yaml").write_text(text + "masks: indices\n")
    (problem,) = check(open_dataset(tmp_path)).problems
    assert problem.kind == "masks disagree"


def test_transparent_masks_are_refused(tmp_path: Path) -> None:
    for mask in (Image.fromarray(CLEAR), Image.fromarray(CLEAR).convert("LA")):
        root = tmp_path / mask.mode
        root.mkdir()
        write(root, [mask])
        with pytest.raises(DataError, match=r"0\.png: a mask with 12 transparent pixels"):
            open_dataset(root)
        (root / "classes.txt").write_text("ground\ncat\n")
        kinds = {problem.kind for problem in check(open_dataset(root)).problems}
        assert "unreadable" in kinds


def smooth() -> np.ndarray:
    mask = np.zeros((40, 60), np.uint8)
    mask[7:31, 11:43] = 2
    return mask


@pytest.mark.parametrize("top", [2, 255])  # few values after compression, many values
@pytest.mark.parametrize("with_names", [False, True])
def test_jpeg_is_named_as_the_cause(tmp_path: Path, top: int, *, with_names: bool) -> None:
    write(tmp_path, [smooth() // 2 * top] * 2, suffix="jpg", quality=60)
    if not with_names:
        with pytest.raises(DataError, match=r"2 of 2 masks are JPEG files, such as 0\.jpg"):
            open_dataset(tmp_path)
        return
    (tmp_path / "classes.txt").write_text("ground\ncat\ndog\n")
    messages = [problem.message for problem in check(open_dataset(tmp_path)).problems]
    assert sum("JPEG changes values" in message for message in messages) >= 1


NEEDS_AVIF = pytest.mark.skipif(".avif" not in Image.registered_extensions(), reason="old Pillow")


@pytest.mark.parametrize(
    ("suffix", "options", "name"),
    [
        ("webp", {"quality": 50}, "lossy WebP"),
        ("webp", {"quality": 50, "exif": b"Exif\0\0MM\0*"}, "lossy WebP"),
        ("webp", {"lossless": True}, ""),
        ("webp", {"lossless": True, "exif": b"Exif\0\0MM\0*"}, ""),
        ("jp2", {"irreversible": True}, "lossy JPEG 2000"),
        ("jp2", {}, ""),
        ("tif", {"compression": "jpeg"}, "JPEG"),
        ("tif", {"compression": "tiff_lzw"}, ""),
        pytest.param("avif", {}, "AVIF", marks=NEEDS_AVIF),
    ],
)
def test_other_formats_with_losses(
    tmp_path: Path, suffix: str, options: dict[str, Any], name: str
) -> None:
    write(tmp_path, [of(0, 1, 2)] * 2)
    (tmp_path / "classes.txt").write_text("ground\ncat\ndog\n")
    for path in [*(tmp_path / "masks").iterdir()]:
        Image.open(path).save(path.with_suffix(f".{suffix}"), **options)
        path.unlink()
    dataset = open_dataset(tmp_path)
    messages = [problem.message for problem in check(dataset).problems]
    if name:
        assert any(f"2 of 2 masks are {name} files, such as 0.{suffix}" in m for m in messages)
    else:
        assert messages == []
        assert dataset.split("train").read(0).labels.tolist() == of(0, 1, 2).tolist()


def test_palettes_that_differ_are_read_by_their_colours(tmp_path: Path) -> None:
    """What the refusal of differing palettes says to do."""
    swapped = palette_mask([200, 0, 0, 0, 0, 0], 1, 0)
    write(tmp_path, [palette_mask(RED, 0, 1), swapped])
    (tmp_path / "dataset.yaml").write_text(
        "image: images/*\nmask: masks/*\nsplits: {train: 1.0}\nclasses: [ground, cat]\n"
        'masks: {"0,0,0": ground, "200,0,0": cat}\n'
    )
    dataset = open_dataset(tmp_path)
    assert check(dataset).problems == ()
    split = dataset.split("train")
    for index in range(2):
        assert split.read(index).labels.tolist() == of(0, 1).tolist()


# --- class files of tools -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("class_names.txt", "_background_\ncat\n"),
        ("labels.txt", "__ignore__\n_background_\ncat\n"),
        ("obj.names", "background\r\ncat\r\n"),
        ("_darknet.labels", "background\ncat"),
        ("labelmap.txt", "background\ncat\n"),
        ("classes.txt", "# names\nbackground\ncat\n"),
        ("classes.txt", "0 background\n1 cat\n"),
        ("classes.txt", "0: background\n1: cat\n"),
        ("classes.txt", "1 cat\n0 background\n"),
        ("Classes.TXT", "background\ncat\n"),
        ("class_names.txt", "_background_\ncat\n__ignore__\n"),
        ("classes.csv", "0,background\n1,cat\n"),
        ("classes.csv", "background\ncat\n"),
        ("classes.csv", "\ufeffid;name;colour\r\n1;cat;red\r\n0;background;black\r\n"),
        ("_classes.csv", "Pixel Value, Class\n0, background\n1, cat\n"),
    ],
)
def test_class_files(tmp_path: Path, file: str, text: str) -> None:
    write(tmp_path, [of(0, 1), of(0, 255)])
    (tmp_path / file).write_bytes(text.encode())
    dataset = open_dataset(tmp_path)
    assert dataset.labels.names == ("background", "cat")
    assert dataset.labels.background == 0
    assert dataset.guess is None


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("__ignore__\na\nb\nc\n", {0: "a", 1: "b", 2: "c"}),  # labelme numbers it -1
        ("0 __ignore__\n1 a\n2 b\n", {0: "void", 1: "a", 2: "b"}),
        ("a\n__ignore__\nb\n", {0: "a", 1: "void", 2: "b"}),
        ("a\nb\n__ignore__\n", {0: "a", 1: "b", 2: "void"}),
        ("7 a\n0 void\n4 b\n", {7: "a", 0: "void", 4: "b"}),
        ("Void\na\nb\n", {0: "void", 1: "a", 2: "b"}),
        ("a\n_background_\nb\n", {0: "a", 1: "background", 2: "b"}),
        ("a\nb\n_background_\n", {0: "a", 1: "b", 2: "background"}),
    ],
)
def test_void_and_background_at_any_line(
    tmp_path: Path, text: str, meaning: dict[int, str]
) -> None:
    write(tmp_path, [of(*meaning, 255), of(*meaning)])
    (tmp_path / "class_names.txt").write_text(text)
    dataset = open_dataset(tmp_path)
    names = dataset.labels.names
    found = {
        v: "void" if label == 255 else names[label] for v, label in dataset.table.values.items()
    }
    assert found == {**meaning, 255: "void"}
    assert check(dataset).problems == ()


def test_values_with_gaps_and_colours_in_a_table(tmp_path: Path) -> None:
    write(tmp_path, [of(0, 7, 255), of(0, 7)])
    (tmp_path / "_classes.csv").write_text("Pixel Value, Class\n0, ground\n7, cat\n")
    assert open_dataset(tmp_path).table.values == {0: 0, 7: 1, 255: 255}
    (tmp_path / "_classes.csv").unlink()
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nground,9,8,7\ncat,1,2,3\nVoid,0,0,0\n")
    dataset = open_dataset(tmp_path)
    assert dataset.labels.names == ("ground", "cat")
    assert dataset.labels.colors == ((9, 8, 7), (1, 2, 3))
    assert dataset.table.colors == {
        (9, 8, 7): 0,
        (1, 2, 3): 1,
        (0, 0, 0): 255,
        (224, 224, 192): 255,
    }


CVAT = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\ndog:51,221,255::\n"


def test_cvats_export(tmp_path: Path) -> None:
    colors = np.array([(0, 0, 0), (250, 50, 83), (51, 221, 255), (224, 224, 192)], np.uint8)
    for folder in ("JPEGImages", "SegmentationClass", "SegmentationObject"):
        (tmp_path / folder).mkdir()
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for name in "abc":
        Image.new("RGB", (4, 6)).save(tmp_path / "JPEGImages" / f"{name}.jpg")
        Image.fromarray(colors[of(0, 1, 2, 3)].swapaxes(0, 1)).save(
            tmp_path / "SegmentationClass" / f"{name}.png"
        )
        Image.fromarray(colors[of(0, 1, 2, 2)].swapaxes(0, 1)).save(
            tmp_path / "SegmentationObject" / f"{name}.png"
        )
    (lists / "default.txt").write_text("a\nb\nc\n")
    (tmp_path / "labelmap.txt").write_text(CVAT)
    dataset = open_dataset(tmp_path)
    assert dataset.labels.names == ("background", "cat", "dog")
    assert dataset.labels.colors[1] == (250, 50, 83)
    assert dataset.split_names == ("train",)
    assert len(dataset.split("val")) == 1
    assert check(dataset).problems == ()
    assert np.unique(dataset.split("train").read(0).labels).tolist() == [0, 1, 2, 255]


def test_cvats_subsets(tmp_path: Path) -> None:
    for folder in ("JPEGImages", "SegmentationClass"):
        (tmp_path / folder).mkdir()
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for name in ("Train", "Validation"):
        (lists / f"{name}.txt").write_text(f"{name}1\n")
        Image.new("RGB", (4, 6)).save(tmp_path / "JPEGImages" / f"{name}1.png")
        Image.new("RGB", (4, 6)).save(tmp_path / "SegmentationClass" / f"{name}1.png")
    (tmp_path / "labelmap.txt").write_text(CVAT)
    assert set(open_dataset(tmp_path).splits) == {"train", "val"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"labelmap.txt": "cat:1,2::\n"}, "'cat:1,2::' is no class; expected CVAT's name:red"),
        ({"labelmap.txt": "cat:1,2,300::\n"}, "is no class"),
        ({"labelmap.txt": "cat:1,2,3::\ndog:1,2,3::\n"}, "repeats a name or colour"),
        ({"classes.txt": "a\nb\n", "obj.names": "b\na\n"}, "classes.txt and obj.names name diff"),
        ({"classes.txt": "a, b, c\n"}, "'a, b, c' is one line; expected one class name a line"),
        ({"classes.txt": "0 0 0 a\n0 9 0 b\n"}, "some lines have the same number"),
        ({"classes.txt": "1: a\n2: b\n"}, "numbered from 1, and the first line is value 0"),
        ({"_classes.csv": "Pixel Value, Class\n0, a\n0, b\n"}, "gives 0 to 'a' and 'b'"),
        (
            {"_classes.csv": "Pixel Value, Class\nzero, a\n"},
            "'zero,a' is no class; expected a first",
        ),
        ({"_classes.csv": "Value, Class\n0, a\n1, a\n"}, "class name used twice: a"),
        ({"classes.csv": "name,shape\na,b\n"}, "(found 'name,shape')"),
        ({"classes.txt": ""}, "1 to 255 classes, this one has 0"),
        ({"classes.txt": "\n".join(map(str, range(300)))}, "1 to 255 classes, this one has 300"),
    ],
)
def test_bad_class_files(tmp_path: Path, files: dict[str, str], message: str) -> None:
    write(tmp_path, [of(0, 1)])
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


# --- one mask a photo -----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["0-{}", "0_{}", "0.{}", "0({})", "{}_0"])
def test_one_mask_a_class(tmp_path: Path, ending: str) -> None:
    write(tmp_path, [of(0, 255)] * 3)
    for path in sorted((tmp_path / "masks").iterdir()):
        for kind in ("cat", "dog"):
            Image.open(path).save(
                path.with_name(ending.format(kind).replace("0", path.stem) + ".png")
            )
        path.unlink()
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path)
    first = ending.format("cat") + ".png"
    assert f"6 masks, such as {first}, have no photo of their name" in str(caught.value)
    assert "there is a photo '0': this looks like one mask a class (cat, dog)" in str(caught.value)
    assert "data check" not in str(caught.value)


def test_one_folder_a_class(tmp_path: Path) -> None:
    write(tmp_path, [of(0, 255)] * 2)
    for kind in ("cat", "dog"):
        (tmp_path / "masks" / kind).mkdir()
    for path in (tmp_path / "masks").glob("*.png"):
        path.rename(path.parent / "cat" / path.name)
    with pytest.raises(DataError, match=r"folders \(cat, dog\)\. One folder a class looks like"):
        open_dataset(tmp_path)


def test_masks_with_an_ending_are_told_how_to_describe(tmp_path: Path) -> None:
    write(tmp_path, [of(0, 1)] * 3)
    for path in list((tmp_path / "masks").iterdir()):
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path)
    line = "mask: 'masks/{name}_mask.png'"
    assert line in str(caught.value)
    (tmp_path / "dataset.yaml").write_text(
        f"image: images/*\n{line}\nsplits: {{train: 1.0}}\nclasses: [a, b]\nmasks: indices\n"
    )
    assert check(open_dataset(tmp_path)).problems == ()


def test_other_names_of_masks_are_shown(tmp_path: Path) -> None:
    write(tmp_path, [of(0, 1)] * 3)
    for kind in ("images", "masks"):
        for path in list((tmp_path / kind).iterdir()):
            path.rename(path.with_name(f"{kind}_{path.name}"))
    with pytest.raises(
        DataError, match=r"images_\d\.png is not there, and masks_\d\.png is\. Name"
    ):
        open_dataset(tmp_path)


def test_no_mask_at_all(tmp_path: Path) -> None:
    write(tmp_path, [of(0, 1)] * 3)
    for path in (tmp_path / "masks").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"none of the 3 photos has a mask .*masks/\d.png is not"):
        open_dataset(tmp_path)


# --- masks of GIS programs ------------------------------------------------------------------------


def gis(root: Path, mask: np.ndarray, masks: str) -> Path:
    write(root, [mask] * 2, suffix="tif")
    (root / "dataset.yaml").write_text(
        "image: images/*.jpg\nmask: masks/*.tif\nsplits: {train: 1.0}\nclasses: [water, field]\n"
        f"masks: {masks}\n"
    )
    return root


def test_whole_floats_are_class_numbers(tmp_path: Path) -> None:
    split = open_dataset(gis(tmp_path, of(0, 1).astype(np.float32), "indices")).split("train")
    assert split.read(0).labels.tolist() == of(0, 1).tolist()
    assert split.read(0).labels.dtype == np.uint8


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_values_below_zero_may_be_void(tmp_path: Path, dtype: type) -> None:
    mask = np.where(of(0, 1, 2) == 2, -9999, of(0, 1, 2).astype(dtype))
    gis(tmp_path, mask, "{0: water, 1: field, -9999: void}")
    assert check(open_dataset(tmp_path)).problems == ()
    labels = open_dataset(tmp_path).split("train").read(0).labels
    assert labels.tolist() == np.where(of(0, 1, 2) == 2, 255, of(0, 1, 2)).tolist()


@pytest.mark.parametrize(("value", "shown"), [(0.5, "0.5"), (np.nan, "nan"), (-3.4e38, "-3.4e")])
def test_floats_that_are_no_numbers_of_classes(tmp_path: Path, value: float, shown: str) -> None:
    mask = of(0, 1).astype(np.float32)
    mask[0, 0] = value
    (problem, *_) = check(open_dataset(gis(tmp_path, mask, "indices"))).problems
    assert problem.kind == "unreadable"
    assert f"a mask of floats, 1 of which are no class numbers (the first is {shown}" in (
        problem.message
    )


def test_numbers_that_do_not_begin_with_0_are_asked_for(tmp_path: Path) -> None:
    """Oxford's pets: 1, 2 and 3."""
    with pytest.raises(DataError, match="3 different values, whose classes are not known"):
        open_dataset(write(tmp_path, [of(1, 2, 3)] * 2))


def test_the_highest_value_of_16_bits_is_offered_as_void(tmp_path: Path) -> None:
    masks: list[Mask] = [np.resize(np.array([0, 1, 65535], np.uint16), (4, 6))] * 2
    with pytest.raises(DataError, match=r"classes: \[class_0, class_1\](.|\n)*65535: void"):
        open_dataset(write(tmp_path, masks))


def test_a_palette_of_one_colour_says_nothing(tmp_path: Path) -> None:
    open_dataset(write(tmp_path, [palette_mask([0] * 9, 0, 1, 2)] * 2))


@pytest.mark.parametrize("with_names", [False, True])
def test_greys_that_a_gif_numbered_anew(tmp_path: Path, *, with_names: bool) -> None:
    """Pillow writes the greys 0 and 2 as values 0 and 1."""
    write(tmp_path, [of(0, 2)] * 2, suffix="gif")
    if with_names:
        (tmp_path / "classes.txt").write_text("ground\ncat\ndog\n")
        messages = [problem.message for problem in check(open_dataset(tmp_path)).problems]
        assert any("value 1 of 0.gif is the grey 2 by its palette" in text for text in messages)
        return
    with pytest.raises(DataError, match=r"value 1 of 0\.gif is the grey 2"):
        open_dataset(tmp_path)


def test_masks_that_are_turned_or_no_images_are_told(tmp_path: Path) -> None:
    write(tmp_path, [of(0, 1)] * 3)
    (tmp_path / "classes.txt").write_text("ground\ncat\n")
    Image.fromarray(of(0, 1).T.copy()).save(tmp_path / "masks" / "0.png")
    (tmp_path / "masks" / "1.png").unlink()
    np.save(tmp_path / "masks" / "1.npy", of(0, 1))
    messages = [problem.message for problem in check(open_dataset(tmp_path)).problems]
    assert len(messages) == 2
    assert "turned by a quarter" in messages[0] + messages[1]
    assert "resized" not in messages[0] + messages[1]
    assert "(1.npy is there, which is no image: save it as PNG)" in messages[0] + messages[1]


def test_values_below_zero_are_offered_as_void(tmp_path: Path) -> None:
    mask = np.where(of(0, 1, 2) == 2, -1, of(0, 1, 2).astype(np.int32))
    write(tmp_path, [mask] * 2, suffix="tif")
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path)
    (tmp_path / "dataset.yaml").write_text(str(caught.value).split("count:\n")[1])
    assert set(np.unique(open_dataset(tmp_path).split("train").read(0).labels)) == {0, 1, 255}
