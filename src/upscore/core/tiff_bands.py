"""TIFF files that Pillow does not read: many bands, and numbers that it has no mode for."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from upscore.core.photo_values import Stored

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
STRIP_OFFSETS, BANDS = 273, 277
STRIP_ROWS, STRIP_BYTES, PLANAR, PREDICTOR = 278, 279, 284, 317
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES, EXTRA, FORMAT = 322, 323, 324, 325, 338, 339

NONE = 1
DEFLATE = (8, 32946)
UNPACKED = {NONE: "none", 5: "LZW", 8: "deflate", 32946: "deflate", 32773: "PackBits"}
"""Compressions that keep all bytes."""
KINDS = {1: "u", 2: "i", 3: "f"}
"""Sample format of TIFF -> kind of numpy's types."""


@dataclass(frozen=True)
class BandedTiff:
    """The header of a TIFF with bands that Pillow does not read.

    Attributes:
        dtype: of the values, in the byte order of the file.
    """

    path: Path
    width: int
    height: int
    num_bands: int
    dtype: np.dtype[Any]
    tags: dict[int, Any]

    def read(self, bands: Sequence[int]) -> Stored:
        """(H, W, len(bands)) values of bands, from 0.

        Raises:
            ValueError: compressed in another way, too large, or data that are missing.
        """
        if self._tag(COMPRESSION) not in UNPACKED:
            raise ValueError(
                f"its compression, number {self._tag(COMPRESSION)}, is not read for such files; "
                f"save it with {', '.join(dict.fromkeys(UNPACKED.values()))}"
            )
        try:
            return self._read(bands)
        except Exception as error:  # tags of any kind, data of any length
            raise ValueError(
                f"damaged or truncated ({error}); replace or remove the file"
            ) from error

    def _read(self, bands: Sequence[int]) -> Stored:
        content = self.path.read_bytes()
        values = np.zeros((self.height, self.width, len(bands)), self.dtype.newbyteorder("="))
        tiled = TILE_OFFSETS in self.tags
        width = self._tag(TILE_WIDTH) if tiled else self.width
        height = self._tag(TILE_HEIGHT) if tiled else min(self._tag(STRIP_ROWS), self.height)
        separate = self._tag(PLANAR) == 2
        places = itertools.product(
            range(self.num_bands if separate else 1),
            range(0, self.height, height),
            range(0, self.width, width),
        )
        offsets = self.tags[TILE_OFFSETS if tiled else STRIP_OFFSETS]
        counts = self.tags[TILE_BYTES if tiled else STRIP_BYTES]
        for (plane, top, left), offset, count in zip(places, offsets, counts, strict=True):
            if separate and plane not in bands:
                continue
            rows = height if tiled else min(height, self.height - top)
            packed = content[offset : offset + count]
            window = values[top : top + rows, left : left + width]
            block = self._block(packed, rows, width, 1 if separate else self.num_bands)
            block = block[: window.shape[0], : window.shape[1]]
            for target, band in enumerate(bands):
                if not separate:
                    window[..., target] = block[..., band]
                elif band == plane:
                    window[..., target] = block[..., 0]
        return values

    def _block(self, packed: bytes, rows: int, columns: int, bands: int) -> Stored:
        """One strip or tile, (rows, columns, bands)."""
        row_bytes = columns * bands * self.dtype.itemsize
        raw = _unpack(packed, self._tag(COMPRESSION), row_bytes, rows)
        predictor = self._tag(PREDICTOR)
        if predictor == 3:  # bytes of equal weight side by side, each as a difference
            parts = raw.reshape(rows, -1, bands).cumsum(axis=1, dtype=np.uint8)
            parts = parts.reshape(rows, self.dtype.itemsize, columns, bands)
            raw = np.ascontiguousarray(parts.transpose(0, 2, 3, 1))
            return raw.view(self.dtype.newbyteorder(">"))[..., 0]
        values: Stored = raw.view(self.dtype).reshape(rows, columns, bands)
        if predictor == 2:
            values = values.cumsum(axis=1, dtype=self.dtype.newbyteorder("="))
        return values

    def _tag(self, number: int) -> int:
        """The first value of a tag, or its default."""
        default = {STRIP_ROWS: self.height}.get(number, 1)
        value = self.tags.get(number, default)
        return int(value[0] if isinstance(value, tuple) else value)


