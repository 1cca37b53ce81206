"""Label maps as pictures: overlays, legends, maps of errors."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from upscore.core.extras import require_extras
from upscore.core.images import row_bands
from upscore.core.labels import VOID, Color, LabelMap, Labels, RGBImage
from upscore.core.option_values import require_alpha
from upscore.errors import SettingsError

WRONG_COLOR = (255, 88, 0)
"""Vivid orange: against grey it stands out for every kind of colour blindness, and in print."""

RIGHT_LEVELS = (40, 105)
"""Dim greys of right pixels: a faint picture of the classes, so that shapes can be recognised."""

VOID_LEVEL = 235

INK = (20, 20, 20)
PAPER = (255, 255, 255)
FONT = Path(str(resources.files("upscore"))) / "fonts" / "DejaVuSans.ttf"
ELLIPSIS = "\u2026"
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def require_picture(path: Path) -> Path:
    """The path of a picture to write. Raises SettingsError for other suffixes."""
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise SettingsError(f"{path}: the picture is written as .png or .jpg; name such a file")
    return path


def overlay(
    image: RGBImage, labels: LabelMap, label_set: Labels, *, alpha: float = 0.5
) -> RGBImage:
    """The photo under the colours of its classes, with outlines in full colour.

    Void pixels and the class called background keep the photo untouched.

    Args:
        image: (H, W, 3) uint8.
        labels: (H, W) uint8.
        alpha: share of the colours inside the outlines: 0 shows the photo there, 1 the colours.

    Returns:
        (H, W, 3) uint8.

    Raises:
        SettingsError: ``alpha`` outside [0, 1], or labels of another size than the image.
    """
    require_alpha(alpha)
    if image.shape[:2] != labels.shape:
        raise SettingsError(
            f"the image has shape {image.shape}, its labels {labels.shape}; expected equal H and W"
        )
    mixed = np.empty_like(image, order="C")
    depth = int(np.clip(min(labels.shape) / 400, 1, 4))
    for rows in row_bands(*labels.shape):
        above = min(rows.start, depth)
        outline = _outline(labels[rows.start - above : rows.stop + depth], depth)
        outline = outline[above : above + rows.stop - rows.start]
        mixed[rows] = _blend(image[rows], labels[rows], outline, label_set, alpha)
    return mixed


def _blend(
    image: RGBImage,
    labels: LabelMap,
    outline: npt.NDArray[np.bool_],
    label_set: Labels,
    alpha: float,
) -> RGBImage:
    flat = Image.fromarray(np.ascontiguousarray(labels))
    flat.putpalette(label_set.palette().tobytes())
    photo = Image.fromarray(np.ascontiguousarray(image))
    colors = flat.convert("RGB")
    mixed = np.array(Image.blend(photo, colors, alpha))  # C, without the interpreter
    mixed[outline] = np.asarray(colors)[outline]
    untouched = labels == VOID
    if label_set.background is not None:
        untouched |= labels == label_set.background
    mixed[untouched] = image[untouched]
    return mixed


def painted(label_set: Labels, labels: LabelMap | None = None) -> list[int]:
    """Classes whose colours an overlay shows: all (or those of ``labels``) but the background."""
    present = range(len(label_set)) if labels is None else np.unique(labels).tolist()
    return [index for index in present if index not in (VOID, label_set.background)]


def _outline(labels: LabelMap, depth: int) -> npt.NDArray[np.bool_]:
    """(H, W) pixels with another label at most ``depth`` pixels beside, above or below them."""
    found = np.zeros(labels.shape, bool)
    for step in range(1, depth + 1):
        across = labels[:, step:] != labels[:, :-step]
        down = labels[step:] != labels[:-step]
        found[:, step:] |= across
        found[:, :-step] |= across
        found[step:] |= down
        found[:-step] |= down
    return found


def legend(
    label_set: Labels, present: Iterable[int] | None = None, *, width: int = 500
) -> RGBImage:
    """A strip of swatches and names, in rows, on white.

    Args:
        present: class indices to list, in any order (void is left out); None lists all.
        width: wished width in pixels. It is exceeded where the longest name needs it, up to a
            limit of 360 pixels; longer names are cut with an ellipsis.

    Returns:
        (h, w, 3) uint8 with w >= ``width``; a blank row where no class is present.
    """
    indices = range(len(label_set)) if present is None else sorted({int(i) for i in present})
    size = int(np.clip(width / 40, 12, 36))
    font = _font(size)
    gap, swatch = max(4, size // 3), size
    longest = max(width, 360) - swatch - 4 * gap
    entries = [
        (label_set.colors[i], _shorten(label_set.names[i], font, longest))
        for i in indices
        if i < len(label_set)
    ]
    widths = [swatch + gap + _text_width(text, font) for _, text in entries]
    canvas_width = max([width, *(w + 2 * gap for w in widths)])
    rows: list[list[int]] = [[]]
    used = gap
    for entry, entry_width in enumerate(widths):
        if rows[-1] and used + entry_width + gap > canvas_width:
            rows.append([])
            used = gap
        rows[-1].append(entry)
        used += entry_width + 2 * gap
    row_height = round(size * 1.5)
    picture = Image.new("RGB", (canvas_width, row_height * len(rows) + gap), PAPER)
    pen = ImageDraw.Draw(picture)
    for number, row in enumerate(rows):
        left, middle = gap, gap // 2 + number * row_height + row_height // 2
        for entry in row:
            color, text = entries[entry]
            box = (left, middle - swatch // 2, left + swatch - 1, middle - swatch // 2 + swatch - 1)
            pen.rectangle(box, fill=color, outline=_edge(color))
            _write(pen, (left + swatch + gap, middle), text, font)
            left += widths[entry] + 2 * gap
    return np.asarray(picture)


def with_legend(
    picture: RGBImage, label_set: Labels, present: Iterable[int] | None = None
) -> RGBImage:
    """The picture (H, W, 3) uint8 with its legend below; a narrow one gets white at its right."""
    strip = legend(label_set, present, width=picture.shape[1])
    height, width, _ = picture.shape
    sheet = np.full((height + strip.shape[0], strip.shape[1], 3), PAPER, dtype=np.uint8)
    sheet[:height, :width] = picture
    sheet[height:] = strip
    return sheet


def titled(picture: RGBImage, title: str) -> RGBImage:
    """The picture (H, W, 3) uint8 below one line of text on white, cut where it is too long."""
    height, width, _ = picture.shape
    size = int(np.clip(width / 26, 11, 20))
    font = _font(size)
    strip = Image.new("RGB", (width, round(size * 1.6)), PAPER)
    text = _shorten(title, font, max(0, width - 4))
    _write(ImageDraw.Draw(strip), (2, strip.height // 2), text, font)
    sheet = np.empty((strip.height + height, width, 3), np.uint8)
    sheet[: strip.height] = np.asarray(strip)
    sheet[strip.height :] = picture
    return sheet


def heated(
    image: RGBImage, values: npt.NDArray[np.float32], *, high: float, alpha: float = 0.6
) -> RGBImage:
    """The photo in grey under a map in the inferno colours, from black over red to yellow.

    Args:
        image: (H, W, 3) uint8.
        values: (H, W) float32, from 0 on.
        high: the value of the brightest colour.
        alpha: share of the colours: 0 shows the photo, 1 the map.

    Returns:
        (H, W, 3) uint8.

    Raises:
        SettingsError: ``alpha`` outside [0, 1].
        MissingExtraError: matplotlib is not installed.
    """
    require_alpha(alpha)
    require_extras("drawing heat maps", "report")
    from matplotlib import colormaps

    colors = (colormaps["inferno"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    mixed = np.empty_like(image, order="C")
    for rows in row_bands(*values.shape):
        levels = np.clip(values[rows] * (255 / max(high, 1e-12)), 0, 255).round().astype(np.uint8)
        grey = Image.fromarray(np.ascontiguousarray(image[rows])).convert("L").convert("RGB")
        mixed[rows] = np.asarray(Image.blend(grey, Image.fromarray(colors[levels]), alpha))
    return mixed


def error_map(truth: LabelMap, prediction: LabelMap) -> RGBImage:
    """Where a prediction is wrong: vivid orange; right: dim grey by class; void truth: light.

    Args:
        truth: (H, W) uint8, 255 void.
        prediction: (H, W) uint8. Void there counts as wrong.

    Returns:
        (H, W, 3) uint8.

    Raises:
        SettingsError: two sizes.
    """
    if truth.shape != prediction.shape:
        raise SettingsError(
            f"the truth has shape {truth.shape}, prediction {prediction.shape}; must be equal"
        )
    low, high = RIGHT_LEVELS
    # neighbouring indices get well separated levels: 7 steps of a full cycle of 16
    grey = np.array([low + (index * 7 % 16) * (high - low) // 15 for index in range(256)], np.uint8)
    grey[VOID] = VOID_LEVEL
    result: RGBImage = np.repeat(grey[truth][:, :, None], 3, axis=2)
    result[(truth != prediction) & (truth != VOID)] = WRONG_COLOR
    return result


@functools.cache
def _font(size: int) -> Font:
    """DejaVu Sans, of this package: Latin, Greek, Cyrillic and more; else Pillow's own."""
    try:
        return ImageFont.truetype(str(FONT), size)
    except (OSError, ImportError):  # Pillow built without FreeType
        return ImageFont.load_default(size)


