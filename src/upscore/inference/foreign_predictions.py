"""Files of label maps and class probabilities made by any tool."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from upscore.core.arrays import Archive, is_archive, read_npy
from upscore.core.images import read_mask
from upscore.core.labels import Labels
from upscore.core.limits import MAX_PIXELS
from upscore.core.quoting import join, quote
from upscore.errors import DataError

LABEL_SUFFIXES = (".png",)
ARRAY_SUFFIXES = (".npz", ".npy")
PREDICTION_SUFFIXES = (*ARRAY_SUFFIXES, *LABEL_SUFFIXES)

KEY = "probabilities"
"""Key of the array in an npz that holds several."""

DESCRIPTIONS = ("classes", "colors")
"""Keys in an npz that describe the array beside them."""


@dataclass(frozen=True)
class StoredPrediction:
    """The content of a prediction file.

    Attributes:
        array: (C, H, W) float16, float32 or float64 probabilities, or (H, W) integer labels.
        names: of the classes, if the file has them.
        colors: of the classes, or a longer palette, if the file has them; (K, 3) uint8.
    """

    array: npt.NDArray[Any]
    names: tuple[str, ...] | None = None
    colors: npt.NDArray[np.uint8] | None = None

    @property
    def is_labels(self) -> bool:
        return self.array.ndim == 2

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.array.shape[-2:]
        return height, width

    def require_size(self, path: Path, size: tuple[int, ...], photo: str = "its photo") -> None:
        """Refuse an array (of the file ``path``) of another size than ``photo``'s (H, W).

        Raises:
            DataError: another size.
        """
        if self.size == size:
            return
        (rows, columns), (height, width) = self.size, size
        shape = self.array.shape
        fix = "resize it to the photo first (labels by nearest neighbour)"
        if shape[:2] == size:
            fix = (
                "classes come first, (C, H, W): numpy.moveaxis(probabilities, -1, 0) turns "
                "(H, W, C) into that"
            )
        raise DataError(
            f"{path}: of {columns}x{rows} (shape {shape}), but {photo} is {width}x{height}; {fix}"
        )

    def label_set(self, num_classes: int) -> Labels:
        """Names and colours of the classes; ``class_3`` and bright colours if the file has none.

        Raises:
            SettingsError: more classes than a label map can hold.
        """
        names = self.names
        if names is None or len(names) != num_classes or len(set(names)) != num_classes:
            names = tuple(f"class_{index}" for index in range(num_classes))
        colors = self.colors
        if colors is None or len(colors) < num_classes:
            return Labels.of(names)
        return Labels.of(names, colors[:num_classes].tolist())


def read_prediction(path: Path, *, max_pixels: int = MAX_PIXELS) -> StoredPrediction:
    """Labels or probabilities from a PNG, an npy or an npz.

    - PNG: a label map of class indices, 8 or 16 bits, palette or grey.
    - npy, and npz by the key ``probabilities`` or its only array: floating point (C, H, W) is
      probabilities, integers (H, W) a label map. An npz may name its ``classes`` (C,) and their
      ``colors`` (C, 3) as `upscore predict` writes them.

    Raises:
        NotFoundError: no such file.
        DataError: damaged, of another kind, or of another shape or dtype.
    """
    suffix = path.suffix.lower()
    if suffix in LABEL_SUFFIXES:
        return _read_labels(path, max_pixels)
    if suffix not in ARRAY_SUFFIXES:
        raise DataError(
            f"{path}: expected probabilities (npz, npy) or a label map (png); others lose or hide "
            "values, so convert it"
        )
    if not is_archive(path):
        return StoredPrediction(_require_array(read_npy(path), path))
    archive = Archive(path)
    array = _require_array(archive.read(_only_key(archive.names, path)), path)
    names = _optional(archive, "classes", "U", 1)
    colors = _optional(archive, "colors", "u", 2)
    return StoredPrediction(array, None if names is None else tuple(names.tolist()), colors)


def _read_labels(path: Path, max_pixels: int) -> StoredPrediction:
    labels = read_mask(path, max_pixels=max_pixels)
    if labels.ndim != 2:
        raise DataError(
            f"{path}: a colour picture; expected class indices: a palette or grey PNG (overlays "
            "are no label maps)"
        )
    with Image.open(path) as picture:
        palette = picture.getpalette("RGB") if picture.mode == "P" else None
    colors = None if palette is None else np.array(palette, dtype=np.uint8).reshape(-1, 3)
    return StoredPrediction(labels, colors=colors)


def _only_key(names: Iterable[str], path: Path) -> str:
    keys = [name for name in names if name not in DESCRIPTIONS]
    if KEY in keys:
        return KEY
    if len(keys) == 1:
        return keys[0]
    found = join(map(quote, keys)) or "nothing"
    raise DataError(f"{path}: holds {found}; expected one array, or one named {KEY!r}")


def _require_array(array: npt.NDArray[Any], path: Path) -> npt.NDArray[Any]:
    floats, integers = np.issubdtype(array.dtype, np.floating), array.dtype.kind in "iu"
    if 0 not in array.shape and ((array.ndim == 3 and floats) or (array.ndim == 2 and integers)):
        return array
    raise DataError(
        f"{path}: an array of shape {array.shape} and dtype {array.dtype}; expected probabilities "
        "(C, H, W) in floating point, or labels (H, W) in integers"
    )


def _optional(archive: Archive, key: str, kind: str, ndim: int) -> npt.NDArray[Any] | None:
    """An array beside the probabilities, or None if it is missing or of another dtype or shape."""
    if key not in archive:
        return None
    array = archive.read(key)
    fits = array.dtype.kind == kind and array.ndim == ndim and array.shape[-1] in (3, len(array))
    return array if fits else None
