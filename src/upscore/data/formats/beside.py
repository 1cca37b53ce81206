"""Masks beside their photos, NAME.jpg and NAME_mask.png, as Roboflow exports them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from upscore.data.class_files import find_class_file
from upscore.data.dataset import DataSet
from upscore.data.drawn_splits import draw_train_and_val
from upscore.data.guess import guess_classes
from upscore.data.mask_survey import survey
from upscore.data.pair import Pair
from upscore.data.pairing import Lister, files_by_stem, usual_splits, with_unique_names
from upscore.data.problem import Problem
from upscore.errors import DataError

ENDING = "_mask"


def find_beside(path: Path) -> Path | None:
    """``path`` where it, or a folder for a split in it, holds photos and masks side by side."""
    if not path.is_dir():
        return None
    return path if any(map(_is_beside, (path, *_split_folders(path).values()))) else None


def open_beside(root: Path, *, max_pixels: int) -> DataSet:
    """Photos ``NAME.jpg`` with masks ``NAME_mask.png``.

    Splits are folders (train, valid, test; other spellings are known), else a fifth of the names is
    drawn for val. Classes: Roboflow's ``_classes.csv`` or another file of
    :mod:`upscore.data.class_files`, in ``root`` or in the folders; else they are guessed from the
    masks.

    Raises:
        DataError: the meaning of the mask values is not given.
    """
    folders = _split_folders(root)
    problems: list[Problem] = []
    if any(map(_is_beside, folders.values())):
        listers = {split: _lister(folder, root) for split, folder in folders.items()}
        splits = {split: one.all_pairs() for split, one in listers.items()}
        problems += [problem for one in listers.values() for problem in one.problems]
        splits = with_unique_names(splits)
    else:
        folders = {}
        lister = _lister(root, root)
        drawn = draw_train_and_val(list(lister.images))
        splits = {split: lister.pairs(names, root) for split, names in drawn.items()}
        lister.partnerless_masks()
        problems += lister.problems
    guess = None
    if named := find_class_file(root, *(folder.name for folder in folders.values())):
        labels, table = named.labels, named.table
    else:
        masks = [pair.mask for members in splits.values() for pair in members]
        facts = survey(masks, max_pixels=max_pixels)
        if not facts:
            raise DataError(f"{root}: no mask can be read; the first is {masks[0]}")
        labels, table, guess = guess_classes(root, facts, _description(folders, splits))
    return DataSet(
        root=root,
        layout="beside",
        labels=labels,
        splits=splits,
        table=table,
        max_pixels=max_pixels,
        problems=tuple(problems),
        guess=guess,
    )


def _split_folders(root: Path) -> dict[str, Path]:
    """Folders in ``root`` with the name of a split."""
    names = usual_splits(path.name for path in root.glob("*") if path.is_dir())
    return {split: root / name for split, name in names.items()}


def _is_beside(folder: Path) -> bool:
    """Whether a folder holds some NAME_mask beside NAME."""
    stems = {path.stem for path in folder.glob("*")}
    return any(_is_mask(stem) and stem[: -len(ENDING)] in stems for stem in stems)


def _is_mask(stem: str) -> bool:
    return stem.lower().endswith(ENDING)


def _lister(folder: Path, root: Path) -> Lister:
    files = files_by_stem(folder)
    masks = {stem[: -len(ENDING)]: paths for stem, paths in files.items() if _is_mask(stem)}
    images = {stem: paths for stem, paths in files.items() if not _is_mask(stem)}
    photo = folder / "{name}.jpg"
    return Lister(images, masks, str(photo), str(photo.with_name(f"{{name}}{ENDING}.png")), root)


def _description(folders: Mapping[str, Path], splits: Mapping[str, tuple[Pair, ...]]) -> str:
    """The lines of a dataset.yaml that say where the files are and which split they are in."""
    names = ", ".join(folder.name for split, folder in folders.items() if splits[split])
    below = "{split}/" if folders else ""
    given = f"[{names}]" if folders else "{train: 0.8, val: 0.2}"
    return f"image: '{below}{{name}}.*'\nmask: '{below}{{name}}{ENDING}.*'\nsplits: {given}"
