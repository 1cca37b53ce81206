"""A data set on disk, its splits, and what the values of its masks mean."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from upscore.core.images import MAX_PIXELS, read_image, read_mask
from upscore.core.labels import VOID, Color, LabelMap, Labels, RGBImage
from upscore.data.problem import Problem
from upscore.errors import DataError, SettingsError

JOINED = {"trainval": ("train", "val"), "trainvalaug": ("trainaug", "val")}
"""Splits that any data set has where it has their parts; a list of that name goes before."""

TRUNCATE = 8  # how many offending values a message lists


@dataclass(frozen=True)
class MaskTable:
    """The explicit table from what a mask holds to a class index or void (255).

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

    @cached_property
    def _bytes(self) -> tuple[bytes, bytes]:
        """What each uint8 value becomes, and which of them are in the table."""
        table = {v: label for v, label in (self.values or {}).items() if 0 <= v < 256}
        return bytes(table.get(value, VOID) for value in range(256)), bytes(sorted(table))

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
            codes = (codes[..., 0] << 16) | (codes[..., 1] << 8) | codes[..., 2]
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


@dataclass(frozen=True)
class Pair:
    """One photo and its mask. ``name`` is unique in the data set and has no suffix."""

    name: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class Sample:
    """What a data set yields: RGB uint8 (H, W, 3), labels uint8 (H, W) with 255 void, a name."""

    image: RGBImage
    labels: LabelMap
    name: str


@dataclass(frozen=True)
class Split:
    """One split of a data set: an ordered list of pairs that can be read."""

    name: str
    pairs: tuple[Pair, ...]
    labels: Labels
    table: MaskTable
    max_pixels: int = MAX_PIXELS

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, index: int) -> Sample:
        """Read and check pair ``index``.

        Raises:
            DataError: unreadable, another size than its photo, or values outside the table.
        """
        pair = self.pairs[index]
        image = read_image(pair.image, max_pixels=self.max_pixels)
        labels = self.read_labels(index)
        if image.shape[:2] != labels.shape:
            raise DataError(
                f"{pair.mask}: mask is {labels.shape[1]}x{labels.shape[0]}, its photo "
                f"{pair.image.name} is {image.shape[1]}x{image.shape[0]}; they must be equal"
            )
        return Sample(image, labels, pair.name)

    def read_labels(self, index: int) -> LabelMap:
        """(H, W) uint8 labels of pair ``index``.

        Raises:
            DataError: unreadable, or values outside the table.
        """
        path = self.pairs[index].mask
        return self.table.decode(read_stored_mask(path, max_pixels=self.max_pixels), path)

    def take(self, places: Sequence[int] | npt.NDArray[np.int64]) -> Self:
        """Some of the samples, in the order of ``places``, each as often as it comes."""
        return replace(self, pairs=tuple(self.pairs[place] for place in places))

    def spread(self, count: int) -> Self:
        """``count`` samples, evenly spread over all, or all where there are fewer."""
        count = min(count, len(self))
        return self.take([place * len(self) // count for place in range(count)])


def read_stored_mask(path: Path, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.integer[Any]]:
    """A mask as stored, before its values are looked up: an image file, or SBD's ``.mat``."""
    if path.suffix.lower() == ".mat":
        from upscore.data.formats.sbd import read_sbd_mask

        stored: npt.NDArray[np.integer[Any]] = read_sbd_mask(path, max_pixels=max_pixels)
        return stored
    return read_mask(path, max_pixels=max_pixels)


def read_instances(path: Path, labels: LabelMap) -> npt.NDArray[np.integer[Any]]:
    """(H, W) integers of an instance mask, 0 no object and 255 void: an image file, or SBD's.

    Raises:
        DataError: unreadable, or of another size than ``labels``, the photo's label map.
    """
    if path.suffix == ".mat":
        from upscore.data.formats.sbd import read_sbd_instances

        instances: npt.NDArray[np.integer[Any]] = read_sbd_instances(path)
    else:
        instances = read_mask(path)
    if instances.shape != labels.shape:
        raise DataError(f"{path}: instance mask is {instances.shape}, labels are {labels.shape}")
    return instances


@dataclass(frozen=True)
class DataSet:
    """All splits of a data set as found on disk.

    ``layout`` says how it was recognised; ``instances`` maps a pair's name to its instance mask
    where the layout has such masks. ``problems`` is what was wrong when the files were listed;
    a data set with problems can be opened, so that ``upscore data check`` can list all of them,
    but a split with missing or ambiguous files cannot be had.
    """

    root: Path
    layout: str
    labels: Labels
    splits: Mapping[str, tuple[Pair, ...]]
    table: MaskTable
    max_pixels: int = MAX_PIXELS
    instances: Mapping[str, Path] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def split_names(self) -> tuple[str, ...]:
        """Those on disk, and of :data:`JOINED` those that can be had though they are not there."""
        joined = (name for name, parts in JOINED.items() if self.splits.keys() >= set(parts))
        return tuple(dict.fromkeys([*self.splits, *joined]))

    def pairs(self, name: str) -> tuple[Pair, ...]:
        """The pairs of a split, whose files may be missing; of joined splits, each photo once.

        Raises:
            SettingsError: no such split; the message lists those that exist.
        """
        if name not in self.split_names:
            raise SettingsError(
                f"{self.root}: no split {name!r}; there are {', '.join(sorted(self.split_names))}"
            )
        if name in self.splits:
            return self.splits[name]
        parts = (self.splits[part] for part in JOINED[name])
        return tuple({pair.image: pair for pairs in parts for pair in pairs}.values())

    def split(self, name: str) -> Split:
        """A split by name.

        Raises:
            SettingsError: no such split; the message lists those that exist.
            DataError: the split is empty, a photo or mask of it does not exist, or two photos
                share a name.
        """
        pairs = self.pairs(name)
        if not pairs:
            raise DataError(f"{self.root}: split {name!r} is empty")
        self._refuse_incomplete(name, pairs)
        return Split(name, pairs, self.labels, self.table, self.max_pixels)

    def _refuse_incomplete(self, name: str, pairs: tuple[Pair, ...]) -> None:
        """Better before training than in the middle of it."""
        missing = [p for pair in pairs for p in (pair.image, pair.mask) if not p.exists()]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise DataError(
                f"{self.root}: split {name!r} lacks {', '.join(map(str, missing[:3]))}{more}; add "
                f"the files or take them out of the split; `upscore data check {self.root}` lists "
                "all"
            )
        for problem in self.problems:
            if problem.kind == "name collision":
                raise DataError(problem.message)

    def fingerprint(self) -> str:
        """Hex digest over names and file sizes of every split: tells data sets apart cheaply."""
        digest = hashlib.sha256()
        for split in sorted(self.splits):
            digest.update(f"[{split}]\n".encode())
            for pair in self.splits[split]:
                sizes = [path.stat().st_size if path.exists() else -1
                         for path in (pair.image, pair.mask)]  # fmt: skip
                digest.update(f"{pair.name} {sizes[0]} {sizes[1]}\n".encode())
        return digest.hexdigest()[:16]