def _text_width(text: str, font: Font) -> int:
    return int(np.ceil(font.getlength(text)))


def _shorten(name: str, font: Font, limit: int) -> str:
    """The name on one line, cut with an ellipsis where it is wider than ``limit`` pixels."""
    name = " ".join(name.split())
    if isinstance(font, ImageFont.ImageFont):  # the bitmap font knows Latin-1 only
        name = name.encode("latin-1", "replace").decode("latin-1")
        ellipsis = "..."
    else:
        ellipsis = ELLIPSIS
    if _text_width(name, font) <= limit:
        return name
    low, high = 0, len(name)
    while low < high:  # the longest beginning that fits
        half = (low + high + 1) // 2
        if _text_width(name[:half] + ellipsis, font) <= limit:
            low = half
        else:
            high = half - 1
    return name[:low].rstrip() + ellipsis


def _write(pen: ImageDraw.ImageDraw, left_middle: tuple[int, int], text: str, font: Font) -> None:
    if isinstance(font, ImageFont.FreeTypeFont):
        pen.text(left_middle, text, fill=INK, font=font, anchor="lm")
    else:  # the bitmap font has no anchors
        left, middle = left_middle
        pen.text((left, middle - 6), text, fill=INK, font=font)


def _edge(color: Color) -> Color:
    """A darker rim, so that pale swatches stand out from the paper."""
    red, green, blue = (part * 6 // 10 for part in color)
    return red, green, blue
