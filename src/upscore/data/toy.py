"""A generated data set of textured shapes, for demos and tests, in VOC's layout on disk."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from upscore.core.files import atomic_path, make_folder, read_json, write_json, write_text
from upscore.core.images import write_label_map
from upscore.core.labels import VOID, LabelMap, Labels, RGBImage
from upscore.core.lock import files_in
from upscore.core.parallel.prefetch import prefetch
from upscore.data.dataset import DataSet
from upscore.data.formats.voc import open_voc
from upscore.errors import DataError, OptionError, OutputError, RunError

TOY_LABELS = Labels.of("background disc ring square triangle star cross bar".split())
"""Class 0 is the background, 1 to 7 are the shapes."""

MARKER = "toy.json"
SMALLEST, LARGEST = 0.04, 0.8  # an object's diameter over the shorter side of its image
VAL_EVERY = 4  # every fourth image is for validation, so a longer set keeps its splits
MIN_SIDE = 16

Plane = npt.NDArray[np.float64]
"""(H, W) or (H, W, 3) float64."""


@dataclass(frozen=True)
class ToyImage:
    """A generated photo (H, W, 3) uint8, its labels (H, W) uint8 with a void border of 255 around
    every object, and its instances (H, W) uint8: 0 background, 1..n objects, 255 void."""

    image: RGBImage
    labels: LabelMap
    instances: LabelMap


# --- shapes ---------------------------------------------------------------------------------------
# Each function takes coordinates in pixels from the object's centre along its own axes and its
# radius in pixels, and returns the signed distance to the outline: negative inside.


def _polar(u: Plane, v: Plane, sectors: int) -> tuple[Plane, Plane]:
    """Fold the plane into half of one of ``sectors`` equal sectors; the sector's axis is x."""
    half = np.pi / sectors
    angle = np.abs((np.arctan2(v, u) + half) % (2 * half) - half)
    radius = np.hypot(u, v)
    return radius * np.cos(angle), radius * np.sin(angle)


def _disc(u: Plane, v: Plane, r: float) -> Plane:
    return np.hypot(u, v) - r


def _ring(u: Plane, v: Plane, r: float) -> Plane:
    return np.abs(np.hypot(u, v) - 0.76 * r) - 0.24 * r


def _square(u: Plane, v: Plane, r: float) -> Plane:
    return np.maximum(np.abs(u), np.abs(v)) - 0.75 * r


def _triangle(u: Plane, v: Plane, r: float) -> Plane:
    x, _ = _polar(-u, v, 3)
    return x - 0.5 * r


def _star(u: Plane, v: Plane, r: float) -> Plane:
    """Five points; a straight edge from the tip (r, 0) to the notch at 36 degrees."""
    x, y = _polar(u, v, 5)
    notch_x, notch_y = 0.45 * r * np.cos(np.pi / 5), 0.45 * r * np.sin(np.pi / 5)
    along = np.array([notch_x - r, notch_y])
    normal = np.array([along[1], -along[0]]) / np.hypot(*along)
    return float(normal[0]) * (x - r) + float(normal[1]) * y


def _cross(u: Plane, v: Plane, r: float) -> Plane:
    a, b = np.abs(u), np.abs(v)
    return np.minimum(np.maximum(a - 0.95 * r, b - 0.3 * r), np.maximum(b - 0.95 * r, a - 0.3 * r))


def _bar(u: Plane, v: Plane, r: float) -> Plane:
    return np.maximum(np.abs(u) - r, np.abs(v) - 0.27 * r)


SHAPES = (_disc, _ring, _square, _triangle, _star, _cross, _bar)
"""In the order of classes 1 to 7."""


# --- textures -------------------------------------------------------------------------------------
# The same coordinates and the texture's period in pixels -> 0..1, the share of the light colour.


def _soft(wave: Plane) -> Plane:
    return np.clip(0.5 + 1.6 * wave, 0.0, 1.0)


def _dots(u: Plane, v: Plane, p: float) -> Plane:
    return _soft(np.cos(2 * np.pi * u / p) + np.cos(2 * np.pi * v / p) - 0.55)


def _spokes(u: Plane, v: Plane, p: float) -> Plane:  # noqa: ARG001 - spokes have no period
    return _soft(np.cos(10 * np.arctan2(v, u)))


def _checks(u: Plane, v: Plane, p: float) -> Plane:
    return _soft(2 * np.sin(np.pi * u / p * 1.4) * np.sin(np.pi * v / p * 1.4))


def _stripes(u: Plane, v: Plane, p: float) -> Plane:  # noqa: ARG001 - straight across
    return _soft(np.cos(2 * np.pi * u / p))


def _rings(u: Plane, v: Plane, p: float) -> Plane:
    return _soft(np.cos(2 * np.pi * np.hypot(u, v) / p))


def _grain(u: Plane, v: Plane, p: float) -> Plane:
    """Irregular speckle: three waves of incommensurable periods."""
    k = 2 * np.pi / p
    return _soft(
        np.sin(k * (1.31 * u + 0.47 * v))
        + np.sin(k * (1.13 * v - 0.71 * u) + 1.0)
        + np.sin(k * (0.83 * u + 1.7 * v) + 2.0)
    )


