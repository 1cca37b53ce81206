"""Augmentation, paired for photo and mask, as pure functions of (sample, random generator)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Le
from PIL import Image, ImageFilter
from pydantic import model_validator

from upscore.core.labels import VOID, LabelMap, RGBImage
from upscore.core.settings import Settings, Side
from upscore.data.dataset import Sample
from upscore.data.warp import warp_pair

Fraction = Annotated[float, Ge(0.0), Le(1.0)]


class Augment(Settings):
    """What happens to a training pair: resize; scale, rotation and crop; flip; blur; colours; mix.

    All random numbers come from the generator that is given, so that a sample is a function of
    (seed, position) alone.
    """

    resize: tuple[Side, Side] | None = None
    """Height and width that every photo is resized to first (aspect not kept); null keeps it."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Range of the random zoom; sampled uniformly in its logarithm."""
    crop: tuple[Side, Side] | None = None
    """Height and width of the random crop. A smaller photo is padded: void for the mask, the
    photo's mean colour around it. Null keeps the photo's own size."""
    rotation: Annotated[float, Ge(0.0), Le(180.0)] = 0.0
    """Turn about the crop's centre by up to so many degrees in either direction; outside the photo
    as with crop. It is one resampling with scale and crop."""
    rare: Fraction = 0.0
    """Probability that a crop is placed so that it holds a pixel of a class that is drawn among
    those of the photo, with chances inverse to their pixels in the training split; of that class,
    each pixel alike. Else, and in photos without a labelled pixel, crops are placed anywhere."""
    centre_only: bool = False
    """Only the pixel in the middle of the crop keeps its label, all others become void: a crop is a
    patch to classify, as for the network patch-cnn."""
    flip: Fraction = 0.0
    """Probability of mirroring left and right."""
    blur: Annotated[float, Ge(0.0), Le(20.0)] = 0.0
    """Photos are blurred by a Gaussian of a deviation of 0 to this, in pixels."""
    brightness: Fraction = 0.0
    """Photos are multiplied by 1 +- this."""
    contrast: Fraction = 0.0
    """Distance from the photo's mean grey is multiplied by 1 +- this."""
    saturation: Fraction = 0.0
    """Distance from the pixel's own grey is multiplied by 1 +- this."""
    hue: Annotated[float, Ge(0.0), Le(0.5)] = 0.0
    """Channels are mixed by a rotation about the grey axis of up to this part of a turn."""
    gamma: Annotated[float, Ge(0.0), Le(3.0)] = 0.0
    """Values in [0, 1] are raised to a power between 1 / (1 + this) and 1 + this, uniform in its
    logarithm."""
    mix: Fraction = 0.0
    """Probability that a rectangle of another training sample replaces that of this one, in photo
    and mask (CutMix, Yun et al. 2019). Its share of the area is uniform in [0, 1]."""

    @model_validator(mode="after")
    def _check(self) -> Augment:
        low, high = self.scale
        if not 0.05 <= low <= high <= 20.0:
            raise ValueError(f"scale is {list(self.scale)}; expected 0.05 <= low <= high <= 20")
        if self.rare and self.crop is None:
            raise ValueError(
                f"rare is {self.rare:g}, which places crops, and there are none; set crop to "
                "[height, width], or leave rare out"
            )
        if self.centre_only and self.crop is None:
            raise ValueError(
                "centre_only is true, and there is no crop to have a middle; set crop to [height, "
                "width], or leave centre_only out"
            )
        if self.centre_only and self.rare:
            raise ValueError(
                f"rare is {self.rare:g}, which places crops so that they hold a pixel, and with "
                "centre_only that pixel's label would be lost; leave one of them out"
            )
        if self.mix and not self.fixed_size:
            raise ValueError(
                f"mix is {self.mix:g}, and samples of different sizes cannot be mixed; set crop to "
                "[height, width], or leave mix out"
            )
        return self

    @property
    def fixed_size(self) -> bool:
        """Whether every sample comes out at one size, as batches of more than one need."""
        return self.crop is not None or (self.resize is not None and self.scale == (1.0, 1.0))

    def __call__(
        self,
        sample: Sample,
        rng: np.random.Generator,
        class_pixels: npt.NDArray[np.integer] | None = None,
    ) -> Sample:
        """A new pair: image uint8 (h, w, 3), labels uint8 (h, w); h, w are ``crop`` if set.

        ``mix`` takes two samples, and is for the caller (:func:`cut_mix`).

        Args:
            class_pixels: (C,) pixels of each class in the training split, for ``rare``; None:
                all classes alike.
        """
        image, labels = sample.image, sample.labels
        if self.resize is not None:
            image, labels = resize_pair(image, labels, self.resize)
        image, labels = self._scale_and_crop(image, labels, rng, class_pixels)
        if self.centre_only:
            labels = _middle_alone(labels)
        if self.flip and rng.random() < self.flip:
            image, labels = image[:, ::-1], labels[:, ::-1]
        if self.blur:
            gaussian = ImageFilter.GaussianBlur(rng.uniform(0, self.blur))
            image = np.asarray(Image.fromarray(image).filter(gaussian))
        image = self._recolor(image, rng)
        if self.gamma:
            power = (1 + self.gamma) ** rng.uniform(-1, 1)
            image = np.rint(255 * (np.arange(256) / 255) ** power).astype(np.uint8)[image]
        return Sample(np.ascontiguousarray(image), np.ascontiguousarray(labels), sample.name)

    def _scale_and_crop(
        self,
        image: RGBImage,
        labels: LabelMap,
        rng: np.random.Generator,
        class_pixels: npt.NDArray[np.integer] | None,
    ) -> tuple[RGBImage, LabelMap]:
        zoom = float(np.exp(rng.uniform(np.log(self.scale[0]), np.log(self.scale[1]))))
        height, width = labels.shape
        new = max(1, round(height * zoom)), max(1, round(width * zoom))
        angle = np.radians(rng.uniform(-self.rotation, self.rotation)) if self.rotation else 0.0
        pixel = None
        if self.rare and rng.random() < self.rare:
            pixel = _draw_pixel(labels, rng, class_pixels)
        if self.crop is None:
            top, left = 0, 0
        else:
            rows, columns = (None, None) if pixel is None else pixel
            top = _place(height, new[0], self.crop[0], rows, rng)
            left = _place(width, new[1], self.crop[1], columns, rng)
        crop = new if self.crop is None else self.crop
        step = np.array([height / new[0], width / new[1]])
        if self.rotation:
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            half = np.array(crop) / 2
            centre = np.array([top, left]) + half
            # what the crop has to show, and is moved to where the turn takes it out: the pixel, or
            # the point of the photo that is nearest to the crop's centre
            if pixel is None:
                point = np.clip(centre, 0.5, np.array(new) - 0.5)
            else:
                point = (np.array(pixel) + 0.5) / step
            offset = (point - centre) @ turn
            centre += turn @ (offset - np.clip(offset, 0.5 - half, half - 0.5))
            return warp_pair(image, labels, crop, centre * step, step[:, None] * turn)
        # Only the part of the photo that the crop shows is resized: a zoom in costs no more.
        h, w = min(new[0], crop[0]), min(new[1], crop[1])
        pad_top, pad_left = max(-top, 0), max(-left, 0)
        top, left = max(top, 0), max(left, 0)
        if new == (height, width):
            image = image[top : top + h, left : left + w]
            labels = labels[top : top + h, left : left + w]
        else:
            fy, fx = height / new[0], width / new[1]
            box = (left * fx, top * fy, (left + w) * fx, (top + h) * fy)
            image, labels = resize_pair(image, labels, (h, w), box)
        if (h, w) == crop:
            return image, labels
        mean = image.reshape(-1, 3).mean(axis=0)
        canvas = np.empty((*crop, 3), dtype=np.uint8)
        canvas[:] = mean.astype(np.uint8)
        void = np.full(crop, VOID, dtype=np.uint8)
        canvas[pad_top : pad_top + h, pad_left : pad_left + w] = image
        void[pad_top : pad_top + h, pad_left : pad_left + w] = labels
        return canvas, void

    def _recolor(self, image: RGBImage, rng: np.random.Generator) -> RGBImage:
        """One affine map of the colours, so that all jitters cost a single pass."""
        if not (self.brightness or self.contrast or self.saturation or self.hue):
            return image
        grey = np.full((3, 3), 1.0 / 3.0)
        matrix = np.eye(3)
        if self.hue:
            matrix = _rotation_about_grey(2 * np.pi * rng.uniform(-self.hue, self.hue)) @ matrix
        if self.saturation:
            factor = rng.uniform(1 - self.saturation, 1 + self.saturation)
            matrix = (factor * np.eye(3) + (1 - factor) * grey) @ matrix
        offset = np.zeros(3)
        if self.contrast:
            factor = rng.uniform(1 - self.contrast, 1 + self.contrast)
            offset += (1 - factor) * float(image[::4, ::4].mean())
            matrix = factor * matrix
        if self.brightness:
            factor = rng.uniform(1 - self.brightness, 1 + self.brightness)
            matrix, offset = factor * matrix, factor * offset
        flat = image.reshape(-1, 3).astype(np.float32)
        flat = flat @ matrix.T.astype(np.float32) + offset.astype(np.float32)
        np.clip(flat, 0.0, 255.0, out=flat)
        return (flat + 0.5).astype(np.uint8).reshape(image.shape)