def _unpack(packed: bytes, compression: int, row_bytes: int, rows: int) -> npt.NDArray[np.uint8]:
    """The bytes of a strip or tile, (rows, row_bytes)."""
    size = rows * row_bytes
    if compression in DEFLATE:
        packed = zlib.decompressobj().decompress(packed, size)
    if compression in (NONE, *DEFLATE):
        return np.frombuffer(packed, np.uint8, size).reshape(rows, row_bytes)
    # by Pillow, from a file of its own that holds them as grey
    header = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    header[WIDTH], header[HEIGHT], header[BITS], header[BANDS] = row_bytes, rows, 8, 1
    header[COMPRESSION], header[PHOTOMETRIC], header[STRIP_ROWS] = compression, 1, rows
    header[STRIP_OFFSETS], header[STRIP_BYTES] = 0, len(packed)  # 0: behind the header
    file = io.BytesIO(struct.pack("<2sHI", b"II", 42, 8) + header.tobytes(8) + packed)
    with Image.open(file, formats=["TIFF"]) as picture:
        return np.array(picture)


@dataclass(frozen=True)
class Directory:
    """The header of one page of a TIFF; ``frame`` is its place among all directories."""

    frame: int
    tags: dict[int, Any]
    byte_order: str


def read_directories(path: Path) -> list[Directory]:
    """The pages of a TIFF, without smaller copies and masks of others; [] for every other file.

    Raises:
        OSError: the file cannot be read.
    """
    found: list[Directory] = []
    with path.open("rb") as file:
        start = file.read(16)
        if start[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return []
        try:
            tags = TiffImagePlugin.ImageFileDirectory_v2(start if b"+" in start[2:4] else start[:8])
            seen = {0}
            for frame in itertools.count():
                if tags.next in seen:
                    break
                seen.add(tags.next)
                file.seek(tags.next)
                tags.load(file)
                if not tags.get(SUBFILE, 0) & 5:
                    order = "<" if start[:1] == b"I" else ">"
                    found.append(Directory(frame, dict(tags), order))
        except Exception:  # damaged: Pillow says what is wrong with the pages so far
            return found
    return found


def banded(path: Path, directory: Directory) -> BandedTiff | None:
    """A page that is read here; None for one that Pillow reads."""
    try:
        return _of_tags(path, directory.tags, directory.byte_order)
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def _of_tags(path: Path, tags: dict[int, Any], order: str) -> BandedTiff | None:
    bits = tags.get(BITS, (1,))
    formats = tags.get(FORMAT, (1,))
    num_bands = int(tags.get(BANDS, 1))
    if len({*bits}) != 1 or len({*formats}) != 1 or formats[0] not in KINDS:
        return None
    width = bits[0]
    kind = KINDS[formats[0]]
    if width not in (8, 16, 32, 64) or (kind, width) == ("f", 8):
        return None
    in_planes = width == 16 and num_bands > 1 and tags.get(PLANAR) == 2  # Pillow mixes up the bytes
    if not in_planes and _pillow_reads(
        num_bands, width, kind, tags.get(PHOTOMETRIC, 1), tags.get(EXTRA, ())
    ):
        return None
    dtype = np.dtype(f"{order}{kind}{width // 8}")
    return BandedTiff(path, int(tags[WIDTH]), int(tags[HEIGHT]), num_bands, dtype, tags)


def _pillow_reads(bands: int, bits: int, kind: str, photometric: int, extra: Any) -> bool:
    """Whether Pillow reads all bands of such a file. (Of 5 or 6 it reads some.)

    Of two grey bands, if the second is alpha that is not multiplied in.
    """
    if bands == 1:
        return (kind, bits) in {("u", 8), ("u", 16), ("i", 16), ("i", 32), ("f", 32), ("f", 64)}
    if bits > 16 or kind != "u":
        return False
    if photometric in (0, 1):  # grey
        return (bands, bits, photometric, tuple(extra)) == (2, 8, 1, (2,))
    return photometric != 2 or bands == 3 or (bands == 4 and tuple(extra) != (0,))
