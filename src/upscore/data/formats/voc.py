"""PASCAL VOC devkits, 2007 to 2012, and whatever is laid out like them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from upscore.core.labels import VOC_LABELS, VOID
from upscore.data.class_files import find_class_file
from upscore.data.dataset import DataSet
from upscore.data.drawn_splits import draw_train_and_val
from upscore.data.guess import Guess, ask
from upscore.data.mask_survey import disagreements, some_masks, survey
from upscore.data.masks import MaskTable
from upscore.data.pair import Pair
from upscore.data.pairing import (
    SPLIT_NAMES,
    SPLIT_WORDS,
    Lister,
    count_problems,
    files_by_stem,
)
from upscore.errors import DataError

VOC2012_COUNTS = {"train": 1464, "val": 1449, "trainval": 2913}
VOC_NAME = re.compile(r"20(0[5-9]|1[0-2])_\d{6}")
"""Photos of VOC 2008 to 2012."""
MASK_FOLDERS = ("SegmentationClass", "SegmentationClassPNG", "SegmentationClassAug")
NESTS = ("", "VOCdevkit", "TrainVal/VOCdevkit")  # VOC2011 unpacks into TrainVal/


def is_voc_root(folder: Path) -> bool:
    """Whether ``folder`` itself holds photos and masks in VOC's folders."""
    return (folder / "JPEGImages").is_dir() and any(
        (folder / name).is_dir() for name in MASK_FOLDERS
    )


def find_voc(path: Path) -> Path | None:
    """The folder with JPEGImages at ``path`` or where a devkit has it below.

    Raises:
        DataError: devkits of several years.
    """
    if is_voc_root(path):
        return path
    roots = sorted(
        root for nest in NESTS for root in (path / nest).glob("VOC20[0-9][0-9]")
        if is_voc_root(root)
    )  # fmt: skip
    if len(roots) > 1:
        raise DataError(
            f"{path}: holds several devkits ({', '.join(root.name for root in roots)}); name one, "
            f"for example {roots[-1]}"
        )
    return roots[0] if roots else None


def open_voc(
    root: Path, *, max_pixels: int, layout: str = "voc", beside_sbd: bool = False
) -> DataSet:
    """A VOC devkit folder (that with JPEGImages in it).

    Every list in ``ImageSets/Segmentation`` is a split; without lists a fifth of the photos that
    have a mask is drawn for ``val``. A name's mask is looked for in the folders of
    ``MASK_FOLDERS``, in their order. Class names come from ``classes.txt`` or another file of
    :mod:`upscore.data.class_files`. Without one they are VOC's 21, with 255 void, where names of
    photos and values of masks are VOC's.

    Args:
        beside_sbd: SBD lies beside, which has VOC's classes.

    Raises:
        DataError: no photo with a mask, a bad class file, or nothing says what the values mean.
    """
    lister = voc_lister(root)
    lists = _lists(root / "ImageSets" / "Segmentation")
    splits = {}
    for name, path in lists.items():
        pairs = lister.listed(path)
        if name == "test" and pairs and not any(pair.mask.exists() for pair in pairs):
            continue  # VOC keeps the test masks on its server
        splits[name] = pairs
    if not lists:
        splits = _drawn(root, lister)
    problems = lister.problems
    if root.name == "VOC2012" and len(splits.get("trainval", ())) > 2000:  # the release, not a part
        problems += count_problems(root, splits, VOC2012_COUNTS)
    guess = None
    if named := find_class_file(root):
        labels, table = named.labels, named.table
    else:
        labels, table = VOC_LABELS, MaskTable.indices(len(VOC_LABELS))
        guess = _guess_voc(root, splits, lists, max_pixels, is_voc=beside_sbd)
    return DataSet(
        root=root,
        layout=layout,
        labels=labels,
        splits=splits,
        table=table,
        max_pixels=max_pixels,
        instances={n: p[0] for n, p in files_by_stem(root / "SegmentationObject").items()},
        problems=tuple(problems),
        guess=guess,
    )


def _lists(folder: Path) -> dict[str, Path]:
    """The list files by split. Other tools' names of train, val and test are known."""
    found = {path.stem: path for path in sorted(folder.glob("*.txt"))}
    if found.keys() == {"default"}:  # CVAT has one list where a task has no subsets
        return {"train": found["default"]}
    lists: dict[str, Path] = {}
    for name, path in found.items():
        usual = SPLIT_WORDS.get(name.lower(), name.lower())
        lists[name if usual in found or usual not in SPLIT_NAMES else usual] = path
    return lists


def _drawn(root: Path, lister: Lister) -> dict[str, tuple[Pair, ...]]:
    """The photos that have a mask, as labelme writes VOC's folders: without lists."""
    names = [name for name in lister.images if name in lister.masks]
    if not names:
        raise DataError(
            f"{root}: no lists in ImageSets/Segmentation, and no photo of JPEGImages has a mask of "
            "its name; see docs/data.md for the layouts"
        )
    drawn = draw_train_and_val(names)
    lister.partnerless_masks()
    return {split: lister.pairs(members, root) for split, members in drawn.items()}


def _guess_voc(
    root: Path,
    splits: Mapping[str, tuple[Pair, ...]],
    lists: Mapping[str, Path],
    max_pixels: int,
    *,
    is_voc: bool,
) -> Guess | None:
    """What says that these are VOC's classes; None where no mask can be read.

    Raises:
        DataError: names of photos or values of masks are not VOC's.
    """
    pairs = [pair for members in splits.values() for pair in members]
    facts = survey(some_masks(splits.values()), max_pixels=max_pixels)
    if not facts:
        return None
    values = {value for one in facts for value in one.values} - {VOID}
    is_named = 2 * sum(bool(VOC_NAME.fullmatch(pair.name)) for pair in pairs) > len(pairs)
    if root.name == "VOC2007":  # whose names are numbers, as those of many other sets
        is_named = is_named or max(values, default=0) > 15
    are_classes = not any(one.is_color for one in facts) and max(values, default=0) <= 20
    are_classes = are_classes and values != {0}  # masks of 0 and 255
    if (is_voc or is_named) and are_classes:
        source = "VOC's layout and photo names, PASCAL VOC's 21 classes"
        return Guess.of(source, facts, VOC_LABELS, MaskTable.indices(len(VOC_LABELS)))
    for problem in disagreements(facts, root, None):
        raise DataError(problem.message)
    folder = next(name for name in MASK_FOLDERS if (root / name).is_dir())
    listed = ", ".join(
        f"{name}: {path.relative_to(root).as_posix()}" for name, path in lists.items()
    )
    description = (
        f"image: JPEGImages/*\nmask: {folder}/*\nsplits: {{{listed or 'train: 0.8, val: 0.2'}}}"
    )
    why = " (the layout is VOC's, but photo names or mask values are not)"
    raise DataError(ask(root, facts, description, why=why))


def voc_lister(root: Path) -> Lister:
    """Where the photos and masks of ``root`` are; VOC's own mask goes before the augmented one."""
    masks: dict[str, tuple[Path, ...]] = {}
    for folder in reversed(MASK_FOLDERS):
        masks.update(files_by_stem(root / folder))
    home = next((root / name for name in MASK_FOLDERS if (root / name).is_dir()), root)
    return Lister(
        files_by_stem(root / "JPEGImages"),
        masks,
        str(root / "JPEGImages" / "{name}.jpg"),
        str(home / "{name}.png"),
        root,
    )
