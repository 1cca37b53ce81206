"""Every layout on a miniature copy: found from its path, listed, read, and its mistakes."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from upscore.core.labels import CAMVID_LABELS, VOC_LABELS
from upscore.data import DataSet, open_dataset
from upscore.data.check import check
from upscore.data.drawn_splits import draw_splits
from upscore.data.formats.folder import MASKS, NESTS, PHOTOS
from upscore.data.masks import read_instances, read_stored_mask
from upscore.data.notices import tell_listing
from upscore.errors import DataError, NotFoundError


def names(dataset: DataSet, split: str) -> list[str]:
    return [pair.name for pair in dataset.splits[split]]


# --- finding --------------------------------------------------------------------------------------


def test_no_such_path(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such data set"):
        open_dataset(tmp_path / "nowhere")


def test_unknown_layout_lists_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path)
    for word in ("JPEGImages", "trainannot", "images/ and masks/", "dataset.yaml", "cls/"):
        assert word in str(caught.value)


def test_a_file_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="is a file"):
        open_dataset(tmp_path / "photo.jpg")


# --- VOC ------------------------------------------------------------------------------------------


def test_voc_at_every_depth(voc_root: Path) -> None:
    for path in (voc_root, voc_root.parent, voc_root.parent.parent):
        dataset = open_dataset(path)
        assert dataset.layout == "voc"
        assert dataset.root == voc_root
        assert names(dataset, "train") == ["a", "b"]
        assert names(dataset, "val") == ["c"]
        assert dataset.labels.names == ("ground", "cat", "dog")
        assert dataset.problems == ()


def test_voc2011_unpacks_one_deeper(voc_root: Path, tmp_path: Path) -> None:
    deep = tmp_path / "TrainVal" / "VOCdevkit"
    deep.mkdir(parents=True)
    voc_root.rename(deep / "VOC2011")
    assert open_dataset(tmp_path).root == deep / "VOC2011"


def test_voc_of_two_years_is_ambiguous(voc_root: Path) -> None:
    for folder in ("JPEGImages", "SegmentationClass"):
        (voc_root.parent / "VOC2007" / folder).mkdir(parents=True)
    with pytest.raises(DataError, match=r"several devkits \(VOC2007, VOC2012\); name one"):
        open_dataset(voc_root.parent)


def rename_as_voc(root: Path) -> None:
    """Photos, masks and lists of the miniature devkit get names as VOC's."""
    for path in [*(root / "JPEGImages").iterdir(), *(root / "SegmentationClass").iterdir()]:
        path.rename(path.with_stem(f"2007_00000{'abc'.index(path.stem)}"))
    for path in (root / "ImageSets" / "Segmentation").iterdir():
        listed = path.read_text().split()
        path.write_text("".join(f"2007_00000{'abc'.index(name)}\n" for name in listed))


def test_voc_without_classes_has_the_21_where_names_and_values_are_vocs(voc_root: Path) -> None:
    (voc_root / "classes.txt").unlink()
    rename_as_voc(voc_root)
    dataset = open_dataset(voc_root)
    assert dataset.labels == VOC_LABELS
    assert dataset.guess is not None
    assert [(row[0], row[2], row[4]) for row in dataset.guess.rows] == [
        (0, "background", 3),
        (1, "aeroplane", 3),
        (2, "bicycle", 3),
        (255, "void", 3),
    ]


def test_voc_layout_with_names_of_its_own_asks(voc_root: Path) -> None:
    (voc_root / "classes.txt").unlink()
    with pytest.raises(DataError, match="photo names or mask values are not") as caught:
        open_dataset(voc_root)
    (voc_root / "dataset.yaml").write_text(str(caught.value).split("count:\n")[1])
    dataset = open_dataset(voc_root)
    assert names(dataset, "train") == ["a", "b"]
    assert len(dataset.split("trainval").read(2).labels) == 12


