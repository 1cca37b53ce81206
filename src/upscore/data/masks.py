"""Masks on disk: class maps, instance maps, and the table from stored values to classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.images import MaskFile, read_mask, read_mask_file
from upscore.core.labels import VOID, Color, LabelMap
from upscore.core.limits import MAX_PIXELS
from upscore.core.matlab import read_mat
from upscore.errors import DataError, SettingsError

TRUNCATE = 8  # how many offending values a message lists


@dataclass(frozen=True)
class MaskTable:
    """The explicit table from stored values to class indices or void (255).

    Exactly one of the two is given: ``values`` for masks of single numbers (index, palette, grey),
    ``colors`` for RGB masks.
    """

    values: Mapping[int, int] | None = None
    colors: Mapping[Color, int] | None = None

    def __post_init__(self) -> None:
        if (self.values is None) == (self.colors is None):
            raise SettingsError("a mask table has either values or colours, not both, not neither")

    @classmethod
    def indices(cls, num_classes: int, *, void: tuple[int, ...] = (VOID,)) -> MaskTable:
        """Masks whose value is the class index, with some values void."""
        table = {index: index for index in range(num_classes)}
        return cls(values={**table, **dict.fromkeys(void, VOID)})

    @property
    def num_indices(self) -> int:
        """How many classes there are where their indices are the values and 255 is void, else 0."""
        count = len(self.values or {}) - 1
        return count if count > 0 and self.values == MaskTable.indices(count).values else 0

    @cached_property
    def _bytes(self) -> tuple[bytes, bytes]:
        """What each uint8 value becomes, and which of them are in the table."""
        table = {v: label for v, label in (self.values or {}).items() if 0 <= v < 256}
        return bytes(table.get(value, VOID) for value in range(256)), bytes(sorted(table))

    def read(self, mask: MaskFile, path: Path) -> LabelMap:
        """(H, W) uint8 labels of a mask file; where the table has colours, by its palette's.

        Raises:
            DataError: as :meth:`decode`; a lossy format is named where it is the cause.
        """
        raw = mask.values
        if mask.bits == 1 and self.values is not None and self.values.get(VOID, VOID) == VOID:
            raw = raw & 1  # read as 0 and 255
        if self.colors is not None and mask.palette is not None:
            raw = palette_colors(mask.palette)[raw]
        try:
            return self.decode(raw, path)
        except DataError as error:
            if not mask.lossy:
                raise
            raise DataError(
                f"{error}. The mask is a {mask.lossy} file, and {mask.lossy} changes values: masks "
                "must be PNG, made anew from the tool that drew them"
            ) from error

    def decode(self, raw: npt.NDArray[np.integer[Any]], path: Path) -> LabelMap:
        """(H, W) or (H, W, 3) as stored -> (H, W) uint8 labels.

        Raises:
            DataError: a value or colour outside the table, with how many pixels hold it.
        """
        if self.values is not None and raw.ndim == 3:
            if not bool((raw == raw[..., :1]).all()):
                raise DataError(
                    f"{path}: an RGB mask, but the data set's masks hold class numbers; give the "
                    "colours of the classes in a dataset.yaml (see docs/data.md)"
                )
            raw = np.ascontiguousarray(raw[..., 0])  # grey saved as RGB
        if self.values is not None and raw.dtype == np.uint8:
            return self._decode_bytes(raw, path)
        codes = raw.astype(np.int64)
        table = dict(self.values or {})
        if self.colors is not None:
            if raw.ndim == 2:
                codes = np.repeat(codes[..., None], 3, axis=2)
            codes = pack_colors(codes)
            table = {(r << 16) | (g << 8) | b: label for (r, g, b), label in self.colors.items()}
        keys = np.array(sorted(table), dtype=np.int64)
        targets = np.array([table[int(key)] for key in keys], dtype=np.uint8)
        where = np.searchsorted(keys, codes).clip(max=len(keys) - 1)
        unknown = keys[where] != codes
        if unknown.any():
            raise DataError(self._complaint(codes, unknown, table, path))
        labels: LabelMap = targets[where]
        return labels

    def _decode_bytes(self, raw: npt.NDArray[np.integer[Any]], path: Path) -> LabelMap:
        """The common case. Two passes of ``bytes.translate`` take half the time of indexing."""
        become, known = self._bytes
        stored = raw.tobytes()
        if stored.translate(None, known):  # what is left after deleting the known values
            unknown = ~np.isin(raw, np.frombuffer(known, np.uint8))
            raise DataError(self._complaint(raw, unknown, dict(self.values or {}), path))
        labels = np.frombuffer(bytearray(stored.translate(become)), np.uint8)
        return labels.reshape(raw.shape)

    def _complaint(
        self,
        codes: npt.NDArray[np.integer[Any]],
        unknown: npt.NDArray[np.bool_],
        table: Mapping[int, int],
        path: Path,
    ) -> str:
        def show(code: int) -> str:
            if self.colors is None:
                return str(code)
            return f"({code >> 16},{code >> 8 & 255},{code & 255})"

        values, counts = np.unique(codes[unknown], return_counts=True)
        found = ", ".join(
            f"{show(int(v))} ({int(n)} pixels)"
            for v, n in zip(values[:TRUNCATE], counts[:TRUNCATE], strict=True)
        )
        more = f" and {len(values) - TRUNCATE} more" if len(values) > TRUNCATE else ""
        known = sorted(table)
        allowed = ", ".join(show(code) for code in known[:24]) + ("..." if len(known) > 24 else "")
        return (
            f"{path}: mask value outside the table: {found}{more}; allowed: {allowed}. Say what "
            "each value means in a dataset.yaml (see docs/data.md)"
        )


def pack_colors(rgb: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    """(..., 3) uint8 -> (...) int64: red << 16 | green << 8 | blue."""
    wide: npt.NDArray[np.int64] = rgb.astype(np.int64)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def palette_colors(palette: bytes) -> npt.NDArray[np.uint8]:
    """(256, 3) uint8: red, green, blue of each value of a palette file."""
    colors = np.zeros((256, 3), np.uint8)
    given = np.frombuffer(palette, np.uint8).reshape(-1, 3)
    colors[: len(given)] = given
    return colors


def read_stored_mask(path: Path, *, max_pixels: int = MAX_PIXELS) -> MaskFile:
    """A mask as stored, before its values are looked up: an image file, or SBD's ``cls/*.mat``.

    Raises:
        NotFoundError: no such file.
        DataError: unreadable, too large, or partly transparent.
    """
    if path.suffix.lower() == ".mat":
        return MaskFile(_read_sbd(path, "GTcls", max_pixels), 8, None)
    mask = read_mask_file(path, max_pixels=max_pixels)
    if mask.num_transparent:
        raise DataError(
            f"{path}: a mask with {mask.num_transparent} transparent pixels, which have no meaning "
            "as labels; save it without alpha channel, with a value or colour of its own for them"
        )
    return mask


def read_instances(
    path: Path | None, labels: LabelMap, *, max_pixels: int
) -> npt.NDArray[np.integer[Any]] | None:
    """(H, W) integers of an instance mask, 0 no object and 255 void: an image, or SBD's ``.mat``.

    None without a path, for images that have no such mask.

    Raises:
        NotFoundError: no such file.
        DataError: unreadable, too large, or of another size than ``labels``, the photo's label map.
    """
    if path is None:
        return None
    if path.suffix.lower() == ".mat":
        instances: npt.NDArray[np.integer[Any]] = _read_sbd(path, "GTinst", max_pixels)
    else:
        instances = read_mask(path, max_pixels=max_pixels)
        if instances.ndim == 3:  # a colour for each object, black where there is none
            colors, numbers = np.unique(pack_colors(instances), return_inverse=True)
            instances = numbers.reshape(labels.shape) + int(colors[0] != 0)
    if instances.shape != labels.shape:
        raise DataError(f"{path}: instance mask is {instances.shape}, labels are {labels.shape}")
    return instances


def _read_sbd(path: Path, struct: str, max_pixels: int) -> npt.NDArray[np.uint8]:
    """(H, W) uint8 of SBD's ``struct.Segmentation``: classes 0..20, or instances from 1 on."""
    content = read_mat(path, struct)
    first = content[0] if isinstance(content, list) and content else None
    mask = first.get("Segmentation") if isinstance(first, dict) else None
    if not isinstance(mask, np.ndarray):
        raise DataError(f"{path}: has no {struct}.Segmentation; is it a file of SBD?")
    if mask.ndim != 2 or not np.issubdtype(mask.dtype, np.integer):
        raise DataError(
            f"{path}: {struct}.Segmentation is {mask.dtype} of shape {mask.shape}, expected (H, W) "
            "integers"
        )
    if mask.size > max_pixels:
        raise DataError(
            f"{path}: {mask.shape[1]}x{mask.shape[0]} is over the limit of {max_pixels} pixels; "
            f"raise it with --max-pixels {mask.size}"
        )
    return mask.astype(np.uint8)
