"""Photos and masks on disk, and the preparation of photos for a network."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from upscore.core.files import atomic_path, exists
from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.core.limits import MAX_PIXELS
from upscore.core.quoting import quote
from upscore.errors import DataError, NotFoundError, SettingsError

if TYPE_CHECKING:
    from torch import Tensor

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


class _PillowLimit:
    """Pillow's own limit on pixels, lifted for as long as some thread reads a larger picture.

    Pillow refuses pictures of more than twice ``Image.MAX_IMAGE_PIXELS``. That is a setting of the
    process, so it belongs to the program that uses this package and is put back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limit: int | None = None

    def allows(self, num_pixels: int) -> bool:
        """Whether Pillow itself takes a picture of so many pixels."""
        with self._lock:
            limit = self._limit if self._users else Image.MAX_IMAGE_PIXELS
        return limit is None or num_pixels <= 2 * limit

    @contextlib.contextmanager
    def lifted(self) -> Iterator[None]:
        with self._lock:
            if not self._users:
                self._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    Image.MAX_IMAGE_PIXELS = self._limit


_pillow_limit = _PillowLimit()


def _open(path: Path, max_pixels: int) -> Image.Image:
    try:
        picture = _open_up_to(path, max_pixels)
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a folder, not an image") from error
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path}: a picture far over the limit of {max_pixels / 1e6:.1f} megapixels; raise it "
            "with --max-pixels if you trust the file"
        ) from error
    except Exception as error:  # Pillow's readers of headers raise many kinds
        what = (
            "is empty"
            if exists(path) and path.stat().st_size == 0
            else "is not an image that can be read"
        )
        raise DataError(f"{path}: {what}; replace or remove it") from error
    try:
        require_size(picture.size, max_pixels, f"{path}: ")
    except DataError:
        picture.close()
        raise
    return picture


def _open_up_to(path: Path, max_pixels: int) -> Image.Image:
    """``Image.open``, whose own limit gives way to a higher ``max_pixels``."""
    try:
        return Image.open(path)
    except Image.DecompressionBombError:
        if _pillow_limit.allows(max_pixels):
            raise
        with _pillow_limit.lifted():
            return Image.open(path)


def require_size(size: tuple[int, int], max_pixels: int, where: str = "") -> None:
    """Refuse pictures of more than ``max_pixels`` pixels.

    Args:
        size: width and height.
        where: the beginning of the message, as ``photo.jpg: ``.

    Raises:
        DataError: too many pixels.
    """
    width, height = size
    if width * height > max_pixels:
        raise DataError(
            f"{where}{width}x{height} is {width * height / 1e6:.1f} megapixels, over the limit of "
            f"{max_pixels / 1e6:.1f}; raise it with --max-pixels {width * height}"
        )


def _load(picture: Image.Image, path: Path) -> None:
    width, height = picture.size
    is_allowed = _pillow_limit.allows(width * height)
    try:
        with contextlib.nullcontext() if is_allowed else _pillow_limit.lifted():
            picture.load()
    except Exception as error:  # Pillow's decoders raise many kinds for broken data
        raise DataError(
            f"{path}: damaged or truncated ({error}); replace or remove the file"
        ) from error


def to_rgb(picture: Image.Image) -> RGBImage:
    """Any Pillow mode -> (H, W, 3) uint8 RGB.

    16-bit grey is scaled to 8 bits (its high byte), as is float grey in [0, 1] or [0, 255].
    Transparent pictures are composed with white; CMYK and other colour spaces are converted.
    """
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        grey = np.asarray(picture)
        if picture.mode == "F":
            wide = np.nan_to_num(grey.astype(np.float64), nan=0.0, posinf=255.0, neginf=0.0)
            wide = wide * 255.0 if wide.size and wide.max() <= 1.0 else wide
            narrow = np.clip(np.rint(wide), 0, 255).astype(np.uint8)
        else:
            wide_int = grey.astype(np.int64)
            shift = 8 if picture.mode.startswith("I;16") or wide_int.max(initial=0) > 255 else 0
            narrow = np.clip(wide_int >> shift, 0, 255).astype(np.uint8)
        return np.repeat(narrow[:, :, None], 3, axis=2)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(ground, rgba)
    return np.array(picture.convert("RGB"))  # a copy: writable, owned


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> RGBImage:
    """A photo as (H, W, 3) uint8 RGB, turned upright by its EXIF tag.

    Raises:
        NotFoundError: there is no such file.
        DataError: not an image, damaged, or more than ``max_pixels`` pixels.
    """
    with _open(path, max_pixels) as picture:
        _load(picture, path)
        with contextlib.suppress(Exception):  # unreadable EXIF: the photo stays as it is stored
            ImageOps.exif_transpose(picture, in_place=True)
        return to_rgb(picture)