def test_voc_names_with_values_above_vocs_ask(voc_root: Path) -> None:
    (voc_root / "classes.txt").unlink()
    rename_as_voc(voc_root)
    Image.new("L", (16, 12), 21).save(voc_root / "SegmentationClass" / "2007_000001.png")
    with pytest.raises(DataError, match="21: class_3"):
        open_dataset(voc_root)
    for path in (voc_root / "SegmentationClass").iterdir():
        Image.new("L", (16, 12), 255 if "1" in path.stem else 0).save(path)
    with pytest.raises(DataError, match="255: class_1"):
        open_dataset(voc_root)


def test_voc_without_lists_draws_from_the_photos_with_masks(voc_root: Path) -> None:
    """labelme writes VOC's folders so, and class_names.txt."""
    for path in (voc_root / "ImageSets" / "Segmentation").iterdir():
        path.unlink()
    (voc_root / "classes.txt").unlink()
    (voc_root / "class_names.txt").write_text("_background_\ncat\ndog\n")
    Image.new("RGB", (16, 12)).save(voc_root / "JPEGImages" / "unlabelled.jpg")
    dataset = open_dataset(voc_root)
    assert sorted(names(dataset, "train") + names(dataset, "val")) == ["a", "b", "c"]
    assert dataset.labels.names == ("background", "cat", "dog")
    assert dataset.problems == ()


def test_voc_own_mask_before_augmented(voc_root: Path) -> None:
    augmented = voc_root / "SegmentationClassAug"
    augmented.mkdir()
    for name in ("a", "d"):
        Image.new("L", (16, 12), 2).save(augmented / f"{name}.png")
    Image.new("RGB", (16, 12)).save(voc_root / "JPEGImages" / "d.jpg")
    (voc_root / "ImageSets" / "Segmentation" / "trainaug.txt").write_text("a\nb\nd\n")
    split = open_dataset(voc_root).split("trainaug")
    assert [pair.mask.parent.name for pair in split.pairs] == [
        "SegmentationClass",
        "SegmentationClass",
        "SegmentationClassAug",
    ]
    assert (split.read(2).labels == 2).all()


def test_voc_with_augmented_masks_alone(voc_root: Path) -> None:
    (voc_root / "SegmentationClass").rename(voc_root / "SegmentationClassAug")
    assert len(open_dataset(voc_root).split("train")) == 2


def test_voc_test_list_without_masks_is_left_out(voc_root: Path) -> None:
    lists = voc_root / "ImageSets" / "Segmentation"
    (lists / "test.txt").write_text("x\ny\n")
    assert "test" not in open_dataset(voc_root).splits
    (lists / "test.txt").write_text("x\na\n")
    assert names(open_dataset(voc_root), "test") == ["x", "a"]


def test_lists_may_come_from_windows(voc_root: Path) -> None:
    path = voc_root / "ImageSets" / "Segmentation" / "train.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb \r\n\r\n")
    assert names(open_dataset(voc_root), "train") == ["a", "b"]


def test_list_that_is_no_text(voc_root: Path) -> None:
    (voc_root / "ImageSets" / "Segmentation" / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"train.txt: not a UTF-8 text file"):
        open_dataset(voc_root)


def test_name_listed_twice_is_used_once(voc_root: Path) -> None:
    (voc_root / "ImageSets" / "Segmentation" / "train.txt").write_text("a\nb\na\n")
    dataset = open_dataset(voc_root)
    assert names(dataset, "train") == ["a", "b"]
    assert [problem.kind for problem in dataset.problems] == ["listed twice"]


def test_classes_file_with_a_name_twice(voc_root: Path) -> None:
    (voc_root / "classes.txt").write_text("cat\ncat\n")
    with pytest.raises(DataError, match=r"classes.txt: class name used twice: cat"):
        open_dataset(voc_root)


def test_non_ascii_names(voc_root: Path) -> None:
    for folder, suffix in (("JPEGImages", "jpg"), ("SegmentationClass", "png")):
        (voc_root / folder / f"a.{suffix}").rename(voc_root / folder / f"Straße 1.{suffix}")
    (voc_root / "ImageSets" / "Segmentation" / "train.txt").write_text(
        "Straße 1\n", encoding="utf-8"
    )
    assert open_dataset(voc_root).split("train").read(0).name == "Straße 1"


