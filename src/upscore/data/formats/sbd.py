"""The Semantic Boundaries Dataset, and its merge with VOC 2012 into ``trainaug``."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from upscore.core.images import MAX_PIXELS
from upscore.core.labels import VOC_LABELS
from upscore.data.dataset import DataSet, MaskTable, Pair
from upscore.data.formats.voc import find_voc, open_voc, voc_lister
from upscore.data.pairing import Lister, count_problem, files_by_stem, read_lines
from upscore.data.problem import Problem
from upscore.errors import DataError, NotFoundError

COUNTS = {"train": 8498, "val": 2857}
TRAINAUG_COUNT = 10582
NESTS = ("", "dataset", "benchmark_RELEASE/dataset", "sbd/benchmark_RELEASE/dataset")


def read_sbd_mask(path: Path, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """The class mask (H, W) uint8 of a ``cls/*.mat`` file: ``GTcls.Segmentation``, 0..20.

    Raises:
        NotFoundError: no such file.
        DataError: damaged, not a MATLAB file, without that field, or too large.
    """
    return _read_mat(path, "GTcls", max_pixels)


def read_sbd_instances(path: Path, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """The instance mask (H, W) uint8 of an ``inst/*.mat`` file: 0 ground, 1..n objects.

    Raises:
        NotFoundError: no such file.
        DataError: damaged, not a MATLAB file, without that field, or too large.
    """
    return _read_mat(path, "GTinst", max_pixels)


def _read_mat(path: Path, struct: str, max_pixels: int) -> npt.NDArray[np.uint8]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not path.exists():
        raise NotFoundError(f"{path}: no such file")
    try:
        content = loadmat(str(path), variable_names=[struct], squeeze_me=True)
    except (MatReadError, ValueError, TypeError, OSError, NotImplementedError, zlib.error) as error:
        raise DataError(
            f"{path}: is not a MATLAB file that can be read ({error}); replace or remove it"
        ) from error
    try:
        mask = np.asarray(content[struct]["Segmentation"].item())
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: has no {struct}.Segmentation; is it a file of SBD?") from error
    if mask.ndim != 2 or not np.issubdtype(mask.dtype, np.integer):
        raise DataError(
            f"{path}: {struct}.Segmentation is {mask.dtype} of shape {mask.shape}, want (H, W) "
            "integers"
        )
    if mask.size > max_pixels:
        raise DataError(
            f"{path}: {mask.shape[1]}x{mask.shape[0]} is over the limit of {max_pixels} pixels; "
            f"raise it with --max-pixels {mask.size}"
        )
    return mask.astype(np.uint8)


def find_sbd(path: Path) -> Path | None:
    """The folder with cls/ and img/ at ``path`` or where the archive has it below."""
    for nest in NESTS:
        root = path / nest
        if (root / "cls").is_dir() and (root / "img").is_dir():
            return root
    return None


def _lister(root: Path) -> Lister:
    return Lister(
        files_by_stem(root / "img"),
        files_by_stem(root / "cls", suffixes=(".mat",)),
        str(root / "img" / "{name}.jpg"),
        str(root / "cls" / "{name}.mat"),
    )


def open_sbd(root: Path, *, max_pixels: int = MAX_PIXELS) -> DataSet:
    """SBD alone: the folder with cls/, img/, train.txt and val.txt; every list is a split.

    Raises:
        DataError: no lists.
    """
    lister = _lister(root)
    splits = {
        path.stem: lister.pairs(read_lines(path), path) for path in sorted(root.glob("*.txt"))
    }
    if not splits:
        raise DataError(f"{root}: no train.txt and val.txt beside cls/; unpack SBD's archive again")
    return DataSet(
        root=root,
        layout="sbd",
        labels=VOC_LABELS,
        splits=splits,
        table=MaskTable.indices(len(VOC_LABELS)),
        max_pixels=max_pixels,
        instances={n: p[0] for n, p in files_by_stem(root / "inst", suffixes=(".mat",)).items()},
        problems=(*lister.problems, *_count_problems(root, splits)),
    )


def find_voc_sbd(path: Path) -> Path | None:
    """``path`` where it holds a VOC devkit and SBD side by side."""
    return path if find_sbd(path) and find_voc(path) else None


def open_voc_sbd(root: Path, *, max_pixels: int = MAX_PIXELS) -> DataSet:
    """VOC's splits, and ``trainaug``: VOC train and all of SBD without VOC val.

    A name that VOC has a mask for uses VOC's (finer, with a void border), else SBD's.

    Raises:
        DataError: either of the two is broken.
    """
    voc_root, sbd_root = find_voc(root), find_sbd(root)
    if voc_root is None or sbd_root is None:
        raise DataError(f"{root}: want a VOC devkit and SBD's benchmark_RELEASE in this folder")
    voc, sbd = open_voc(voc_root, max_pixels=max_pixels), open_sbd(sbd_root, max_pixels=max_pixels)
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
    )
    splits = {**voc.splits, "trainaug": merged.pairs(names, root)}
    problems = [*voc.problems, *sbd.problems]
    is_release = len(own["train"]) > 1000 and len(extra) > 10000
    if is_release and len(names) != TRAINAUG_COUNT:
        problems.append(count_problem(root, "split 'trainaug'", len(names), TRAINAUG_COUNT))
    return DataSet(
        root=root,
        layout="voc+sbd",
        labels=voc.labels,
        splits=splits,
        table=voc.table,
        max_pixels=max_pixels,
        instances={**sbd.instances, **voc.instances},
        problems=tuple(problems),
    )


def _count_problems(root: Path, splits: Mapping[str, tuple[Pair, ...]]) -> list[Problem]:
    """The release's counts, where the folder is plainly the release and not a part of it."""
    if sum(len(splits.get(name, ())) for name in COUNTS) < 5000:
        return []
    return [
        count_problem(root, f"split {name!r}", len(splits.get(name, ())), count)
        for name, count in COUNTS.items()
        if len(splits.get(name, ())) != count
    ]