def _hatching(u: Plane, v: Plane, p: float) -> Plane:
    return _soft(np.cos(2 * np.pi * (u + v) / (1.4 * p)))


TEXTURES = (_dots, _spokes, _checks, _stripes, _rings, _grain, _hatching)
HUES = (0.02, 0.13, 0.60, 0.36, 0.16, 0.86, 0.50)
"""The usual hue of each class; three in ten objects have any hue, so colour alone misleads."""


def toy_image(seed: int, index: int, size: tuple[int, int] = (128, 160)) -> ToyImage:
    """Image ``index`` of the toy set: a function of (seed, index, size) and nothing else.

    Args:
        size: largest (height, width); each image is up to an eighth smaller on either side, and
            one in four stands upright.
    """
    rng = np.random.default_rng([seed, index])
    height, width = (int(side - rng.integers(0, side // 8 + 1)) for side in size)
    if rng.random() < 0.25:
        height, width = width, height
    canvas = _ground(rng, height, width)
    instances = np.zeros((height, width), np.uint8)
    short = min(height, width)
    count = int(rng.integers(2, 7))
    diameters = SMALLEST * np.exp(rng.random(count) * np.log(LARGEST / SMALLEST))
    classes = rng.integers(1, len(TOY_LABELS), count)
    # One object is large, and its class changes from image to image, so small sets have them all.
    diameters[0] = rng.uniform(0.3, LARGEST)
    step, place = divmod(index, VAL_EVERY)
    classes[0] = 1 + (step + 2 * place) % len(SHAPES)
    order = np.argsort(-diameters)  # large ones first, so that none is hidden
    diameters, classes = diameters[order] * short, classes[order]
    for number, (diameter, kind) in enumerate(zip(diameters, classes, strict=True), start=1):
        _paint(rng, canvas, instances, float(diameter), int(kind), number)
    canvas += rng.normal(0.0, 3.0, canvas.shape)
    return _finish(canvas, instances, classes)


def _ground(rng: np.random.Generator, height: int, width: int) -> Plane:
    """(H, W, 3) float64 in 0..255: two dull colours, mixed by clouds, and waves or noise."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    clouds = rng.random((5, 5), dtype=np.float32)
    mix = np.asarray(
        Image.fromarray(clouds).resize((width, height), Image.Resampling.BICUBIC), np.float64
    )
    turn = rng.uniform(0, np.pi)
    across = (x * np.cos(turn) + y * np.sin(turn)) * 2 * np.pi / rng.uniform(14, 40)
    weave = rng.integers(3)
    if weave == 0:
        mix = mix + 0.18 * np.sin(across + 4 * mix)
    elif weave == 1:
        mix = mix + 0.25 * (rng.random((height, width)) - 0.5)
    hue = rng.random()
    low = _rgb(hue, rng.uniform(0.05, 0.3), rng.uniform(0.25, 0.6))
    high = _rgb(hue + rng.normal(0, 0.1), rng.uniform(0.05, 0.3), rng.uniform(0.45, 0.85))
    return low + (high - low) * mix[..., None]


def _rgb(hue: float, saturation: float, value: float) -> Plane:
    return 255.0 * np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


def _paint(
    rng: np.random.Generator,
    canvas: Plane,
    instances: LabelMap,
    diameter: float,
    kind: int,
    number: int,
) -> None:
    """Draw one object and its shadow in place. ``kind`` is its class, 1 to 7."""
    height, width = instances.shape
    radius = diameter / 2
    margin = min(0.7 * radius, 0.45 * min(height, width))  # a part may leave the picture
    cy, cx = rng.uniform(margin, height - margin), rng.uniform(margin, width - margin)
    turn = rng.uniform(0, 2 * np.pi)
    period = max(3.5, diameter / rng.uniform(5, 7))
    usual = rng.random() < 0.7
    hue = HUES[kind - 1] + rng.normal(0, 0.03) if usual else rng.random()
    saturation, value = rng.uniform(0.6, 0.95), rng.uniform(0.75, 1.0)
    light = _rgb(hue, 0.45 * saturation, value)
    dark = _rgb(hue + rng.normal(0, 0.02), saturation, 0.42 * value)

    reach = radius + 4 + 0.08 * diameter
    top, bottom = max(0, int(cy - reach)), min(height, int(cy + reach) + 2)
    left, right = max(0, int(cx - reach)), min(width, int(cx + reach) + 2)
    y, x = np.mgrid[top:bottom, left:right].astype(np.float64)
    y, x = y - cy, x - cx

    def axes(dx: Plane, dy: Plane) -> tuple[Plane, Plane]:
        return dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)

    window = canvas[top:bottom, left:right]
    drop = 0.06 * diameter
    shadow = np.clip(0.5 - SHAPES[kind - 1](*axes(x - drop, y - drop), radius) / (2 + drop), 0, 1)
    window *= 1 - 0.35 * shadow[..., None]

    u, v = axes(x, y)
    distance = SHAPES[kind - 1](u, v, radius)
    share = TEXTURES[kind - 1](u, v, period)
    shade = np.clip(1 - 0.18 * (x + y) / max(radius, 1.0), 0.6, 1.25)  # light from the upper left
    color = np.clip((dark + (light - dark) * share[..., None]) * shade[..., None], 0, 255)
    window += np.clip(0.5 - distance, 0, 1)[..., None] * (color - window)
    instances[top:bottom, left:right][distance < 0] = number


def _finish(canvas: Plane, instances: LabelMap, classes: npt.NDArray[np.int64]) -> ToyImage:
    """Number the visible objects 1..n, and draw a void border over every outline."""
    width = 3 + 2 * (min(instances.shape) // 300)
    from scipy import ndimage  # slow to import, and recipes are checked without it

    border = ndimage.maximum_filter(instances, width) != ndimage.minimum_filter(instances, width)
    visible = np.unique(instances[(instances > 0) & ~border])
    renumber = np.zeros(256, np.uint8)
    renumber[visible] = np.arange(1, len(visible) + 1)
    to_class = np.zeros(256, np.uint8)
    to_class[visible] = classes[visible.astype(np.int64) - 1]
    labels = to_class[instances]
    numbers = renumber[instances]
    labels[border] = VOID
    numbers[border] = VOID
    return ToyImage(np.clip(np.rint(canvas), 0, 255).astype(np.uint8), labels, numbers)


def make_toy(
    out: Path,
    *,
    num: int = 120,
    seed: int = 0,
    size: tuple[int, int] = (128, 160),
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a toy set of ``num`` images to ``out`` in VOC's layout and return ``out``.

    Three quarters are for training, one quarter for validation. Images that are there already
    from an interrupted call with the same settings are kept, so calling again resumes.

    Raises:
        SettingsError: fewer than two images, a negative seed, or sides below 16 pixels.
        OutputError: ``out`` holds something else, or cannot be written.
    """
    if num < 2:
        raise OptionError("num", f"is {num}; allowed: 2 or more images, to train and validate")
    if seed < 0:
        raise OptionError("seed", f"is {seed}; allowed: 0 or more")
    if min(size) < MIN_SIDE:
        raise OptionError(
            "size", f"is {size[0]} {size[1]}; allowed: {MIN_SIDE} or more pixels a side"
        )
    _claim(out, seed, size)

    def write(index: int) -> None:
        name = toy_name(index)
        photo = out / "JPEGImages" / f"{name}.jpg"
        if photo.exists():  # written last, so its masks are there too
            return
        toy = toy_image(seed, index, size)
        write_label_map(out / "SegmentationClass" / f"{name}.png", toy.labels, TOY_LABELS)
        write_label_map(out / "SegmentationObject" / f"{name}.png", toy.instances, TOY_LABELS)
        with atomic_path(photo) as temporary:
            Image.fromarray(toy.image).save(temporary, format="JPEG", quality=95, subsampling=0)

    for done, _ in enumerate(prefetch(write, range(num), workers=workers), start=1):
        if progress:
            progress(done, num)
    names = [toy_name(index) for index in range(num)]
    train = [name for index, name in enumerate(names) if index % VAL_EVERY != 1]
    for split, members in (("train", train), ("val", names[1::VAL_EVERY]), ("trainval", names)):
        _write_lines(out / "ImageSets" / "Segmentation" / f"{split}.txt", members)
    return out


def toy_name(index: int) -> str:
    """File name of an image without suffix."""
    return f"toy_{index:06d}"


def _claim(out: Path, seed: int, size: tuple[int, int]) -> None:
    """Mark ``out`` as a toy set, or refuse to touch what is there."""
    settings = {"format_version": 1, "seed": seed, "size": list(size)}
    make_folder(out)
    marker = out / MARKER
    if marker.exists():
        try:
            found = read_json(marker)
        except RunError as error:
            raise OutputError(f"{error}; delete {out} or choose another --out") from error
        if found != settings:
            raise OutputError(
                f"{out}: holds a toy set of other settings ({found}, asked for {settings}); delete "
                "it or choose another --out"
            )
    elif any(files_in(out)):
        raise OutputError(f"{out}: is not empty and no toy set; choose another --out")
    else:
        write_json(marker, settings)
    _write_lines(out / "classes.txt", TOY_LABELS.names)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))


def find_toy(path: Path) -> Path | None:
    """``path`` where it is a toy set."""
    return path if (path / MARKER).exists() else None


def open_toy(root: Path, *, max_pixels: int) -> DataSet:
    """A toy set. Raises DataError where its generation was not finished."""
    if not (root / "ImageSets" / "Segmentation" / "val.txt").exists():
        raise DataError(
            f"{root}: an unfinished toy set; run `upscore data toy --out {root}` again with the "
            "same settings"
        )
    return open_voc(root, max_pixels=max_pixels, layout="toy")