# --- SBD ------------------------------------------------------------------------------------------


@pytest.fixture
def sbd_root(tmp_path: Path) -> Path:
    root = tmp_path / "benchmark_RELEASE" / "dataset"
    for folder in ("img", "cls", "inst"):
        (root / folder).mkdir(parents=True)
    for number, name in enumerate(("a", "c", "e", "f")):
        Image.new("RGB", (16, 12)).save(root / "img" / f"{name}.jpg")
        mask = np.full((12, 16), number + 1, np.uint8)
        mask[:2] = 0
        savemat(
            root / "cls" / f"{name}.mat",
            {"GTcls": {"Segmentation": mask, "Boundaries": 0, "CategoriesPresent": [number + 1]}},
            do_compression=True,
        )
        savemat(
            root / "inst" / f"{name}.mat",
            {"GTinst": {"Segmentation": (mask > 0).astype(np.uint8), "Categories": [1]}},
        )
    (root / "train.txt").write_text("a\ne\n")
    (root / "val.txt").write_text("c\nf\n")
    return root


def test_sbd_alone(sbd_root: Path, tmp_path: Path) -> None:
    for path in (sbd_root, sbd_root.parent, tmp_path):
        dataset = open_dataset(path)
        assert dataset.layout == "sbd"
        assert dataset.labels == VOC_LABELS
        assert names(dataset, "train") == ["a", "e"]
    sample = dataset.split("train").read(1)
    assert set(np.unique(sample.labels)) == {0, 3}
    instances = dataset.instances["e"]
    assert read_instances(instances, sample.labels, max_pixels=10**6).max() == 1


def test_sbd_without_lists(sbd_root: Path) -> None:
    for path in sbd_root.glob("*.txt"):
        path.unlink()
    with pytest.raises(DataError, match=r"no train\.txt and val\.txt"):
        open_dataset(sbd_root)


def test_trainaug_is_the_union_without_voc_val(
    sbd_root: Path, voc_root: Path, tmp_path: Path
) -> None:
    (voc_root / "classes.txt").unlink()
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "voc+sbd"
    # SBD a, c, e, f and VOC a, b, without c, which VOC validates on
    assert names(dataset, "trainaug") == ["a", "b", "e", "f"]
    assert names(dataset, "val") == ["c"]
    masks = {pair.name: pair.mask for pair in dataset.splits["trainaug"]}
    assert masks["a"] == voc_root / "SegmentationClass" / "a.png"  # VOC's own is preferred
    assert masks["e"] == sbd_root / "cls" / "e.mat"
    split = dataset.split("trainaug")
    assert [split.read(i).name for i in range(len(split))] == ["a", "b", "e", "f"]


def test_trainaug_needs_both_lists(sbd_root: Path, voc_root: Path, tmp_path: Path) -> None:
    (sbd_root / "val.txt").unlink()
    assert voc_root.exists()
    with pytest.raises(DataError, match=r"no list val\.txt, which trainaug is made from"):
        open_dataset(tmp_path)


def test_damaged_mat(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    for content in (b"", b"not a matlab file" * 20, b"MATLAB 5.0 MAT-file" + bytes(200)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.mat: "):
            read_stored_mask(path)


def test_truncated_mat(sbd_root: Path) -> None:
    path = sbd_root / "cls" / "a.mat"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"a\.mat"):
        read_stored_mask(path)


def test_mat_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"x": 1})
    with pytest.raises(DataError, match=r"has no GTcls.Segmentation"):
        read_stored_mask(path)
    savemat(path, {"GTcls": {"Segmentation": np.zeros(3)}})
    with pytest.raises(DataError, match=r"expected \(H, W\) integers"):
        read_stored_mask(path)
    savemat(path, {"GTcls": {"Segmentation": np.zeros((30, 30), np.uint8)}})
    with pytest.raises(DataError, match="--max-pixels 900"):
        read_stored_mask(path, max_pixels=10)
    with pytest.raises(NotFoundError):
        read_stored_mask(tmp_path / "b.mat")


# --- CamVid ---------------------------------------------------------------------------------------


