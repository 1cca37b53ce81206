"""dataset.yaml: what it can say, and every way to get it wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscore.core.palette import bright_colors
from upscore.data import open_dataset
from upscore.data.check import check
from upscore.data.formats.yaml_dataset import parse_color
from upscore.errors import DataError, NotFoundError, SettingsError

GOOD = """
image: photos/*.jpg
mask: labels/*.png
splits: {train: 0.75, val: 0.25}
classes: [ground, {name: cat, color: [1, 2, 3]}]
masks: {0: ground, 1: cat, 2: void}
"""


@pytest.fixture
def folder(tmp_path: Path, write_pair) -> Path:
    for i in range(8):
        write_pair(tmp_path / "photos" / f"{i}.jpg", tmp_path / "labels" / f"{i}.png", (0, 1, 2))
    return tmp_path


def describe(folder: Path, text: str) -> Path:
    path = folder / "dataset.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_by_folder_and_by_file(folder: Path) -> None:
    file = describe(folder, GOOD)
    for path in (folder, file):
        dataset = open_dataset(path)
        assert dataset.layout == "dataset.yaml"
        assert dataset.labels.names == ("ground", "cat")
        assert dataset.labels.colors == (bright_colors(1)[0], (1, 2, 3))
        assert {split: len(pairs) for split, pairs in dataset.splits.items()} == {
            "train": 6,
            "val": 2,
        }
    assert set(np.unique(dataset.split("val").read(0).labels)) == {0, 1, 255}


def test_description_goes_before_a_known_layout(voc_root: Path) -> None:
    describe(
        voc_root,
        "image: JPEGImages/{name}.jpg\nmask: SegmentationClass/{name}.png\n"
        "splits: {train: ImageSets/Segmentation/val.txt}\nclasses: [x, y]\n"
        "masks: {0: y, 1: x, 2: x, 255: void}",
    )
    dataset = open_dataset(voc_root)
    assert dataset.layout == "dataset.yaml"
    assert [pair.name for pair in dataset.splits["train"]] == ["c"]
    assert set(np.unique(dataset.split("train").read(0).labels)) == {0, 1, 255}


def test_any_yaml_name_may_be_given(folder: Path) -> None:
    describe(folder, GOOD).rename(folder / "cats.yml")
    assert len(open_dataset(folder / "cats.yml").labels) == 2


def test_root_elsewhere(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    assert len(open_dataset(describe(other, f"root: {folder}\n" + GOOD)).split("train")) == 6


def test_seed_deals_anew(folder: Path) -> None:
    drawn = {
        tuple(
            pair.name
            for pair in open_dataset(describe(folder, f"{GOOD}seed: {seed}\n")).splits["val"]
        )
        for seed in range(4)
    }
    assert len(drawn) > 1


def test_list_files_with_folders_suffixes_and_order(folder: Path, write_pair) -> None:
    write_pair(folder / "photos/sub/x.jpg", folder / "labels/sub/x.png", (0, 1, 2))
    (folder / "t.txt").write_text("5.jpg\n1\nsub/x\n")
    dataset = open_dataset(
        describe(folder, GOOD.replace("{train: 0.75, val: 0.25}", "{train: t.txt}"))
    )
    split = dataset.split("train")
    assert [split.read(i).name for i in range(3)] == ["5", "1", "sub/x"]


def test_split_folders(tmp_path: Path, write_pair) -> None:
    for split in ("train", "val"):
        for i in range(2):
            write_pair(
                tmp_path / split / f"{i}.png", tmp_path / f"{split}_m" / f"{i}_m.png", (0, 1)
            )
    text = """
image: "{split}/*.png"
mask: "{split}_m/{name}_m.png"
splits: [train, val]
classes: [a, b]
masks: indices
"""
    dataset = open_dataset(describe(tmp_path, text))
    assert [pair.name for pair in dataset.splits["val"]] == ["val-0", "val-1"]
    assert dataset.split("val").read(0).labels.max() == 1


@pytest.mark.parametrize(
    "masks",
    [
        "colors",
        '{"10,20,30": a, "(40, 50, 60)": b}',
        '{"#0a141e": a, "#28323C": b}',
        "{10,20,30: a}",  # flow YAML splits at commas: refused below
    ],
)
def test_color_masks(tmp_path: Path, masks: str) -> None:
    for kind in ("photos", "labels"):
        (tmp_path / kind).mkdir()
        pixels = np.array([(10, 20, 30), (40, 50, 60)], np.uint8)[np.resize([0, 1], (4, 4))]
        Image.fromarray(pixels).save(tmp_path / kind / "x.png")
    file = describe(
        tmp_path,
        "image: photos/*\nmask: labels/*\nsplits: {train: 1.0}\n"
        "classes: [{name: a, color: [10, 20, 30]}, {name: b, color: [40, 50, 60]}]\n"
        f"masks: {masks}\n",
    )
    if masks.startswith("{10,"):
        with pytest.raises(SettingsError, match="masks"):
            open_dataset(file)
        return
    assert open_dataset(file).split("train").read(0).labels[0].tolist() == [0, 1, 0, 1]


def test_thousands_of_problems_are_counted(folder: Path) -> None:
    table = ", ".join(f"{value}: {value}x" for value in range(3, 3000))
    text = GOOD.replace("{0: ground, 1: cat, 2: void}", f"{{0: ground, 1: cat, {table}}}")
    with pytest.raises(SettingsError, match=r"masks\.3: no class '3x'") as caught:
        open_dataset(describe(folder, text))
    assert len(str(caught.value).splitlines()) <= 21


def test_a_name_with_which_a_mask_would_be_too_long(folder: Path) -> None:
    """Photos may have names of 255 bytes, and masks have longer ones than their photos."""
    text = GOOD.replace("mask: labels/*.png", f"mask: labels/*{'y' * 254}.png")
    with pytest.raises(DataError, match="split 'train' lacks"):
        open_dataset(describe(folder, text)).split("train")


def test_zero_and_255_with_255_as_a_class(folder: Path) -> None:
    for path in (folder / "labels").iterdir():
        Image.fromarray(np.resize(np.array([0, 255], np.uint8), (12, 16))).save(path)
    text = GOOD.replace("{0: ground, 1: cat, 2: void}", "{0: ground, 255: cat}")
    assert set(np.unique(open_dataset(describe(folder, text)).split("train").read(0).labels)) == {
        0,
        1,
    }


def test_sixteen_bit_mask(folder: Path) -> None:
    for path in (folder / "labels").iterdir():
        Image.fromarray(np.resize(np.array([0, 1000], np.uint16), (12, 16))).save(path)
    text = GOOD.replace("{0: ground, 1: cat, 2: void}", "{0: ground, 1000: cat}")
    assert set(np.unique(open_dataset(describe(folder, text)).split("train").read(0).labels)) == {
        0,
        1,
    }


LONG = "x" * 300
MANY = ", ".join(f"s{number}" for number in range(101))

BAD = [
    ("mask: labels/*.png", f"mask: labels/*.png\nroot: {LONG}", "names of files have up to 255"),
    ("mask: labels/*.png", "mask: labels/*.png\nroot: ~no-such-user/x", "root: no such folder"),
    ("image: photos/*.jpg", f"image: {'a/' * 60}*.jpg", "image: expected a path below root"),
    ("{train: 0.75, val: 0.25}", f"{{train: {LONG}}}", "splits.train (no path: names of files"),
    ("{train: 0.75, val: 0.25}", f"[{MANY}]", "splits: 101 splits; expected at most 100"),
    ("[ground, {name: cat, color: [1, 2, 3]}]", f"[ground, cat, {LONG}]", "class name of 300 char"),
    ("image: photos/*.jpg", "image: /etc/*", "image: expected a path below root, as photos/*.jpg"),
    ("image: photos/*.jpg", 'image: "photos/*\\0.jpg"', "image: expected a path below root"),
    ("image: photos/*.jpg", "image: photos/a.jpg", "image: expected exactly one"),
    ("image: photos/*.jpg", "image: '*/*.jpg'", "image: expected exactly one"),
    ("image: photos/*.jpg", "image: '**/a.jpg'", "image: expected exactly one"),
    ("image: photos/*.jpg", "image: '{name}/{name}.jpg'", "image: expected exactly one"),
    (
        "1: cat",
        "-1: ground, 1: cat",
        "masks.-1: expected a value of 0..65535 (below 0 for void only)",
    ),
    ("1: cat", "-3000000000: void, 1: cat", "masks.-3000000000: expected a value of 0..65535"),
    ("masks: {0", "drawn_on: sideways\nmasks: {0", "drawn_on: input should be 'upright' or"),
    ("image: photos/*.jpg", "image: pictures/*.jpg", "image: no file matches 'pictures/*.jpg'"),
    ("mask: labels/*.png", "mask: photos/*.jpg", "mask: the same as image"),
    ("mask: labels/*.png", "mask: 'labels/{split}/*.png'", "mask: {split} in the patterns"),
    ("mask: labels/*.png\n", "", "setting 'mask' is missing"),
    ("mask: labels/*.png", "mask: labels/*.png\nmsk: x", "unknown setting 'msk'; did you mean"),
    ("{train: 0.75, val: 0.25}", "{train: 0.75, val: 0.5}", "splits: the shares add up to 1.25"),
    ("{train: 0.75, val: 0.25}", "{train: 0.75, val: v.txt}", "cannot be mixed"),
    ("{train: 0.75, val: 0.25}", "{train: 0.75, val: 0}", "splits: val is 0; expected a list file"),
    ("{train: 0.75, val: 0.25}", "{train: true}", "splits: train is True"),
    ("{train: 0.75, val: 0.25}", "{train: t.txt}", "splits.train: no such list file"),
    ("{train: 0.75, val: 0.25}", "{}", "splits: expected list files"),
    ("{train: 0.75, val: 0.25}", "all", "splits: expected list files"),
    ("{train: 0.75, val: 0.25}", "[a, a]", "a is given twice"),
    ("{train: 0.75, val: 0.25}", "[1, 2]", "expected names, for example [train, val]"),
    ("{train: 0.75, val: 0.25}", "[train]", "image: {split} in the patterns"),
    ("[ground, {name: cat, color: [1, 2, 3]}]", "[]", "classes: "),
    ("[ground, {name: cat, color: [1, 2, 3]}]", "[ground, yes]", "classes.1: expected a name"),
    ("[ground, {name: cat, color: [1, 2, 3]}]", "[cat, ground, cat]", "class name used twice: cat"),
    (
        "[ground, {name: cat, color: [1, 2, 3]}]",
        "[ground, cat, dog]",
        "masks: no value stands for dog",
    ),
    ("[ground, {name: cat, color: [1, 2, 3]}]", "[ground, cat, void]", "'void' is no class"),
    ("color: [1, 2, 3]", "color: [1, 2, 333]", "classes.1.color.2: input should be less than"),
    ("color: [1, 2, 3]", "colour: [1, 2, 3]", "unknown setting 'classes.1.colour'; did you mean"),
    ("1: cat", "1: catt", "masks.1: no class 'catt'; did you mean 'cat'?"),
    ("1: cat", "1: no", "masks: 1 stands for False; expected a class name (in quotes)"),
    ("1: cat", "-1: cat", "masks.-1: expected a value of 0..65535"),
    ("1: cat", "1-3: cat", "masks.1-3: expected a value of 0..65535 (below 0 for void only) or a"),
    ("1: cat", "'1,2,3': cat", "masks: single values and colours cannot be mixed"),
    ("1: cat", "1: cat, 1: ground", "key '1' is given twice"),
    ("{0: ground, 1: cat, 2: void}", "colors", "ground has none"),
    ("{0: ground, 1: cat, 2: void}", "index", "masks: expected 'value: class' lines"),
    ("{0: ground, 1: cat, 2: void}", "{}", "masks: expected 'value: class' lines"),
    ("{0: ground, 1: cat, 2: void}", "{'1,2,3': cat, '#010203': ground}", "the same colour as"),
    ("{0: ground, 1: cat, 2: void}", "{[1, 2, 3]: cat}", "not valid YAML"),
    ("image: photos/*.jpg", "root: nowhere\nimage: photos/*.jpg", "root: no such folder"),
]