def _middle_alone(labels: LabelMap) -> LabelMap:
    """Void but for the pixel in the middle, or below and right of it where sides are even."""
    middle = labels.shape[0] // 2, labels.shape[1] // 2
    alone = np.full(labels.shape, VOID, dtype=np.uint8)
    alone[middle] = labels[middle]
    return alone


def _draw_pixel(
    labels: LabelMap, rng: np.random.Generator, class_pixels: npt.NDArray[np.integer] | None
) -> tuple[int, int] | None:
    """Row and column of a pixel of a class, rare ones more often; None where all is void."""
    classes = np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[:VOID])
    if not len(classes):
        return None
    pixels = np.ones(len(classes)) if class_pixels is None else class_pixels[classes]
    chances = 1 / np.maximum(pixels, 1)
    label = rng.choice(classes, p=chances / chances.sum())
    places = np.flatnonzero(labels == label)
    place = int(places[rng.integers(len(places))])
    return place // labels.shape[1], place % labels.shape[1]


def _place(old: int, size: int, crop: int, pixel: int | None, rng: np.random.Generator) -> int:
    """Where a crop begins along one axis; below 0 where the photo is smaller and padded.

    Args:
        old, size: the photo's size, before and after zoom.
        pixel: to be in the crop, counted before zoom.
    """
    spare = size - crop
    if spare <= 0:
        return -int(rng.integers(0, 1 - spare))
    low, high = 0, spare
    if pixel is not None:
        pixel = int((pixel + 0.5) * size / old)
        low, high = max(0, pixel - crop + 1), min(spare, pixel)
    return int(rng.integers(low, high + 1))