@pytest.fixture
def camvid_root(tmp_path: Path, write_pair) -> Path:
    root = tmp_path / "CamVid"
    for split, members in (("train", ("a", "b")), ("val", ("c",))):
        lines = []
        for name in members:
            write_pair(
                root / split / f"{name}.png", root / f"{split}annot" / f"{name}.png", (0, 10, 11)
            )
            lines.append(
                f"/SegNet/CamVid/{split}/{name}.png /SegNet/CamVid/{split}annot/{name}.png"
            )
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root


def test_camvid_lists_with_a_prefix_of_elsewhere(camvid_root: Path, tmp_path: Path) -> None:
    for path in (camvid_root, tmp_path):
        dataset = open_dataset(path)
        assert dataset.layout == "camvid"
        assert dataset.labels == CAMVID_LABELS
        assert names(dataset, "train") == ["a", "b"]
        assert names(dataset, "val") == ["c"]
    labels = dataset.split("train").read(0).labels
    assert set(np.unique(labels)) == {0, 10, 255}


def test_camvid_list_order_and_subset_count(camvid_root: Path) -> None:
    lines = (camvid_root / "train.txt").read_text().splitlines()
    (camvid_root / "train.txt").write_text("\n".join(reversed(lines)))
    assert names(open_dataset(camvid_root), "train") == ["b", "a"]
    (camvid_root / "train.txt").write_text(lines[1])
    assert names(open_dataset(camvid_root), "train") == ["b"]


def test_camvid_photos_may_have_become_jpeg(camvid_root: Path) -> None:
    png = camvid_root / "train" / "a.png"
    Image.open(png).save(png.with_suffix(".jpg"))
    png.unlink()
    dataset = open_dataset(camvid_root)
    assert dataset.splits["train"][0].image.name == "a.jpg"
    assert dataset.split("train").read(0).name == "a"


def test_camvid_without_lists(camvid_root: Path) -> None:
    for path in camvid_root.glob("*.txt"):
        path.unlink()
    (camvid_root / "classes.txt").write_text("\n".join(CAMVID_LABELS.names))
    dataset = open_dataset(camvid_root)
    assert names(dataset, "train") == ["a", "b"]
    assert dataset.labels == CAMVID_LABELS  # with CamVid's colours


def test_camvid_of_other_classes(camvid_root: Path) -> None:
    (camvid_root / "classes.txt").write_text("\n".join(f"k{i}" for i in range(10)))
    dataset = open_dataset(camvid_root)
    with pytest.raises(DataError, match=r"11 \("):  # 10 is void now, 11 unknown
        dataset.split("train").read(0)


def test_camvid_list_of_names(camvid_root: Path) -> None:
    (camvid_root / "train.txt").write_text("b\n")
    (pair,) = open_dataset(camvid_root).splits["train"]
    assert (pair.image.name, pair.mask.parent.name) == ("b.png", "trainannot")


# --- images/ and masks/ ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, write_pair) -> Path:
    for i in range(10):
        write_pair(
            tmp_path / "images" / f"{i}.jpg", tmp_path / "masks" / f"{i}.png", (0, 1, 3, 255)
        )
    return tmp_path


def test_folder_draws_its_splits_and_guesses_classes(folder: Path) -> None:
    dataset = open_dataset(folder)
    assert dataset.layout == "folder"
    assert dataset.labels.names == ("class_0", "class_1", "class_2", "class_3")
    assert (len(dataset.splits["train"]), len(dataset.splits["val"])) == (8, 2)
    assert names(dataset, "val") == names(open_dataset(folder), "val")
    assert not set(names(dataset, "train")) & set(names(dataset, "val"))
    assert set(np.unique(dataset.split("val").read(0).labels)) == {0, 1, 3, 255}


