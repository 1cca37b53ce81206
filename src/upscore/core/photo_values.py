"""What the values of a photo of more than 8 bits, or of many bands, stand for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.quoting import quote

Stored = npt.NDArray[np.integer[Any]] | npt.NDArray[np.floating[Any]]
"""Values as a file holds them, (H, W) or (H, W, bands)."""
Range = tuple[float, float]
"""The values that are black and white."""

FULL = (0.0, 65535.0)
MOST_EXACT = 2.0**53
"""Up to here every integer is a float."""


@dataclass(frozen=True)
class PhotoValues:
    """How the values of photo files become 8-bit RGB. A network keeps what it was trained with.

    Attributes:
        range: black and white in files of more than 8 bits. None: each file's own range, from its
            tags or its values.
        bands: which bands, from 1, are red, green and blue; or one, which is grey. None: the file
            has at most three, and alpha.
    """

    range: Range | None = None
    bands: tuple[int, ...] | None = None

    def __str__(self) -> str:
        """For messages; empty for 8 or full 16 bits."""
        if self.range is None or self.range == FULL:
            return ""
        low, high = self.range
        bits = int(high).bit_length()
        few = low == 0 and 8 < bits < 16 and high == 2**bits - 1
        have = f"have {bits} of 16 bits" if few else "have more than 8 bits"
        return f"photos {have}: values {low:.7g}..{high:.7g} are taken as black to white"

    def or_else(self, other: PhotoValues) -> PhotoValues:
        """What this leaves open, from ``other``."""
        return PhotoValues(self.range or other.range, self.bands or other.bands)

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, item: object) -> PhotoValues:
        """Raises ValueError for anything that ``to_json`` does not make."""
        if not isinstance(item, dict) or not {*item} <= {"range", "bands"}:
            raise ValueError(f"photos: expected range, bands, both or neither, found {quote(item)}")
        limits, bands = item.get("range"), item.get("bands")
        if limits is not None and not _is_range(limits):
            raise ValueError(
                "photos.range: expected two numbers [black, white], the smaller first, found "
                f"{quote(limits)}"
            )
        if bands is not None and not _are_bands(bands):
            raise ValueError(
                "photos.bands: expected one or three numbers of bands, from 1, found "
                f"{quote(bands)}"
            )
        return cls(
            None if limits is None else (float(limits[0]), float(limits[1])),
            None if bands is None else tuple(bands),
        )


AS_STORED = PhotoValues()


def _is_range(found: object) -> bool:
    return (
        isinstance(found, list | tuple)
        and [type(limit) in (int, float) for limit in found] == [True] * 2
        and 0 < found[1] - found[0] < math.inf
    )


def _are_bands(found: object) -> bool:
    return (
        isinstance(found, list | tuple)
        and len(found) in (1, 3)
        and all(type(band) is int and band >= 1 for band in found)
    )


def range_of(values: Stored, nodata: float | None = None) -> Range:
    """Black and white of a file that does not say them.

    Values from 0 on: 0 and the most that their number of bits holds (1 for floats up to 1), so that
    files of one kind agree. With negative values: the least and the greatest. NaN, infinity and
    ``nodata`` do not count.
    """
    known = values
    if nodata is not None:
        known = known[known != nodata]
    is_float = values.dtype.kind == "f"
    if is_float:
        known = known[np.isfinite(known)]
    if not known.size:
        return 0.0, 1.0 if is_float else 255.0
    low, high = float(known.min()), float(known.max())
    if low < 0:
        return low, max(high, low + 1)
    if is_float and (high <= 1 or high > FULL[1]):
        return 0.0, max(high, 1.0)
    return 0.0, 2.0 ** max(8, int(np.ceil(high)).bit_length()) - 1


def joined(ranges: Iterable[Range]) -> Range | None:
    """The range of several files together; it ends early at the full 16 bits."""
    found: Range | None = None
    for low, high in ranges:
        found = (low, high) if found is None else (min(found[0], low), max(found[1], high))
        if found == FULL:
            break
    return found


def eight_bits(values: Stored, limits: Range, nodata: float | None = None) -> npt.NDArray[np.uint8]:
    """Values of any type -> uint8 of the same shape: ``limits`` become 0 and 255.

    Integers go into 256 steps of equal width, so that 16 bits become their high byte. NaN and
    ``nodata`` become black.
    """
    low, high = limits
    if values.dtype == np.uint16:
        return _steps(np.arange(2**16), low, high)[values]
    if values.dtype.kind != "f":
        narrow = _steps(values, low, high)
    else:
        with np.errstate(invalid="ignore"):
            scaled = (values.astype(np.float64) - low) * (255 / (high - low))
        narrow = np.clip(np.rint(np.nan_to_num(scaled, nan=0.0)), 0, 255).astype(np.uint8)
    if nodata is not None:
        narrow[values == nodata] = 0
    return narrow


def _steps(values: Stored, low: float, high: float) -> npt.NDArray[np.uint8]:
    if low.is_integer() and high.is_integer() and max(-low, high) <= MOST_EXACT:
        wide = (values.astype(np.int64) - int(low)) * 256 // (int(high) - int(low) + 1)
        return np.clip(wide, 0, 255).astype(np.uint8)
    return eight_bits(values.astype(np.float64), (low, high))
