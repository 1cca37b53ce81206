"""The Semantic Boundaries Dataset, and its merge with VOC 2012 into ``trainaug``."""

from __future__ import annotations

from pathlib import Path

from upscore.core.labels import VOC_LABELS
from upscore.data.dataset import DataSet
from upscore.data.formats.voc import find_voc, open_voc, voc_lister
from upscore.data.masks import MaskTable
from upscore.data.pairing import Lister, count_problems, files_by_stem
from upscore.errors import DataError

COUNTS = {"train": 8498, "val": 2857}
TRAINAUG_COUNT = 10582
NESTS = ("", "dataset", "benchmark_RELEASE/dataset", "sbd/benchmark_RELEASE/dataset")


def find_sbd(path: Path) -> Path | None:
    """The folder with cls/ and img/ at ``path`` or where the archive has it below."""
    roots = (path / nest for nest in NESTS)
    return next((r for r in roots if (r / "cls").is_dir() and (r / "img").is_dir()), None)


def _lister(root: Path) -> Lister:
    return Lister.of_folders(root / "img", root / "cls", root=root, mask_suffix=".mat")


def open_sbd(root: Path, *, max_pixels: int) -> DataSet:
    """SBD alone: the folder with cls/, img/, train.txt and val.txt; every list is a split.

    Raises:
        DataError: no lists.
    """
    lister = _lister(root)
    splits = {path.stem: lister.listed(path) for path in sorted(root.glob("*.txt"))}
    if not splits:
        raise DataError(f"{root}: no train.txt and val.txt beside cls/; unpack SBD's archive again")
    problems = lister.problems
    released = {name: splits.get(name, ()) for name in COUNTS}
    if sum(map(len, released.values())) >= 5000:  # the release and not a part of it
        problems += count_problems(root, released, COUNTS)
    return DataSet(
        root=root,
        layout="sbd",
        labels=VOC_LABELS,
        splits=splits,
        table=MaskTable.indices(len(VOC_LABELS)),
        max_pixels=max_pixels,
        instances={n: p[0] for n, p in files_by_stem(root / "inst", suffixes=(".mat",)).items()},
        problems=tuple(problems),
    )


def find_voc_sbd(path: Path) -> Path | None:
    """``path`` where it holds a VOC devkit and SBD side by side."""
    return path if find_sbd(path) and find_voc(path) else None


def open_voc_sbd(root: Path, *, max_pixels: int) -> DataSet:
    """VOC's splits, and ``trainaug``: VOC train and all of SBD without VOC val.

    A name that VOC has a mask for uses VOC's (finer, with a void border), else SBD's.

    Raises:
        DataError: either of the two is broken.
    """
    voc_root, sbd_root = find_voc(root), find_sbd(root)
    if voc_root is None or sbd_root is None:
        raise DataError(f"{root}: expected a VOC devkit and SBD's benchmark_RELEASE in this folder")
    voc = open_voc(voc_root, max_pixels=max_pixels, beside_sbd=True)
    sbd = open_sbd(sbd_root, max_pixels=max_pixels)
    for name in ("train", "val"):
        if name not in voc.splits or name not in sbd.splits:
            where = voc_root if name not in voc.splits else sbd_root
            raise DataError(f"{where}: no list {name}.txt, which trainaug is made from")
    own = {name: {pair.name for pair in voc.splits[name]} for name in ("train", "val")}
    extra = {pair.name for name in ("train", "val") for pair in sbd.splits[name]}
    names = sorted((extra | own["train"]) - own["val"])
    lister, other = voc_lister(voc_root), _lister(sbd_root)
    merged = Lister(
        {**other.images, **lister.images},
        {**other.masks, **lister.masks},
        lister.image_template,
        lister.mask_template,
        root,
    )
    splits = {**voc.splits, "trainaug": merged.pairs(names, root)}
    problems = [*voc.problems, *sbd.problems]
    is_release = len(own["train"]) > 1000 and len(extra) > 10000
    if is_release:
        problems += count_problems(root, splits, {"trainaug": TRAINAUG_COUNT})
    return DataSet(
        root=root,
        layout="voc+sbd",
        labels=voc.labels,
        splits=splits,
        table=voc.table,
        max_pixels=max_pixels,
        instances={**sbd.instances, **voc.instances},
        problems=tuple(problems),
        guess=voc.guess,
    )
