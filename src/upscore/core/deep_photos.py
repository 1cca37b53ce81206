"""Photos of more than 8 bits or of many bands, as their files hold them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from upscore.core.labels import RGBImage
from upscore.core.photo_values import FULL, PhotoValues, Range, Stored, eight_bits, range_of
from upscore.core.tiff_bands import BandedTiff

BITS, PHOTOMETRIC, ORIENTATION, EXTRA, NODATA = 258, 262, 274, 338, 42113
WHITE_IS_ZERO = 0
FULL_BYTE = 255
LEAST_AND_GREATEST = ((340, 341), (280, 281))
"""Tags of TIFF: SMinSampleValue and SMaxSampleValue, MinSampleValue and MaxSampleValue."""

OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if np.little_endian else "L"}
"""Of 16-bit colours Pillow keeps the high bytes. Read in the other byte order, it keeps the low."""

Redecode = Callable[[str], npt.NDArray[np.uint8]]
"""Decodes the same file once more, in another raw mode of Pillow."""


@dataclass(frozen=True)
class DeepPhoto:
    """Values of a photo before they become 8 bits.

    Attributes:
        values: (H, W, 1) grey or (H, W, 3).
        tagged: the range that the file says.
        nodata: the value of pixels that were not measured.
        orientation: EXIF tag.
        alpha: (H, W) uint8.
        is_negative: whether low values are light, as in some X-ray images.
    """

    values: Stored
    tagged: Range | None = None
    nodata: float | None = None
    orientation: int = 1
    alpha: npt.NDArray[np.uint8] | None = None
    is_negative: bool = False

    @property
    def range(self) -> Range | None:
        """The range of this file alone; None for 8 bits, which are 0..255."""
        if self.values.dtype == np.uint8:
            return None
        return self.tagged or range_of(self.values, self.nodata)

    def _are_fractions(self) -> bool:
        if self.values.dtype.kind != "f" or self.range != (0.0, 1.0):
            return False
        known = self.values[np.isfinite(self.values)]
        return bool((known != np.rint(known)).any())

    def to_rgb(self, limits: Range | None) -> RGBImage:
        """(H, W, 3) uint8, not turned; by the file's own range where ``limits`` is None.

        Raises:
            ValueError: fractions from 0 to 1, all black by ``limits`` of larger numbers.
        """
        if limits is None or self.values.dtype == np.uint8:
            limits = self.range or (0.0, 255.0)
        elif limits[1] - limits[0] >= FULL_BYTE and self._are_fractions():
            raise ValueError(
                f"holds fractions from 0 to 1, and {limits[0]:.7g}..{limits[1]:.7g} is black to "
                "white in the other photos or in training; write all photos in one kind of numbers"
            )
        narrow = eight_bits(self.values, limits, self.nodata)
        if self.is_negative:
            narrow = 255 - narrow
        rgb: RGBImage = np.repeat(narrow, 3 // narrow.shape[2], axis=2)
        if self.alpha is None:
            return rgb
        share = self.alpha[..., None] / np.float32(255)
        return np.rint(rgb * share + 255 * (1 - share)).astype(np.uint8)


def chosen_bands(num: int, values: PhotoValues, alpha: bool = False) -> list[int]:
    """Numbers from 0 of the bands that are grey, or red, green and blue.

    Args:
        num: bands of the file.
        alpha: whether the last one is alpha, which is left out unless it is chosen.

    Raises:
        ValueError: too many bands and none are chosen, or one that is not there.
    """
    if values.bands is None:
        colours = num - alpha
        if colours not in (1, 3):
            raise ValueError(
                f"has {num} bands; say which are red, green and blue in a dataset.yaml, for "
                "example bands: [3, 2, 1] (networks keep it), or save the photo as RGB"
            )
        return list(range(colours))
    if max(values.bands) > num:
        wanted = ", ".join(map(str, values.bands))
        raise ValueError(
            f"has {num} bands, but bands [{wanted}] are wanted, as dataset.yaml says or the "
            "network was trained"
        )
    return [band - 1 for band in values.bands]


def of_banded(tiff: BandedTiff, values: PhotoValues) -> DeepPhoto:
    """Raises ValueError for bands that are not there, or data that cannot be unpacked."""
    extra = tiff.tags.get(EXTRA, ())
    bands = chosen_bands(tiff.num_bands, values, alpha=bool(extra) and extra[-1] in (1, 2))
    orientation = tiff.tags.get(ORIENTATION, 1)
    return DeepPhoto(
        tiff.read(bands),
        _tagged(tiff.tags),
        _nodata(tiff.tags),
        orientation,
        is_negative=tiff.tags.get(PHOTOMETRIC) == WHITE_IS_ZERO,
    )


def of_picture(
    picture: Image.Image, raw: str, values: PhotoValues, redecode: Redecode
) -> DeepPhoto | None:
    """A loaded picture of more than 8 bits, or one whose bands are chosen; None for others.

    Args:
        raw: its raw mode, asked for before it was loaded.

    Raises:
        ValueError: bands that are not there.
    """
    stored = _deep_values(picture, raw, redecode)
    alpha = None
    if stored is None:
        if values.bands is None:
            return None
        plain = picture.convert("RGB") if picture.mode in ("1", "P", "PA") else picture
        stored = np.asarray(plain)
    stored = stored.reshape(*stored.shape[:2], -1)
    if values.bands is None and stored.shape[2] in (2, 4):
        alpha = eight_bits(stored[..., -1], range_of(stored[..., -1]))
        stored = stored[..., :-1]
    stored = stored[..., chosen_bands(stored.shape[2], values)]
    tags: Any = getattr(picture, "tag_v2", {})
    # Pillow spreads the values of these formats over all 16 bits
    tagged = FULL if picture.format in ("PPM", "JPEG2000") else _tagged(tags)
    # of 8 bits Pillow has turned the values already
    is_negative = stored.dtype != np.uint8 and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    return DeepPhoto(stored, tagged, _nodata(tags), orientation_of(picture), alpha, is_negative)


def orientation_of(picture: Image.Image) -> int:
    """The EXIF tag as it stands; 1 where EXIF cannot be read: the photo stays as it is stored."""
    with contextlib.suppress(Exception):  # Pillow's parsers raise many kinds for broken data
        orientation: int = picture.getexif().get(ORIENTATION, 1)
        return orientation
    return 1


def raw_mode(picture: Image.Image) -> str:
    """How the values lie in a file that is not loaded yet, as ``RGB;16B``; "" if unknown."""
    tiles = getattr(picture, "tile", ())
    arguments = tiles[0].args if tiles else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def use_raw_mode(picture: Image.Image, raw: str) -> None:
    """Let a picture that is not loaded yet be decoded in another raw mode."""
    tiles: Any = getattr(picture, "tile", ())
    picture.tile = [  # type: ignore[attr-defined]
        tile._replace(args=raw if isinstance(tile.args, str) else (raw, *tile.args[1:]))
        for tile in tiles
    ]


def _deep_values(picture: Image.Image, raw: str, redecode: Redecode) -> Stored | None:
    if picture.mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)
    if picture.mode in ("I", "F"):
        return np.asarray(picture)
    if raw in ("RGB;16B", "RGB;16L", "RGB;16N", "RGBA;16B", "RGBA;16L", "RGBA;16N"):
        low = redecode(raw[:-1] + OTHER_BYTE[raw[-1]])
        return np.asarray(picture).astype(np.uint16) << 8 | low
    if raw == "LA;16B":  # four bytes a pixel, as those of RGBA
        return np.ascontiguousarray(redecode("RGBA")).view(">u2").astype(np.uint16)
    return None


def _tagged(tags: Any) -> Range | None:
    """The range that the tags of a TIFF say."""
    for least, greatest in LEAST_AND_GREATEST:
        if least in tags and greatest in tags:
            low, high = (np.ravel(tags[tag]).astype(float) for tag in (least, greatest))
            if low.size and high.size and low.min() < high.max():
                return float(low.min()), float(high.max())
    bits = int(np.ravel(tags.get(BITS, 16))[0])
    return (0.0, 2.0**bits - 1) if 8 < bits < 16 else None


def _nodata(tags: Any) -> float | None:
    """GDAL's tag for pixels that were not measured."""
    try:
        return float(tags[NODATA])
    except (KeyError, TypeError, ValueError):
        return None
