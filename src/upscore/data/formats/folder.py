"""A plain folder: images/ and masks/, by this or another usual name, with or without lists."""

from __future__ import annotations

import logging
from itertools import chain, product
from pathlib import Path
from typing import NamedTuple

from upscore.core.files import exists
from upscore.core.image_files import is_image
from upscore.core.quoting import join
from upscore.data.class_files import find_class_file
from upscore.data.dataset import DataSet
from upscore.data.drawn_splits import draw_train_and_val
from upscore.data.guess import guess_classes
from upscore.data.mask_survey import survey
from upscore.data.masks import read_stored_mask
from upscore.data.pair import Pair
from upscore.data.pairing import Lister, of_another_kind, usual_splits, with_unique_names
from upscore.data.problem import Problem
from upscore.errors import DataError, NotFoundError

logger = logging.getLogger(__name__)

NESTS = ("{kind}/{split}", "{split}/{kind}")  # images/train or train/images
PHOTOS = ("images", "image", "imgs", "img")
MASKS = ("masks", "mask", "labels", "label", "annotations")


class Kinds(NamedTuple):
    """The names of the folders of photos and of masks."""

    images: str = PHOTOS[0]
    masks: str = MASKS[0]


def find_folder(path: Path) -> Path | None:
    """``path`` where it holds images/ and masks/, or train/images and train/masks."""
    return path if _kinds(path) else None


def _kinds(root: Path) -> Kinds | None:
    """The first of the known names that ``root``, or its folder of the split train, has."""
    train = usual_splits(path.name for path in root.glob("*") if path.is_dir()).get("train")
    for folder in (root, *([root / train] if train else [])):
        for kinds in map(Kinds._make, product(PHOTOS, MASKS)):
            images, masks = (folder / name for name in kinds)
            if images.is_dir() and masks.is_dir() and (kinds == Kinds() or _has_pictures(masks)):
                return kinds
    return None


def _has_pictures(folder: Path) -> bool:
    """Whether a folder has masks, in folders of splits or not; labels/ may hold text or JSON."""
    return any(map(is_image, chain(folder.glob("*"), folder.glob("*/*"))))


def _folders(root: Path, pattern: str, kinds: Kinds) -> dict[str, str]:
    """Names of the folders of photos of a pattern of ``NESTS``, by split."""
    found = root.glob(pattern.format(kind=kinds.images, split="*"))
    parts = ((path.relative_to(root).parts, path) for path in found)
    place = pattern.split("/").index("{split}")
    return usual_splits(names[place] for names, path in parts if path.is_dir())


def open_folder(root: Path, *, max_pixels: int) -> DataSet:
    """images/ and masks/ with equal names; other usual names of the two folders are told.

    Splits, the first of these that is there: images/train/ and masks/train/ (val, test likewise);
    train/images/ and train/masks/; train.txt and val.txt next to images/; else a fifth of the names
    is drawn for val, always the same names.

    Classes: classes.txt with one name a line, value i being line i and 255 void, or another file of
    :mod:`upscore.data.class_files`. Without it every mask is read once and the classes are
    ``class_0``, ``class_1`` ... up to the largest value, or ``background`` and ``foreground`` for
    masks of 0 and 1 or of 0 and 255. Photos without a mask are unlabelled, where most have one.

    Raises:
        DataError: the meaning of the mask values is not given; the message ends in a
            dataset.yaml to fill in.
    """
    problems: list[Problem] = []
    unlabelled: list[Path] = []
    kinds = _kinds(root) or Kinds()
    if kinds != Kinds():
        logger.info("%s: photos are taken from %s/ and masks from %s/", root, *kinds)
    splits = _splits(root, kinds, problems, unlabelled)
    if not any(splits.values()):
        folders = sorted(path.name for path in (root / kinds.images).glob("*/"))
        hint = ""
        if folders:
            hint = (
                f", but folders ({join(folders)}). Describe them in a dataset.yaml, as image: "
                f"'{kinds.images}/**/{{name}}.jpg' and mask: '{kinds.masks}/**/{{name}}.png'"
            )
        raise DataError(
            f"{root}: no photos in {kinds.images}/{hint}; see docs/data.md for the layouts"
        )
    guess = None
    if named := find_class_file(root):
        labels, table = named.labels, named.table
    else:
        masks = [pair.mask for members in splits.values() for pair in members]
        facts = survey(masks, max_pixels=max_pixels)
        if not facts:
            raise DataError(_why_none(root / kinds.masks, masks, problems, max_pixels))
        labels, table, guess = guess_classes(root, facts, _patterns(root, kinds))
    return DataSet(
        root=root,
        layout="folder",
        labels=labels,
        splits=splits,
        table=table,
        max_pixels=max_pixels,
        problems=tuple(problems),
        guess=guess,
        unlabelled=tuple(unlabelled),
    )


