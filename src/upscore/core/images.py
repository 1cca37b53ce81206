"""Photos and masks on disk, and the preparation of photos for a network."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from upscore.core.damage import NO_FILE, refuse_pipe
from upscore.core.deep_photos import (
    DeepPhoto,
    of_banded,
    of_picture,
    orientation_of,
    raw_mode,
    use_raw_mode,
)
from upscore.core.files import atomic_path, exists
from upscore.core.image_files import TO_EXPORT
from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.core.limits import MAX_PIXELS
from upscore.core.lossy import lossy_format
from upscore.core.parallel.prefetch import prefetch
from upscore.core.parallel.processes import num_cores
from upscore.core.photo_values import AS_STORED, PhotoValues, Range, joined
from upscore.core.quoting import quote
from upscore.core.system_errors import shortage
from upscore.core.tiff_bands import banded, read_directories
from upscore.errors import DataError, NotFoundError, SettingsError, WorkError

if TYPE_CHECKING:
    from torch import Tensor

NO_PAGES = ("MPO", "PSD")
"""Formats whose first picture is the photo: the others are previews or layers."""

EIGHT_BITS = (".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp")
"""Suffixes of files that have 8 bits, and are not opened to find that out."""

BAND_PIXELS = 4_000_000
"""Larger images are converted band by band, so that no whole copies of them are made on the way."""


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


def _open(path: Path, max_pixels: int, *, is_file: bool = False) -> Image.Image:
    """``is_file``: whether the path is known to be no pipe, for each look takes time."""
    if not is_file:
        refuse_pipe(path)
    try:
        picture = _open_up_to(path, max_pixels)
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: {missing(path)}") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a folder, not an image") from error
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path}: a picture far over the limit of {max_pixels / 1e6:.1f} megapixels; raise it "
            "with --max-pixels if you trust the file"
        ) from error
    except Exception as error:  # Pillow's readers of headers raise many kinds
        if not exists(path):  # links that lead in a circle
            raise NotFoundError(f"{path}: {missing(path)}") from error
        if reason := shortage(error):
            raise WorkError(reason) from error
        if isinstance(error, OSError) and error.strerror:  # the file may be fine
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        what = "is empty" if path.stat().st_size == 0 else "is not an image that can be read"
        export = path.suffix.lower() in TO_EXPORT
        repair = "export it as JPEG or PNG" if export else "replace or remove it"
        raise DataError(f"{path}: {what}; {repair}") from error
    try:
        require_size(picture.size, max_pixels, f"{path}: ")
    except DataError:
        picture.close()
        raise
    return picture


def missing(path: Path) -> str:
    """What is wrong with a path where no file is."""
    if path.is_symlink():
        return f"is a link to {path.readlink()}, which is not there"
    return NO_FILE if path.exists() else "no such file"


def _open_up_to(path: Path, max_pixels: int) -> Image.Image:
    """``Image.open``, whose own limit gives way to a higher ``max_pixels``."""
    try:
        try:
            return Image.open(path)
        except UnidentifiedImageError:  # seen of intact files on a busy machine (docs/decisions.md)
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


def to_rgb(picture: Image.Image, values: PhotoValues = AS_STORED) -> RGBImage:
    """Any Pillow mode -> (H, W, 3) uint8 RGB.

    Grey of more than 8 bits is scaled by the range of ``values``, or else by its own. Transparent
    pictures are composed with white; CMYK and other colour spaces are converted.

    Raises:
        DataError: without the bands that ``values`` names.
    """
    try:
        deep = of_picture(picture, "", values, lambda _: np.zeros((0, 0), np.uint8))
        if deep is not None:
            return deep.to_rgb(values.range)
    except ValueError as error:
        raise DataError(f"an image {error}") from error
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(ground, rgba)
    if picture.mode != "RGB":
        picture = picture.convert("RGB")
    width, height = picture.size
    image = np.empty((height, width, 3), np.uint8)
    with _pillow_limit.lifted():  # Pillow 11 and older apply it to parts of a picture, too
        for rows in row_bands(height, width):  # Pillow makes two copies of what it hands over
            image[rows] = np.asarray(picture.crop((0, rows.start, width, rows.stop)))
    return image


def row_bands(height: int, width: int) -> Iterator[slice]:
    """Slices of rows with up to ``BAND_PIXELS`` pixels (or one row) that cover an image."""
    step = max(1, BAND_PIXELS // max(1, width))
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def read_image(
    path: Path,
    *,
    max_pixels: int = MAX_PIXELS,
    values: PhotoValues = AS_STORED,
    page: int | None = None,
) -> RGBImage:
    """A photo as (H, W, 3) uint8 RGB, turned upright by its EXIF tag.

    Args:
        values: the range of files of more than 8 bits, and the bands that are red, green and blue.
        page: of a file with several pictures; without it they are refused.

    Raises:
        NotFoundError: there is no such file.
        DataError: not an image, damaged, more than ``max_pixels`` pixels, several pages, or other
            bands than three, grey, and alpha.
    """
    photo = _read_photo(path, max_pixels, values, page)
    if isinstance(photo, DeepPhoto):
        try:
            return _upright(photo.to_rgb(values.range), photo.orientation)
        except ValueError as error:  # of the range
            raise DataError(f"{path}: {error}") from error
    return photo


def _read_photo(
    path: Path, max_pixels: int, values: PhotoValues, page: int | None
) -> DeepPhoto | RGBImage:
    """A photo of more than 8 bits as it is stored, or one of 8 bits that is upright."""
    refuse_pipe(path)
    try:
        directories = read_directories(path)
    except OSError:
        directories = []  # said below
    tiff = banded(path, directories[page or 0]) if len(directories) > (page or 0) else None
    try:
        if tiff is not None:
            _require_one(path, page, len(directories))
            require_size((tiff.width, tiff.height), max_pixels, f"{path}: ")
            return of_banded(tiff, values)
        with _open(path, max_pixels, is_file=True) as picture:
            _turn_to(picture, path, page, max_pixels)
            raw = raw_mode(picture)
            _load(picture, path)
            deep = of_picture(
                picture, raw, values, lambda raw: _redecode(path, max_pixels, page, raw)
            )
            if deep is not None:
                return deep
            with contextlib.suppress(Exception):  # unreadable EXIF: the photo stays as it is stored
                ImageOps.exif_transpose(picture, in_place=True)
            return to_rgb(picture)
    except DataError:
        raise
    except ValueError as error:  # of the bands
        raise DataError(f"{path}: {error}") from error


def _redecode(path: Path, max_pixels: int, page: int | None, raw: str) -> npt.NDArray[np.uint8]:
    with _open(path, max_pixels) as picture:
        _turn_to(picture, path, page, max_pixels)
        use_raw_mode(picture, raw)
        _load(picture, path)
        return np.array(picture)


def _upright(image: RGBImage, orientation: int) -> RGBImage:
    picture = Image.fromarray(image)
    picture.getexif()[0x0112] = orientation
    return np.array(ImageOps.exif_transpose(picture))


def _frames(picture: Image.Image, path: Path) -> list[int]:
    """Places of the pictures of a file among its frames."""
    if picture.format in NO_PAGES:
        return [0]
    if picture.format == "TIFF":
        return [directory.frame for directory in read_directories(path)] or [0]
    try:
        return list(range(getattr(picture, "n_frames", 1)))
    except Exception as error:  # Pillow's parsers raise many kinds for broken data
        raise DataError(
            f"{path}: damaged or truncated ({error}); replace or remove the file"
        ) from error


def num_pages(path: Path, *, max_pixels: int = MAX_PIXELS) -> int:
    """How many pictures a file holds: pages of a TIFF, frames of an animation.

    Raises:
        NotFoundError, DataError: as :func:`read_image`.
    """
    directories = read_directories(path) if path.is_file() else []
    if directories:
        return len(directories)
    with _open(path, max_pixels) as picture:
        return len(_frames(picture, path))


def _turn_to(picture: Image.Image, path: Path, page: int | None, max_pixels: int) -> None:
    """Go to a page, or refuse a file of several where none is wanted."""
    frames = _frames(picture, path)
    _require_one(path, page, len(frames))
    if frames[page or 0]:
        try:
            picture.seek(frames[page or 0])
        except Exception as error:  # as above
            raise DataError(f"{path}: page {(page or 0) + 1} is damaged ({error})") from error
        require_size(picture.size, max_pixels, f"{path}: page {(page or 0) + 1}: ")


def _require_one(path: Path, page: int | None, num: int) -> None:
    if page is None and num > 1:
        raise DataError(
            f"{path}: holds {num} pages or frames, and one picture is wanted; save the right one "
            "as a file of its own, or label each with `upscore predict --pages`"
        )
    if page is not None and page >= num:
        raise DataError(f"{path}: has no page {page + 1}; it holds {num}")


def common_range(
    paths: Iterable[Path], *, max_pixels: int = MAX_PIXELS, values: PhotoValues = AS_STORED
) -> Range | None:
    """The range of all photos of more than 8 bits together; None where there are none.

    Files whose tags do not say it are read once, in threads. One that cannot be read counts for
    nothing here; it is reported where it is used.
    """

    def own(path: Path) -> list[Range]:
        found = []
        with contextlib.suppress(Exception):
            for page in range(num_pages(path, max_pixels=max_pixels)):
                photo = _read_photo(path, max_pixels, values, page)
                if isinstance(photo, DeepPhoto) and photo.range is not None:
                    found.append(photo.range)
        return found

    deep = (path for path in paths if _may_be_deep(path))
    with contextlib.closing(prefetch(own, deep, workers=num_cores())) as ranges:
        return joined(limits for several in ranges for limits in several)


def _may_be_deep(path: Path) -> bool:
    """Whether a file may have more than 8 bits, by its suffix or first bytes."""
    if path.suffix.lower() in EIGHT_BITS or not path.is_file():  # a pipe would wait for ever
        return False
    try:
        with path.open("rb") as file:
            start = file.read(25)
    except OSError:
        return False
    return start[24:] == b"\x10" if start.startswith(b"\x89PNG") else True


def image_size(path: Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(height, width) of a photo after EXIF rotation, read from the header alone."""
    with _open(path, max_pixels) as picture:
        width, height = picture.size
        turned = orientation_of(picture) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