@pytest.mark.parametrize(("old", "new", "message"), BAD, ids=[case[1][:40] for case in BAD])
def test_mistakes_are_named(folder: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    file = describe(folder, GOOD.replace(old, new))
    with pytest.raises((SettingsError, NotFoundError, DataError)) as caught:
        open_dataset(file)
    assert str(caught.value).startswith(str(file))
    assert message in str(caught.value)


def test_over_255_classes_are_refused_shortly(folder: Path) -> None:
    names = [f"klass_{i}" for i in range(300)]
    text = GOOD.replace("[ground, {name: cat, color: [1, 2, 3]}]", str(names))
    with pytest.raises(SettingsError, match="classes: 300 of them; expected at most 255") as caught:
        open_dataset(describe(folder, text))
    assert "klass_7" not in str(caught.value)
    text = text.replace(str(names), str(names[:200]))
    with pytest.raises(SettingsError, match=r"stands for klass_0.* and 192 more") as caught:
        open_dataset(describe(folder, text.replace("0: ground, 1: cat, ", "")))
    assert "klass_20" not in str(caught.value)


def test_all_problems_at_once(folder: Path) -> None:
    text = GOOD.replace("0.75", "7").replace("color: [1, 2, 3]", "color: [1, 2]") + "x: 1\n"
    with pytest.raises(SettingsError) as caught:
        open_dataset(describe(folder, text))
    assert len(str(caught.value).splitlines()) == 3


def test_two_colors_alike_for_colors(folder: Path) -> None:
    text = GOOD.replace("[ground,", "[{name: ground, color: [1, 2, 3]},")
    text = text.replace("{0: ground, 1: cat, 2: void}", "colors")
    with pytest.raises(SettingsError, match="two classes share one"):
        open_dataset(describe(folder, text))


def test_partners(folder: Path) -> None:
    (folder / "photos" / "0.jpg").unlink()
    (folder / "labels" / "1.png").unlink()
    dataset = open_dataset(describe(folder, GOOD))
    assert [problem.path.name for problem in dataset.problems] == ["0.png"]
    split = next(s for s, pairs in dataset.splits.items() if "1" in [p.name for p in pairs])
    with pytest.raises(DataError, match=r"lacks .*labels/1\.png"):
        dataset.split(split)


def test_links_that_lead_nowhere_are_named(folder: Path) -> None:
    for name, target in (("0.jpg", "0.jpg"), ("1.jpg", "gone.jpg")):
        (folder / "photos" / name).unlink()
        (folder / "photos" / name).symlink_to(target)
    found = {
        problem.path.name: problem
        for problem in check(open_dataset(describe(folder, GOOD))).problems
    }
    assert {"0.jpg", "1.jpg"} <= found.keys()


@pytest.mark.parametrize(
    ("key", "color"),
    [
        ("1,2,3", (1, 2, 3)),
        (" (1, 2, 3) ", (1, 2, 3)),
        ("[255,0,0]", (255, 0, 0)),
        ("#ff8000", (255, 128, 0)),
        ("256,0,0", None),
        ("1,2", None),
        ("#ff", None),
        (7, None),
        ("red", None),
    ],
)
def test_parse_color(key: int | str, color: tuple[int, int, int] | None) -> None:
    assert parse_color(key) == color


def deep(folder: Path, values: list[int]) -> None:
    """The same photos with 16 bits, a value in each."""
    for number, value in enumerate(values):
        size = Image.open(folder / "photos" / f"{number}.jpg").size
        (folder / "photos" / f"{number}.jpg").unlink()
        Image.new("I;16", size, value).save(folder / "photos" / f"{number}.tif")


def test_one_range_for_all_photos(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    deep(folder, [700, 3000, *range(6)])
    file = describe(folder, GOOD.replace("*.jpg", "*.tif"))
    with caplog.at_level("INFO", "upscore"):
        dataset = open_dataset(file)
    assert dataset.photo_values.range == (0, 4095)
    assert "photos have 12 of 16 bits: values 0..4095 are taken as black to white; " in caplog.text
    assert "; 8-bit photos stay as they are" in caplog.text
    by_name = {}
    for split in map(dataset.split, ("train", "val")):
        by_name |= {split.pairs[i].name: split.read(i).image.max() for i in range(len(split))}
    assert (by_name["0"], by_name["1"], by_name["2"]) == (700 >> 4, 3000 >> 4, 0)


def test_range_and_bands_that_are_given(folder: Path) -> None:
    given = "\nrange: [-100, 3000.5]\nbands: [3, 2, 1]\n"
    dataset = open_dataset(describe(folder, GOOD + given))
    assert dataset.photo_values.range == (-100, 3000.5)
    assert dataset.photo_values.bands == (3, 2, 1)
    plain = open_dataset(describe(folder, GOOD))
    assert plain.photo_values.range is None
    photo, backwards = plain.split("val").read(0).image, dataset.split("val").read(0).image
    np.testing.assert_array_equal(backwards, photo[..., ::-1])
    assert dataset.fingerprint() != plain.fingerprint()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("range: [5, 5]", r"range: expected \[black, white\], the smaller first \(found \[5"),
        ("range: [0, .nan]", "range.1: input should be a finite number"),
        ("range: [1]", "range"),
        (
            "bands: [1, 2]",
            r"bands: expected three, for example \[3, 2, 1\], or one \(found \[1, 2\]\)",
        ),
        ("bands: [0, 1, 2]", "bands"),
    ],
)
def test_a_wrong_range_or_wrong_bands(folder: Path, line: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        open_dataset(describe(folder, f"{GOOD}\n{line}\n"))


def test_photos_of_any_suffix(folder: Path) -> None:
    """By their content where the pattern does not say a suffix."""
    for number, suffix in enumerate([".jfif", ".JPE", "", ".dat"]):
        photo = folder / "photos" / f"{number}.jpg"
        photo.rename(photo.with_suffix(suffix))
    (folder / "photos/notes.txt").write_text("no photo")
    dataset = open_dataset(describe(folder, GOOD.replace("*.jpg", "*")))
    assert sum(map(len, dataset.splits.values())) == 8
    assert not dataset.problems


# --- patterns -------------------------------------------------------------------------------------


def cityscapes(root: Path, write_pair) -> Path:
    """Two cities to train on and one to validate, with the same file names in each."""
    for split, city in (("train", "aachen"), ("train", "bochum"), ("val", "ulm")):
        for i in range(2):
            write_pair(
                root / "photos" / split / city / f"{i}_left.png",
                root / "fine" / split / city / f"{i}_labelIds.png",
                (0, 1, 2),
            )
    return root


@pytest.mark.parametrize("free", ["**", "*"])
def test_free_folders(tmp_path: Path, write_pair, free: str) -> None:
    describe(
        cityscapes(tmp_path, write_pair),
        f"image: 'photos/{{split}}/{free}/{{name}}_left.png'\n"
        f"mask: 'fine/{{split}}/{free}/{{name}}_labelIds.png'\nsplits: [train, val]\n"
        "classes: [ground, cat]\nmasks: {0: ground, 1: cat, 2: void}\n",
    )
    dataset = open_dataset(tmp_path)
    assert dataset.problems == ()
    assert [pair.name for pair in dataset.splits["train"]] == [
        "aachen/0",
        "aachen/1",
        "bochum/0",
        "bochum/1",
    ]
    assert [pair.name for pair in dataset.splits["val"]] == ["ulm/0", "ulm/1"]
    for pair in dataset.splits["train"]:
        assert pair.image.parent.name == pair.mask.parent.name == pair.name.split("/")[0]
    assert len(dataset.split("val").read(1).labels) == 12


LINES = {
    "names": "train/aachen/0\ntrain/bochum/1\n",
    "photos": "photos/train/aachen/0_left.png\nphotos/train/bochum/1_left.png\n",
    "photos and masks": "photos/train/aachen/0_left.png fine/train/aachen/0_labelIds.png\n"
    "photos/train/bochum/1_left.png fine/train/bochum/1_labelIds.png\n",
    "of elsewhere": "/data/photos/train/aachen/0_left.png\n/data/photos/train/bochum/1_left.png\n",
}


@pytest.mark.parametrize("lines", LINES.values(), ids=LINES)
def test_lists_of_names_with_folders(tmp_path: Path, write_pair, lines: str) -> None:
    (cityscapes(tmp_path, write_pair) / "t.txt").write_text(lines)
    describe(
        tmp_path,
        "image: photos/{name}_left.png\nmask: fine/{name}_labelIds.png\nsplits: {train: t.txt}\n"
        "classes: [ground, cat]\nmasks: {0: ground, 1: cat, 2: void}\n",
    )
    split = open_dataset(tmp_path).split("train")
    assert [pair.name for pair in split.pairs] == ["train/aachen/0", "train/bochum/1"]
    assert split.pairs[1].mask == tmp_path / "fine/train/bochum/1_labelIds.png"


def test_folders_that_only_the_photos_have(tmp_path: Path, write_pair) -> None:
    for day in ("monday", "tuesday"):
        write_pair(tmp_path / "p" / day / f"{day}.jpg", tmp_path / "m" / f"{day}.png", (0, 1))
    describe(
        tmp_path,
        "image: 'p/**/*.jpg'\nmask: m/*.png\nsplits: {train: 1.0}\nclasses: [a, b]\n"
        "masks: indices\n",
    )
    dataset = open_dataset(tmp_path)
    assert sorted(pair.name for pair in dataset.splits["train"]) == ["monday", "tuesday"]
    assert dataset.problems == ()
    assert dataset.split("train").read(0).name


@pytest.mark.parametrize(
    ("image", "mask", "mask_name"),
    [
        ("d/*.png", "d/*_mask.png", "{}_mask.png"),  # photo and mask are both *.png
        ("d/*", "d/*.png", "{}.png"),
        ("d/*.jpg", "d/*", "{}.png"),
        ("d/{name}_in.*", "d/{name}_out.*", "{}_out.png"),
    ],
)
def test_masks_beside_their_photos(
    tmp_path: Path, write_pair, image: str, mask: str, mask_name: str
) -> None:
    photo_name = {"d/*.png": "{}.png", "d/{name}_in.*": "{}_in.jpg"}.get(image, "{}.jpg")
    for name in "abc":
        write_pair(
            tmp_path / "d" / photo_name.format(name),
            tmp_path / "d" / mask_name.format(name),
            (0, 1),
        )
    describe(
        tmp_path,
        f"image: '{image}'\nmask: '{mask}'\nsplits: {{train: 1.0}}\nclasses: [a, b]\n"
        "masks: indices\n",
    )
    dataset = open_dataset(tmp_path)
    assert sorted(pair.name for pair in dataset.splits["train"]) == ["a", "b", "c"]
    assert dataset.problems == ()
    assert {pair.mask.name for pair in dataset.splits["train"]} == {
        mask_name.format(name) for name in "abc"
    }


def test_capital_and_small_letters_of_patterns(folder: Path) -> None:
    for name in "0123":
        (folder / "photos" / f"{name}.jpg").rename(folder / "photos" / f"{name}.JPG")
    for name in "34":
        (folder / "labels" / f"{name}.png").rename(folder / "labels" / f"{name}.Png")
    dataset = open_dataset(describe(folder, GOOD))
    assert dataset.problems == ()
    assert len(dataset.split("train")) + len(dataset.split("val")) == 8
    assert (folder / "photos" / "0.JPG") in {
        pair.image for pairs in dataset.splits.values() for pair in pairs
    }


def test_linked_folders_are_followed_and_circles_end(folder: Path) -> None:
    (folder / "photos").rename(folder / "real")
    (folder / "photos").mkdir()
    (folder / "photos" / "linked").symlink_to(folder / "real")
    (folder / "real" / "back").symlink_to(folder / "photos")
    text = GOOD.replace("photos/*.jpg", "photos/**/*.jpg")
    dataset = open_dataset(describe(folder, text))
    assert len(dataset.split("train")) + len(dataset.split("val")) == 8


def test_brackets_in_patterns_mean_themselves(tmp_path: Path, write_pair) -> None:
    write_pair(tmp_path / "p[1]" / "a+b.jpg", tmp_path / "m?" / "a+b.png", (0, 1))
    describe(
        tmp_path,
        "image: 'p[1]/*.jpg'\nmask: 'm?/*.png'\nsplits: {train: 1.0}\nclasses: [a, b]\n"
        "masks: indices\n",
    )
    assert [pair.name for pair in open_dataset(tmp_path).split("train").pairs] == ["a+b"]