@pytest.mark.parametrize("kinds", [*itertools.product(PHOTOS, MASKS)])
@pytest.mark.parametrize("pattern", ["{kind}", *NESTS])
def test_folders_of_usual_names(
    tmp_path: Path,
    write_pair,
    caplog: pytest.LogCaptureFixture,
    kinds: tuple[str, str],
    pattern: str,
) -> None:
    caplog.set_level("INFO", "upscore")
    for split in ("train", "valid"):
        images, masks = (tmp_path / pattern.format(kind=kind, split=split) for kind in kinds)
        for i in range(2):
            write_pair(images / f"{split}{i}.jpg", masks / f"{split}{i}.png", (0, 1))
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "folder"
    assert sum(map(len, dataset.splits.values())) == 4
    told = f"photos are taken from {kinds[0]}/ and masks from {kinds[1]}/" in caplog.text
    assert told == (kinds != ("images", "masks"))
    masks = sorted(pair.mask for pairs in dataset.splits.values() for pair in pairs)
    for path in masks:  # so that the error has a dataset.yaml to fill in
        Image.fromarray(np.resize(np.array([0, 80, 160], np.uint8), (12, 16))).save(path)
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path)
    (tmp_path / "dataset.yaml").write_text(str(caught.value).split("count:\n")[1])
    described = open_dataset(tmp_path)
    assert sorted(pair.mask for pairs in described.splits.values() for pair in pairs) == masks


@pytest.mark.parametrize("name", ["0.txt", "all.json", "train/0.txt"])
def test_labels_that_are_no_pictures_are_no_masks(tmp_path: Path, write_pair, name: str) -> None:
    write_pair(tmp_path / "images" / "0.jpg", tmp_path / "labels" / "0.png", (0, 1))
    (tmp_path / "labels" / "0.png").unlink()
    (tmp_path / "labels" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "labels" / name).write_text("0 0.5 0.5 0.1 0.1")
    with pytest.raises(DataError, match="unknown folder layout"):
        open_dataset(tmp_path)


def test_images_and_masks_come_before_other_names(folder: Path, write_pair) -> None:
    write_pair(folder / "image" / "x.jpg", folder / "labels" / "x.png", (0, 1))
    assert len(open_dataset(folder).pairs("trainval")) == 10


def test_folder_with_classes_file_reads_no_mask(folder: Path) -> None:
    (folder / "classes.txt").write_text("a\nb\nc\nd\ne\n")
    (folder / "masks" / "3.png").write_bytes(b"")
    assert len(open_dataset(folder).labels) == 5