@dataclass(frozen=True)
class MaskFile:
    """A mask as stored.

    Attributes:
        values: (H, W) integers for index, palette and grey files, (H, W, 3) for colour. 1-bit files
            have 0 and 255.
        bits: of one value; 1, 8, or 32 for all above.
        palette: of a palette file: red, green, blue of each value.
        lossy: name of the format where it changes values, as JPEG.
        num_transparent: pixels that an alpha channel hides in part or whole.
    """

    values: npt.NDArray[np.integer[Any]]
    bits: int
    palette: bytes | None
    lossy: str = ""
    num_transparent: int = 0


def read_mask(path: Path, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.integer[Any]]:
    """A mask as stored: (H, W) integers for index, palette and grey files, (H, W, 3) for colour.

    Palette files give their indices, not their colours; 1-bit files give 0 and 255; whole numbers
    in float files are read; an alpha channel is dropped. No EXIF rotation: masks are written by
    programs.

    Raises:
        NotFoundError: there is no such file.
        DataError: not an image, damaged, too large, several pages, of a mode that no mask has, or
            not whole.
    """
    return read_mask_file(path, max_pixels=max_pixels).values


def read_mask_file(path: Path, *, max_pixels: int = MAX_PIXELS) -> MaskFile:
    """As :func:`read_mask`, with what the file says about its values."""
    with _open(path, max_pixels) as picture:
        num = len(_frames(picture, path))
        if num > 1:
            raise DataError(
                f"{path}: holds {num} pages, and a mask is one; save one picture where each value "
                "is a class"
            )
        _load(picture, path)
        mode, kind = picture.mode, lossy_format(picture, path)
        if mode == "1":
            return MaskFile(np.asarray(picture.convert("L")).copy(), 1, None, kind)
        if mode in ("P", "L"):
            palette = bytes(picture.im.getpalette("RGB")) if mode == "P" else None
            return MaskFile(np.asarray(picture).copy(), 8, palette, kind)
        if mode == "I" or mode.startswith("I;16"):
            return MaskFile(np.asarray(picture).astype(np.int32), 32, None, kind)
        if mode == "F":
            return MaskFile(_whole(np.asarray(picture), path), 32, None, kind)
        if mode in ("RGB", "RGBX"):
            return MaskFile(np.asarray(picture)[..., :3].copy(), 8, None, kind)
        if mode in ("RGBA", "LA", "PA"):
            pixels = np.asarray(picture)
            values = pixels[..., :3] if mode == "RGBA" else pixels[..., 0]
            return MaskFile(values.copy(), 8, None, kind, int((pixels[..., -1] < 255).sum()))
    raise DataError(
        f"{path}: a mask of Pillow mode {mode}; save it as an index, grey or RGB PNG instead"
    )


