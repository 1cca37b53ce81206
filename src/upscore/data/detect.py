"""Find out how a data set is laid out, from its path alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from upscore.core.choices import near_path
from upscore.core.damage import NO_FILE
from upscore.core.images import common_range
from upscore.core.limits import MAX_PIXELS
from upscore.data.dataset import DataSet
from upscore.data.formats.beside import find_beside, open_beside
from upscore.data.formats.camvid import find_camvid, open_camvid
from upscore.data.formats.folder import find_folder, open_folder
from upscore.data.formats.sbd import find_sbd, find_voc_sbd, open_sbd, open_voc_sbd
from upscore.data.formats.voc import find_voc, open_voc
from upscore.data.formats.yaml_dataset import find_described, open_described
from upscore.data.guess import FILE
from upscore.data.toy import find_toy, open_toy
from upscore.errors import DataError, NotFoundError

logger = logging.getLogger(__name__)


class Layout(NamedTuple):
    """How a layout looks, its root folder at or below a path (or None), and how it is opened."""

    looks: str
    find: Callable[[Path], Path | None]
    open: Callable[..., DataSet]


LAYOUTS = (
    Layout(f"a description: {FILE}", find_described, open_described),
    Layout("the toy set: toy.json", find_toy, open_toy),
    Layout("VOC and SBD side by side", find_voc_sbd, open_voc_sbd),
    Layout("a VOC devkit: JPEGImages/ and SegmentationClass/", find_voc, open_voc),
    Layout("SBD: img/ and cls/", find_sbd, open_sbd),
    Layout("CamVid as SegNet released it: train/ and trainannot/", find_camvid, open_camvid),
    Layout(
        "a folder: images/ and masks/ (or image, imgs, img; mask, labels, label, annotations)",
        find_folder,
        open_folder,
    ),
    Layout("masks beside their photos: NAME.jpg and NAME_mask.png", find_beside, open_beside),
)
"""In the order in which they are tried."""


def require_data(path: Path) -> None:
    """Raises NotFoundError where nothing is at ``path``."""
    if not path.exists():
        raise NotFoundError(
            f"{path}: no such data set{near_path(path)}; give a folder or a dataset.yaml"
        )


def open_dataset(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> DataSet:
    """Find the layout of the data set at ``path`` and list its splits.

    Photos of more than 8 bits are read once for the range of their values, unless their tags or a
    dataset.yaml say it; other photos are not read.

    Args:
        path: a folder of a known layout, or a dataset.yaml.
        max_pixels: photos and masks above this many pixels are refused when they are read.

    Raises:
        NotFoundError: no such path.
        DataError: no known layout, or one that is broken; the message says what to do.

    Example:
        >>> dataset = upscore.open_dataset(toy)
        >>> dataset.labels.names[:2], len(dataset.split("val"))
        (('background', 'disc'), 3)
    """
    path = Path(path)
    require_data(path)
    for layout in LAYOUTS:
        root = layout.find(path)
        if root is not None:
            return _with_range(layout.open(root, max_pixels=max_pixels))
    if not path.is_dir():
        found = "is a file" if path.is_file() else NO_FILE
        raise DataError(f"{path}: {found}; give a folder or a dataset.yaml")
    looked = "".join(f"\n  {layout.looks}" for layout in LAYOUTS)
    raise DataError(
        f"{path}: unknown folder layout. Looked here and in the usual subfolders for:{looked}\n"
        f"Name the folder that contains one of them, or describe yours in {path / FILE} "
        "(docs/data.md has examples)"
    )


def _with_range(dataset: DataSet) -> DataSet:
    """The data set with one range for all photos of more than 8 bits, which is logged."""
    photos = dataset.photo_values
    if photos.range is None:
        paths = {pair.image for pairs in dataset.splits.values() for pair in pairs}
        limits = common_range(sorted(paths), max_pixels=dataset.max_pixels, values=photos)
        photos = replace(photos, range=limits)
    if str(photos):
        logger.info("%s: %s; 8-bit photos stay as they are", dataset.root, photos)
    return replace(dataset, photo_values=photos)