def test_folder_of_0_and_255(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        Image.fromarray(np.resize(np.array([0, 255], np.uint8), (12, 16))).save(path)
    dataset = open_dataset(folder)
    assert dataset.labels.names == ("background", "foreground")
    assert set(np.unique(dataset.split("train").read(0).labels)) == {0, 1}


def test_folder_of_one_bit_masks(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        Image.fromarray(np.resize(np.array([False, True]), (12, 16))).save(path)
    assert set(np.unique(open_dataset(folder).split("train").read(0).labels)) == {0, 1}


def test_folder_of_grey_levels_asks_with_a_ready_description(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        Image.fromarray(np.resize(np.array([0, 80, 160], np.uint8), (12, 16))).save(path)
    with pytest.raises(DataError) as caught:
        open_dataset(folder)
    pasted = str(caught.value).split("count:\n")[1]
    (folder / "dataset.yaml").write_text(pasted)
    dataset = open_dataset(folder)
    assert dataset.labels.names == ("class_0", "class_1", "class_2")
    assert set(np.unique(dataset.split("train").read(0).labels)) == {0, 1, 2}


def test_folder_of_colors_asks_with_a_ready_description(folder: Path) -> None:
    colors = np.array([(128, 0, 0), (0, 128, 0)], np.uint8)
    for path in (folder / "masks").iterdir():
        Image.fromarray(colors[np.resize([0, 1], (12, 16))]).save(path)
    with pytest.raises(DataError, match="2 different RGB colours") as caught:
        open_dataset(folder)
    (folder / "dataset.yaml").write_text(str(caught.value).split("count:\n")[1])
    assert set(np.unique(open_dataset(folder).split("train").read(0).labels)) == {0, 1}


def test_folder_of_colors_in_subfolders(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / kind / split).mkdir(parents=True)
            Image.new("RGB", (16, 12)).save(tmp_path / kind / split / "black.png")
        Image.new("RGB", (16, 12)).save(tmp_path / "images" / split / "red.png")
        Image.new("RGB", (16, 12), (200, 0, 0)).save(tmp_path / "masks" / split / "red.png")
    with pytest.raises(DataError, match="2 different RGB colours") as caught:
        open_dataset(tmp_path)
    (tmp_path / "dataset.yaml").write_text(str(caught.value).split("count:\n")[1])
    split = open_dataset(tmp_path).split("val")
    assert [pair.name for pair in split.pairs] == ["val-black", "val-red"]
    assert (split.read(0).labels == 0).all()
    assert (split.read(1).labels == 1).all()


def test_folder_of_jpeg_masks_says_so(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for path in (folder / "masks").iterdir():
        Image.fromarray(rng.integers(0, 256, (12, 16), np.uint8)).save(path)
    with pytest.raises(DataError, match="masks must be PNG, not JPEG"):
        open_dataset(folder)


def test_folder_of_one_value_asks(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        Image.new("L", (16, 12)).save(path)
    with pytest.raises(
        DataError, match="every pixel of all 10 masks is 0; expected masks that show two"
    ):
        open_dataset(folder)


def test_folder_of_unreadable_masks(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        path.write_bytes(b"x")
    with pytest.raises(
        DataError, match=r"none of the 10 photos has a mask that can be read: .*0\.png: is"
    ):
        open_dataset(folder)


def test_folder_of_masks_of_several_pages(folder: Path) -> None:
    pages = [Image.new("L", (4, 4), value) for value in (0, 255)]
    for path in (folder / "masks").iterdir():
        path.unlink()
        pages[0].save(path.with_suffix(".tif"), save_all=True, append_images=pages[1:])
    with pytest.raises(
        DataError,
        match=r"none of the 10 photos has a mask .*0\.tif: holds 2 pages, and a mask is one",
    ):
        open_dataset(folder)


def test_folder_without_photos(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="no photos"):
        open_dataset(folder)


def test_folder_with_lists(folder: Path) -> None:
    (folder / "train.txt").write_text("0\n1\n")
    (folder / "val.txt").write_text("2\n")
    dataset = open_dataset(folder)
    assert {split: names(dataset, split) for split in dataset.splits} == {
        "train": ["0", "1"],
        "val": ["2"],
    }


@pytest.mark.parametrize("pattern", ["{kind}/{split}", "{split}/{kind}"])
def test_folder_with_subfolders(tmp_path: Path, write_pair, pattern: str) -> None:
    for split in ("train", "val"):
        for i in range(2):
            write_pair(
                tmp_path / pattern.format(kind="images", split=split) / f"{i}.png",
                tmp_path / pattern.format(kind="masks", split=split) / f"{i}.png",
                (0, 1),
            )
    dataset = open_dataset(tmp_path)
    assert names(dataset, "train") == ["train-0", "train-1"]  # both folders use 0 and 1
    assert names(dataset, "val") == ["val-0", "val-1"]
    assert dataset.split("val").read(1).name == "val-1"


@pytest.mark.parametrize("pattern", ["{kind}/{split}", "{split}/{kind}"])
@pytest.mark.parametrize(
    "words", [("train", "valid"), ("training", "validation"), ("Train", "Val")]
)
def test_folder_with_subfolders_of_other_spellings(
    tmp_path: Path, write_pair, pattern: str, words: tuple[str, str]
) -> None:
    for word in words:
        write_pair(
            tmp_path / pattern.format(kind="images", split=word) / f"{word}.png",
            tmp_path / pattern.format(kind="masks", split=word) / f"{word}.png",
            (0, 1),
        )
    dataset = open_dataset(tmp_path)
    assert (names(dataset, "train"), names(dataset, "val")) == ([words[0]], [words[1]])
    assert not dataset.draws_validation


def test_folder_with_lists_of_other_spellings(folder: Path) -> None:
    (folder / "Train.txt").write_text("0\n1\n")
    (folder / "valid.txt").write_text("2\n")
    dataset = open_dataset(folder)
    assert (names(dataset, "train"), names(dataset, "val")) == (["0", "1"], ["2"])


def test_folder_with_folders_of_its_own_is_told_how_to_describe(folder: Path) -> None:
    (folder / "images").rename(folder / "town")
    (folder / "images").mkdir()
    (folder / "town").rename(folder / "images" / "town")
    with pytest.raises(DataError, match=r"but folders \(town\)\. Describe them .* image: "):
        open_dataset(folder)


def test_folder_partners(folder: Path) -> None:
    (folder / "images" / "0.jpg").unlink()
    (folder / "masks" / "1.png").unlink()
    (folder / "images" / ".hidden.jpg").write_bytes(b"")
    (folder / "images" / "readme.md").write_text("x")
    dataset = open_dataset(folder)
    assert [problem.path.name for problem in dataset.problems] == ["0.png"]
    listed = names(dataset, "train") + names(dataset, "val")
    assert sorted(listed) == [str(i) for i in range(2, 10)]
    assert [path.name for path in dataset.unlabelled] == ["1.jpg"]


def test_photos_without_masks_are_unlabelled_where_most_have_one(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("1", "2", "3", "4"):
        (folder / "masks" / f"{name}.png").unlink()
    dataset = open_dataset(folder)
    assert sorted(names(dataset, "train") + names(dataset, "val")) == list("056789")
    assert not [p for p in check(dataset).problems if p.kind == "missing partner"]
    caplog.set_level("INFO", "upscore")
    tell_listing(dataset)
    assert "4 of 10 photos have no mask and are not used (1.jpg, 2.jpg, 3.jpg and 1 more)" in (
        caplog.text
    )
    (folder / "masks" / "5.png").unlink()  # half of them: the masks may be called otherwise
    dataset = open_dataset(folder)
    assert not dataset.unlabelled
    assert len([p for p in check(dataset).problems if p.kind == "missing partner"]) == 5


def test_photos_without_masks_that_a_list_names_are_a_problem(folder: Path) -> None:
    (folder / "masks" / "1.png").unlink()
    (folder / "train.txt").write_text("0\n1\n2\n")
    (folder / "val.txt").write_text("3\n")
    dataset = open_dataset(folder)
    assert not dataset.unlabelled
    assert "missing partner" in [problem.kind for problem in check(dataset).problems]


def test_draw_does_not_depend_on_order_and_covers_all() -> None:
    everyone = [f"n{i}" for i in range(50)]
    drawn = draw_splits(everyone, {"train": 0.7, "val": 0.2, "test": 0.1}, seed=0)
    assert list(drawn) == ["train", "val", "test"]
    assert {split: len(members) for split, members in drawn.items()} == {
        "train": 35,
        "val": 10,
        "test": 5,
    }
    assert sorted(name for members in drawn.values() for name in members) == sorted(everyone)
    assert drawn == draw_splits(everyone[::-1], {"train": 0.7, "val": 0.2, "test": 0.1}, seed=0)
    assert drawn != draw_splits(everyone, {"train": 0.7, "val": 0.2, "test": 0.1}, seed=1)


def test_draw_gives_small_splits_a_name_and_may_leave_some_out() -> None:
    drawn = draw_splits(["a", "b", "c"], {"train": 0.9, "val": 0.1}, seed=0)
    assert {split: len(members) for split, members in drawn.items()} == {"train": 2, "val": 1}
    half = draw_splits([str(i) for i in range(10)], {"train": 0.4, "val": 0.1}, seed=0)
    assert {split: len(members) for split, members in half.items()} == {"train": 4, "val": 1}


def test_no_caller_can_forget_the_limit_of_instance_masks(tmp_path: Path) -> None:
    """A default limit refused masks of data sets that had been opened with a higher one."""
    path = tmp_path / "a.png"
    Image.new("L", (6, 5), 1).save(path)
    labels = np.zeros((5, 6), np.uint8)
    with pytest.raises(TypeError, match="max_pixels"):
        read_instances(path, labels)  # type: ignore[call-arg]
    assert read_instances(path, labels, max_pixels=30).max() == 1
    with pytest.raises(DataError, match="--max-pixels 30"):
        read_instances(path, labels, max_pixels=29)