def _whole(values: npt.NDArray[np.floating[Any]], path: Path) -> npt.NDArray[np.int32]:
    """Floats that are whole numbers, as integers."""
    limits = np.iinfo(np.int32)
    # comparisons with NaN are false
    is_whole = (values == np.rint(values)) & (values >= limits.min) & (values < limits.max)
    if not is_whole.all():
        found = values[~is_whole]
        raise DataError(
            f"{path}: a mask of floats, {found.size} of which are no class numbers (the first is "
            f"{found[0]:g}); expected whole numbers. Write a value such as -9999 where there is no "
            "label, and `-9999: void` in a dataset.yaml"
        )
    return values.astype(np.int32)


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
    """How a network takes its photo: channel order, then ``(x - mean) / std`` on 0..255 values.

    It travels with the weights, so that prediction cannot use another mean or order.
    ``mean`` and ``std`` are in the channel order of the network's input.
    """

    channel_order: Literal["rgb", "bgr"]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, images: Tensor) -> Tensor:
        """uint8 RGB (N, 3, H, W) -> float32 (N, C, H, W) as the network takes it.

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
            f"an image is a {type(image).__name__}; expected a path, a Pillow picture (of bytes: "
            "Image.open(io.BytesIO(data))) or a uint8 array of shape (H, W, 3)"
        )
    if image.dtype != np.uint8:
        raise DataError(
            f"an image has dtype {image.dtype}; expected uint8 with values 0..255 "
            "(for floats in [0, 1]: (image * 255).round().astype(np.uint8))"
        )
    if image.ndim != 3 or image.shape[2] != 3:
        fix = ""
        if image.ndim == 2:
            fix = " (for a grey one: np.repeat(image[:, :, None], 3, axis=2))"
        elif image.ndim == 3 and image.shape[2] == 1:
            fix = " (for a grey one: np.repeat(image, 3, axis=2))"
        elif image.ndim == 3 and image.shape[2] == 4:
            fix = " (without the fourth channel: image[:, :, :3])"
        elif image.ndim == 3 and image.shape[0] == 3:
            fix = " (with channels last: image.transpose(1, 2, 0))"
        elif image.ndim == 4:
            fix = " (one at a time: image[0])"
        raise DataError(f"an image has shape {image.shape}; expected (H, W, 3), red first{fix}")
    if image.size == 0:
        raise DataError(f"an image has shape {image.shape}; expected at least one pixel")


def photo_turn(path: Path, *, max_pixels: int = MAX_PIXELS) -> int:
    """The EXIF orientation of a photo, 1 to 8; 1 is upright. The header alone is read.

    Raises:
        NotFoundError, DataError: as :func:`read_image`, except that damaged pixels are not seen.
    """
    if _has_no_turn(path):
        return 1
    with _open(path, max_pixels) as picture:
        turn = orientation_of(picture)
    return turn if turn in range(2, 9) else 1


def _has_no_turn(path: Path) -> bool:
    """Whether a JPEG file says nothing of a turn before its pixels; told without Pillow, which
    takes ten times as long."""
    with contextlib.suppress(OSError), open(path, "rb", 0, opener=_at_once) as file:
        head = file.read(1 << 16)
        tells = b"Exif\0" in head or b"Orientation" in head  # EXIF, XMP
        return head.startswith(b"\xff\xd8") and b"\xff\xda" in head and not tells
    return False


def _at_once(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes is not waited for and has no content."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