def image_size(path: Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(height, width) of a photo after EXIF rotation, read from the header alone."""
    with _open(path, max_pixels) as picture:
        width, height = picture.size
        turned = False
        with contextlib.suppress(Exception):  # unreadable EXIF: as in read_image
            turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


def read_mask(path: Path, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.integer[Any]]:
    """A mask as stored: (H, W) integers for index, palette and grey files, (H, W, 3) for colour.

    Palette files give their indices, not their colours; 1-bit files give 0 and 255; an alpha
    channel is dropped. No EXIF rotation: masks are written by programs.

    Raises:
        NotFoundError: there is no such file.
        DataError: not an image, damaged, too large, or of a mode that no mask has.
    """
    with _open(path, max_pixels) as picture:
        _load(picture, path)
        mode = picture.mode
        if mode == "1":
            return np.asarray(picture.convert("L")).copy()
        if mode in ("P", "L"):
            return np.asarray(picture).copy()
        if mode in ("LA", "PA"):
            return np.asarray(picture)[..., 0].copy()
        if mode == "I" or mode.startswith("I;16"):
            return np.asarray(picture).astype(np.int32)
        if mode in ("RGB", "RGBA", "RGBX"):
            return np.asarray(picture)[..., :3].copy()
    raise DataError(
        f"{path}: a mask of Pillow mode {mode}; save it as an index, grey or RGB PNG instead"
    )


def write_label_map(path: Path, labels: LabelMap, label_set: Labels) -> None:
    """Label map (H, W) uint8 -> palette PNG with the classes' colours; appears whole or not."""
    picture = Image.fromarray(np.ascontiguousarray(labels))
    picture.putpalette(label_set.palette().tobytes())
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", compress_level=1)


def write_image(path: Path, image: RGBImage) -> None:
    """(H, W, 3) uint8 -> PNG or, for .jpg names, JPEG; appears whole or not at all."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    with atomic_path(path) as temporary:
        if jpeg:
            picture.save(temporary, format="JPEG", quality=92)
        else:
            picture.save(temporary, format="PNG", compress_level=1)


@dataclass(frozen=True)
class InputSpec:
    """How a network wants its photo: channel order, then ``(x - mean) / std`` on 0..255 values.

    It travels with the weights, so that prediction cannot use another mean or order.
    ``mean`` and ``std`` are in the channel order of the network's input.
    """

    channel_order: Literal["rgb", "bgr"]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, images: Tensor) -> Tensor:
        """uint8 RGB (N, 3, H, W) -> float32 (N, C, H, W) as the network wants it.

        C is the length of ``mean``: 3, or 1 for grey.
        """
        if self.channel_order == "bgr":
            images = images.flip(1)
        x = images.float() if len(self.mean) == 3 else _luminance(images).float()
        mean = x.new_tensor(self.mean).view(1, -1, 1, 1)
        std = x.new_tensor(self.std).view(1, -1, 1, 1)
        return (x - mean) / std

    def grey(self) -> InputSpec:
        """For a network of one channel: grey photos with the averages of ``mean`` and ``std``."""
        mean, std = (sum(values) / len(values) for values in (self.mean, self.std))
        return InputSpec("rgb", (mean,), (std,))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, item: dict[str, Any]) -> InputSpec:
        """The inverse of :meth:`to_json`. Raises KeyError, TypeError or ValueError for others."""
        order, mean, std = (item[key] for key in ("channel_order", "mean", "std"))
        numbers = [isinstance(n, int | float) and math.isfinite(n) for n in (*mean, *std)]
        if order not in ("rgb", "bgr") or len(mean) != len(std) or not all((*numbers, *std)):
            raise ValueError(f"no input specification: {quote(item)}")
        return cls(order, tuple(mean), tuple(std))

    @classmethod
    def named(cls, name: str) -> InputSpec:
        """``imagenet`` (torchvision's weights) or ``caffe`` (the originally released ones)."""
        if name not in INPUT_SPECS:
            raise SettingsError(
                f"no input specification {quote(name)}; there are {', '.join(sorted(INPUT_SPECS))}"
            )
        return INPUT_SPECS[name]


def _luminance(images: Tensor) -> Tensor:
    """uint8 RGB (N, 3, H, W) -> int32 (N, 1, H, W), as Pillow's mode L; grey stays the same."""
    wide = images.int()
    red, green, blue = wide[:, :1], wide[:, 1:2], wide[:, 2:]
    grey: Tensor = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
    return grey


INPUT_SPECS = {
    # torchvision: RGB in [0, 1], here written for 0..255
    "imagenet": InputSpec(
        "rgb",
        (0.485 * 255, 0.456 * 255, 0.406 * 255),
        (0.229 * 255, 0.224 * 255, 0.225 * 255),
    ),
    # VGG and FCN in Caffe: BGR, 0..255, mean only
    "caffe": InputSpec("bgr", (104.00698793, 116.66876762, 122.67891434), (1.0, 1.0, 1.0)),
    # EfficientNet-Lite0: RGB in about [-1, 1]
    "lite0": InputSpec("rgb", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
}


def require_rgb(image: object) -> None:
    """Refuse whatever is not an (H, W, 3) uint8 array with pixels in it.

    Raises:
        DataError: with the shape and dtype that were found and how to convert them.
    """
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"an image is a {type(image).__name__}; want a uint8 array of shape (H, W, 3)"
        )
    if image.dtype != np.uint8:
        raise DataError(
            f"an image has dtype {image.dtype}; want uint8 with values 0..255 "
            "(for floats in [0, 1]: (image * 255).round().astype(np.uint8))"
        )
    if image.ndim != 3 or image.shape[2] != 3:
        fix = "for a grey one: np.repeat(image[:, :, None], 3, axis=2)"
        if image.ndim == 3 and image.shape[2] == 1:
            fix = "for a grey one: np.repeat(image, 3, axis=2)"
        if image.ndim == 3 and image.shape[2] == 4:
            fix = "without the fourth channel: image[:, :, :3]"
        raise DataError(f"an image has shape {image.shape}; want (H, W, 3), red first ({fix})")
    if image.size == 0:
        raise DataError(f"an image has shape {image.shape}; want at least one pixel")