def _splits(
    root: Path, kinds: Kinds, problems: list[Problem], unlabelled: list[Path]
) -> dict[str, tuple[Pair, ...]]:
    for pattern in NESTS:
        if present := _folders(root, pattern, kinds):
            listers = {
                split: Lister.of_folders(
                    root / pattern.format(kind=kinds.images, split=folder),
                    root / pattern.format(kind=kinds.masks, split=folder),
                    root=root,
                )
                for split, folder in present.items()
            }
            splits = {split: lister.all_pairs() for split, lister in listers.items()}
            problems += [problem for one in listers.values() for problem in one.problems]
            unlabelled += [path for one in listers.values() for path in one.unlabelled]
            return with_unique_names(splits)
    lister = Lister.of_folders(root / kinds.images, root / kinds.masks, root=root)
    texts = usual_splits(path.stem for path in root.glob("*.txt"))
    lists = {split: root / f"{name}.txt" for split, name in texts.items()}
    if lists:
        splits = {split: lister.listed(path) for split, path in lists.items()}
    else:
        drawn = draw_train_and_val(lister.labelled())
        splits = {split: lister.pairs(names, root) for split, names in drawn.items()}
        lister.partnerless_masks()
    problems += lister.problems
    unlabelled += lister.unlabelled
    return splits


def _why_none(folder: Path, masks: list[Path], problems: list[Problem], max_pixels: int) -> str:
    """The message where no photo has a mask that can be read."""
    for problem in problems:
        if problem.kind == "names differ":
            return problem.message
    folders = sorted(path for path in folder.glob("*") if path.is_dir())
    if folders and not masks[0].exists():
        names = join([path.name for path in folders])
        return (
            f"{folder}: no masks in it, but folders ({names}). One folder a class looks "
            "like one mask a class: write one mask for each photo, with a value for each class. "
            "Other folders can be described in a dataset.yaml (see docs/data.md)"
        )
    alone = [problem.path.name for problem in problems if problem.kind == "missing partner"]
    if alone and not any(exists(mask) for mask in masks):
        return (
            f"{folder.parent}: none of the {len(masks)} photos has a mask of its name: "
            f"{masks[0].name} is not there, and {alone[0]} is. Name each mask as its photo, "
            "or describe both names in a dataset.yaml (see docs/data.md)"
        )
    try:
        read_stored_mask(masks[0], max_pixels=max_pixels)
    except NotFoundError:
        first = f"{masks[0]} is not there{of_another_kind(masks[0])}"
    except DataError as error:
        first = str(error)
    return f"{folder.parent}: none of the {len(masks)} photos has a mask that can be read: {first}"


def _patterns(root: Path, kinds: Kinds) -> str:
    """The lines of a dataset.yaml that say where the files are and which split they are in."""
    for pattern in NESTS:
        if present := _folders(root, pattern, kinds):
            image, mask = (pattern.format(kind=kind, split="{split}") + "/*" for kind in kinds)
            return f"image: '{image}'\nmask: '{mask}'\nsplits: [{', '.join(present.values())}]"
    return f"image: {kinds.images}/*\nmask: {kinds.masks}/*\nsplits: {{train: 0.8, val: 0.2}}"