def _rotation_about_grey(angle: float) -> npt.NDArray[np.float64]:
    """(3, 3) rotation of RGB about (1, 1, 1), Rodrigues' formula."""
    k = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3.0)
    return np.asarray(np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k))


def resize_pair(
    image: RGBImage,
    labels: LabelMap,
    size: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
) -> tuple[RGBImage, LabelMap]:
    """Photo bilinear (antialiased when shrinking), mask nearest, both to (height, width).

    ``box`` is the part of the pair that is shown: (left, top, right, bottom) in pixels.
    """
    height, width = size
    photo = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR, box=box)
    mask = Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST, box=box)
    return np.asarray(photo), np.asarray(mask)


def cut_mix(sample: Sample, other: Sample, rng: np.random.Generator) -> Sample:
    """``sample`` with a rectangle of ``other``, which is of the same size, in the same place.

    The rectangle has the sides' ratio of the pair; its share of the area is uniform in [0, 1], and
    each place inside is alike (CutMix, Yun et al. 2019, equation 2, with alpha = 1; there it is cut
    at the border).
    """
    side = np.sqrt(rng.random())
    inside = []
    for size in sample.labels.shape:
        length = round(size * side)
        first = int(rng.integers(0, size - length + 1))
        inside.append(slice(first, first + length))
    image, labels = sample.image.copy(), sample.labels.copy()
    rows, columns = inside
    image[rows, columns] = other.image[rows, columns]
    labels[rows, columns] = other.labels[rows, columns]
    return Sample(image, labels, f"{sample.name} + {other.name}")
