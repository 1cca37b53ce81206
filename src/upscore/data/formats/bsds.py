"""BSDS500: photos with the boundaries that several people drew, for edge maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.arrays import Archive
from upscore.core.damage import reading
from upscore.core.images import read_image
from upscore.core.matlab import read_mat
from upscore.errors import DataError, NotFoundError

LAYOUT = "train/*.jpg and val/*.jpg, each with an .npz or .mat of the same name"


@dataclass(frozen=True)
class BSDSImage:
    """One photo and the file of its annotators' boundaries."""

    name: str
    image_path: Path
    truth_path: Path

    def read_image(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB."""
        return read_image(self.image_path)

    def read_boundaries(self) -> npt.NDArray[np.bool_]:
        """(A, H, W) bool, one map for each of A >= 1 annotators.

        Read from an ``.npz`` (``boundaries``: bits packed along the width, ``shape``: A, H, W) or
        from a ``.mat`` as released by Berkeley (``groundTruth``).

        Raises:
            DataError: the file is damaged, or holds something else.
        """
        what, fix = "cannot be read as boundaries of BSDS500", "copy it anew, or take the photo out"
        with reading(self.truth_path, what, fix):
            maps = (_read_mat if self.truth_path.suffix == ".mat" else _read_npz)(self.truth_path)
        if maps.ndim != 3 or not len(maps):
            raise DataError(f"{self.truth_path}: expected (annotators, H, W), found {maps.shape}")
        return maps


def _read_mat(path: Path) -> npt.NDArray[np.bool_]:
    cells: Any = read_mat(path, "groundTruth")
    if not isinstance(cells, list):
        raise DataError(f"{path}: has no groundTruth; is it a file of BSDS500?")
    maps = [structs[0]["Boundaries"].astype(bool) for structs in cells]
    return np.stack(maps)


def _read_npz(path: Path) -> npt.NDArray[np.bool_]:
    archive = Archive(path)
    annotators, height, width = (int(n) for n in archive.read("shape"))
    bits = np.unpackbits(archive.read("boundaries"), axis=-1)[..., :width]
    return bits.reshape(annotators, height, width).astype(bool)


def find_bsds(root: Path) -> Mapping[str, tuple[BSDSImage, ...]]:
    """The splits of a BSDS500 folder, photos in the order of their names.

    Takes a folder of splits (``train/1.jpg`` and ``train/1.npz``), or Berkeley's archive
    (``BSDS500/data/images/train`` and ``BSDS500/data/groundTruth/train``).

    Raises:
        NotFoundError: no such folder.
        DataError: no photos in it, or a photo without boundaries.
    """
    if not root.is_dir():
        raise NotFoundError(f"{root}: no such folder; expected BSDS500: {LAYOUT}")
    images, truths = root, root
    for data in (root, root / "data", root / "BSDS500" / "data"):
        if (data / "images").is_dir() and (data / "groundTruth").is_dir():
            images, truths = data / "images", data / "groundTruth"
            break
    splits = {}
    for folder in sorted(path for path in images.iterdir() if path.is_dir()):
        photos = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".png"))
        if photos:
            splits[folder.name] = tuple(_pair(photo, truths / folder.name) for photo in photos)
    if not splits:
        raise DataError(f"{root}: no photos of BSDS500 in it; expected {LAYOUT}")
    return splits


def _pair(photo: Path, truths: Path) -> BSDSImage:
    for suffix in (".npz", ".mat"):
        truth = truths / f"{photo.stem}{suffix}"
        if truth.exists():
            return BSDSImage(photo.stem, photo, truth)
    raise DataError(
        f"{photo}: no boundaries {photo.stem}.npz or {photo.stem}.mat in {truths}; add them, or "
        "take the photo out"
    )
