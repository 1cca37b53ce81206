"""PASCAL VOC devkits, 2007 to 2012, and whatever is laid out like them."""

from __future__ import annotations

from pathlib import Path

from upscore.core.labels import VOC_LABELS
from upscore.data.dataset import DataSet
from upscore.data.masks import MaskTable
from upscore.data.pairing import Lister, classes_or, count_problems, files_by_stem, read_lines
from upscore.errors import DataError

VOC2012_COUNTS = {"train": 1464, "val": 1449, "trainval": 2913}
MASK_FOLDERS = ("SegmentationClass", "SegmentationClassAug")
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
            f"as in {roots[-1]}"
        )
    return roots[0] if roots else None


def open_voc(root: Path, *, max_pixels: int, layout: str = "voc") -> DataSet:
    """A VOC devkit folder (that with JPEGImages in it).

    Every list in ``ImageSets/Segmentation`` is a split. A name's mask is looked for in
    ``SegmentationClass``, then ``SegmentationClassAug``. Class names come from ``classes.txt``
    where there is one, else they are VOC's 21; 255 is void.

    Raises:
        DataError: no split lists, or a bad classes.txt.
    """
    folder = root / "ImageSets" / "Segmentation"
    lists = {path.stem: path for path in sorted(folder.glob("*.txt"))}
    if not lists:
        raise DataError(
            f"{folder}: no split lists; want train.txt and val.txt there with one image name "
            "(without suffix) a line, or describe the splits in a dataset.yaml (see docs/data.md)"
        )
    labels = classes_or(VOC_LABELS, root)
    lister = voc_lister(root)
    splits = {}
    for name, path in lists.items():
        pairs = lister.pairs(read_lines(path), path)
        if name == "test" and pairs and not any(pair.mask.exists() for pair in pairs):
            continue  # VOC keeps the test masks on its server
        splits[name] = pairs
    problems = lister.problems
    if root.name == "VOC2012" and len(splits.get("trainval", ())) > 2000:  # the release, not a part
        problems += count_problems(root, splits, VOC2012_COUNTS)
    return DataSet(
        root=root,
        layout=layout,
        labels=labels,
        splits=splits,
        table=MaskTable.indices(len(labels)),
        max_pixels=max_pixels,
        instances={n: p[0] for n, p in files_by_stem(root / "SegmentationObject").items()},
        problems=tuple(problems),
    )


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
    )
