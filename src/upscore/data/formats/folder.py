"""A plain folder: images/ and masks/, with or without lists, subfolders and class names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from upscore.core.images import read_mask
from upscore.core.labels import VOID, Labels
from upscore.core.parallel.prefetch import prefetch
from upscore.core.parallel.processes import num_cores
from upscore.data.dataset import DataSet, Pair
from upscore.data.drawn_splits import VAL_SHARE, draw_splits
from upscore.data.formats.yaml_dataset import FILE
from upscore.data.masks import MaskTable, pack_colors
from upscore.data.pairing import (
    SPLIT_NAMES,
    Lister,
    read_classes,
    read_lines,
    with_unique_names,
)
from upscore.data.problem import Problem
from upscore.errors import DataError

NESTS = ("{kind}/{split}", "{split}/{kind}")  # images/train or train/images
MAX_GUESSED = 32
"""Masks with more different values than this hold no class numbers that could be guessed."""


def find_folder(path: Path) -> Path | None:
    """``path`` where it holds images/ and masks/, or train/images and train/masks."""
    if (path / "images").is_dir() and (path / "masks").is_dir():
        return path
    train = path / "train"
    return path if (train / "images").is_dir() and (train / "masks").is_dir() else None


def open_folder(root: Path, *, max_pixels: int) -> DataSet:
    """images/ and masks/ with equal names.

    Splits, the first of these that is there: images/train/ and masks/train/ (val, test likewise);
    train/images/ and train/masks/; train.txt and val.txt next to images/; else a fifth of the names
    is drawn for val, always the same names.

    Classes: classes.txt with one name a line, value i being line i and 255 void. Without it every
    mask is read once and the classes are ``class_0``, ``class_1`` ... up to the largest value, or
    ``background`` and ``foreground`` for masks of 0 and 255.

    Raises:
        DataError: the meaning of the mask values is not given; the message ends in a
            dataset.yaml to fill in.
    """
    problems: list[Problem] = []
    splits = _splits(root, problems)
    if not any(splits.values()):
        raise DataError(f"{root}: no photos in images/; see docs/data.md for the layouts")
    classes = root / "classes.txt"
    if classes.exists():
        labels = read_classes(classes)
        table = MaskTable.indices(len(labels))
    else:
        pairs = [pair for members in splits.values() for pair in members]
        labels, table = _guess_classes(root, pairs, max_pixels)
    return DataSet(
        root=root,
        layout="folder",
        labels=labels,
        splits=splits,
        table=table,
        max_pixels=max_pixels,
        problems=tuple(problems),
    )


def _splits(root: Path, problems: list[Problem]) -> dict[str, tuple[Pair, ...]]:
    for pattern in NESTS:
        homes = {
            split: (
                root / pattern.format(kind="images", split=split),
                root / pattern.format(kind="masks", split=split),
            )
            for split in SPLIT_NAMES
        }
        present = {split: both for split, both in homes.items() if both[0].is_dir()}
        if present:
            listers = {split: Lister.of_folders(*both) for split, both in present.items()}
            splits = {split: lister.all_pairs() for split, lister in listers.items()}
            problems += [problem for one in listers.values() for problem in one.problems]
            return with_unique_names(splits)
    lister = Lister.of_folders(root / "images", root / "masks")
    lists = {split: root / f"{split}.txt" for split in SPLIT_NAMES}
    lists = {split: path for split, path in lists.items() if path.is_file()}
    if lists:
        splits = {split: lister.pairs(read_lines(path), path) for split, path in lists.items()}
    else:
        shares = {"train": 1 - VAL_SHARE, "val": VAL_SHARE}
        if len(lister.images) == 1:  # two splits want two photos
            shares = {"train": 1.0}
        drawn = draw_splits(list(lister.images), shares, seed=0)
        splits = {split: lister.pairs(names, root) for split, names in drawn.items()}
        lister.partnerless_masks()
    problems += lister.problems
    return splits


def _guess_classes(root: Path, pairs: list[Pair], max_pixels: int) -> tuple[Labels, MaskTable]:
    """Labels and table from the values that all masks hold; refuses what could mean two things."""
    values: set[int] = set()
    for found in _all_values((pair.mask for pair in pairs), max_pixels):
        values.update(found)
    if values and max(values) >= COLOR_BIT:
        # a mask with nothing but black in it reads as grey; among colours it is one of them
        values = {v if v >= COLOR_BIT else COLOR_BIT | v << 16 | v << 8 | v for v in values}
        raise DataError(_ask(root, sorted(values), "RGB colours"))
    if values == {0, 255}:
        return Labels.of(("background", "foreground")), MaskTable(values={0: 0, 255: 1})
    indices = sorted(values - {VOID})
    largest = indices[-1] if indices else 0
    # class numbers start at 0 and leave few gaps; grey levels that stand for classes do not
    if not (0 < largest < MAX_GUESSED and 2 * len(indices) >= largest + 1):
        raise DataError(_ask(root, sorted(values), "values"))
    return (
        Labels.of(f"class_{index}" for index in range(largest + 1)),
        MaskTable.indices(largest + 1),
    )


COLOR_BIT = 1 << 24
"""Marks a packed colour, in contrast to a single value."""


def _all_values(masks: Iterable[Path], max_pixels: int) -> Iterable[list[int]]:
    """The distinct values of each mask; packed colours with ``COLOR_BIT``. A mask that cannot be
    read has none (`data check` reports it)."""

    def values(path: Path) -> list[int]:
        try:
            raw = read_mask(path, max_pixels=max_pixels)
        except (DataError, FileNotFoundError):
            return []
        if raw.ndim == 3:
            if bool((raw == raw[..., :1]).all()):
                raw = raw[..., 0]
            else:
                return [int(code) | COLOR_BIT for code in np.unique(pack_colors(raw))[:256]]
        if raw.dtype == np.uint8:
            return np.flatnonzero(np.bincount(raw.ravel(), minlength=256)).tolist()
        return [int(v) for v in np.unique(raw)[:256]]

    return prefetch(values, masks, workers=num_cores())


def _patterns(root: Path) -> str:
    """The lines of a dataset.yaml that say where the files are and which split they are in."""
    for pattern in NESTS:
        present = [
            s for s in SPLIT_NAMES if (root / pattern.format(kind="images", split=s)).is_dir()
        ]
        if present:
            image, mask = (
                pattern.format(kind=kind, split="{split}") + "/*" for kind in ("images", "masks")
            )
            return f"image: '{image}'\nmask: '{mask}'\nsplits: [{', '.join(present)}]"
    return "image: images/*\nmask: masks/*\nsplits: {train: 0.8, val: 0.2}"


def _ask(root: Path, values: list[int], what: str) -> str:
    """An error that ends in a dataset.yaml to fill in."""
    if not values:
        return f"{root}: no mask could be read; `upscore data check {root}` says why"
    keys = [
        f'"{value >> 16 & 255},{value >> 8 & 255},{value & 255}"'
        if value & COLOR_BIT
        else str(value)
        for value in values[:MAX_GUESSED]
    ]
    blurred = (
        " So many come from lossy files: masks must be PNG, not JPEG."
        if len(values) > MAX_GUESSED
        else ""
    )
    classes = ", ".join(f"class_{i}" for i in range(len(keys)))
    table = "\n".join(f"  {key}: class_{i}" for i, key in enumerate(keys))
    return (
        f"{root}: the masks hold {len(values)} different {what}, whose classes are not "
        f"known.{blurred} Add classes.txt where value i is line i, or save this as "
        f"{root / FILE}, with names of your own and void for what does not count:\n"
        f"{_patterns(root)}\n"
        f"classes: [{classes}]\n"
        f"masks:\n{table}"
    )
