"""One photo as people have it: a file, a Pillow picture or an array."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps

from upscore.core.images import read_image, require_rgb, require_size, to_rgb
from upscore.core.labels import RGBImage
from upscore.core.limits import MAX_PIXELS
from upscore.core.photo_values import AS_STORED, PhotoValues

Photo = str | Path | Image.Image | RGBImage
"""A file, a Pillow picture of any mode, or an (H, W, 3) uint8 RGB array."""


def rgb_of(
    photo: Photo, *, max_pixels: int = MAX_PIXELS, values: PhotoValues = AS_STORED
) -> RGBImage:
    """The pixels of a photo, (H, W, 3) uint8; files and pictures are rotated by their EXIF tag.

    Args:
        max_pixels: larger ones are refused, files before they are decoded.
        values: how values of more than 8 bits become 8-bit RGB.

    Raises:
        NotFoundError: no such file.
        DataError: a file that is no image, an array of another type or shape, or too many pixels.
    """
    if isinstance(photo, str | Path):
        return read_image(Path(photo), max_pixels=max_pixels, values=values)
    if isinstance(photo, Image.Image):
        require_size(photo.size, max_pixels, "an image of ")
        return to_rgb(ImageOps.exif_transpose(photo), values)
    require_rgb(photo)
    require_size((photo.shape[1], photo.shape[0]), max_pixels, "an image of ")
    return photo
