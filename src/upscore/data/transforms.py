"""Augmentation, paired for photo and mask, as pure functions of (sample, random generator)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Le
from PIL import Image
from pydantic import model_validator

from upscore.core.labels import VOID, LabelMap, RGBImage
from upscore.core.settings import Settings
from upscore.data.dataset import Sample

Fraction = Annotated[float, Ge(0.0), Le(1.0)]
Side = Annotated[int, Ge(1)]


class Augment(Settings):
    """What happens to a training pair, in this order: resize, scale and crop, flip, colours.

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
    flip: Fraction = 0.0
    """Probability of mirroring left and right."""
    brightness: Fraction = 0.0
    """Photos are multiplied by 1 +- this."""
    contrast: Fraction = 0.0
    """Distance from the photo's mean grey is multiplied by 1 +- this."""
    saturation: Fraction = 0.0
    """Distance from the pixel's own grey is multiplied by 1 +- this."""
    hue: Annotated[float, Ge(0.0), Le(0.5)] = 0.0
    """Channels are mixed by a rotation about the grey axis of up to this part of a turn."""

    @model_validator(mode="after")
    def _check(self) -> Augment:
        low, high = self.scale
        if not 0.05 <= low <= high <= 20.0:
            raise ValueError(f"scale is {list(self.scale)}; want 0.05 <= low <= high <= 20")
        return self

    @property
    def fixed_size(self) -> bool:
        """Whether every sample comes out at one size, as batches of more than one need."""
        return self.crop is not None or (self.resize is not None and self.scale == (1.0, 1.0))

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """A new pair: image uint8 (h, w, 3), labels uint8 (h, w); h, w are ``crop`` if set."""
        image, labels = sample.image, sample.labels
        if self.resize is not None:
            image, labels = resize_pair(image, labels, self.resize)
        image, labels = self._scale_and_crop(image, labels, rng)
        if self.flip and rng.random() < self.flip:
            image, labels = image[:, ::-1], labels[:, ::-1]
        image = self._recolor(image, rng)
        return Sample(np.ascontiguousarray(image), np.ascontiguousarray(labels), sample.name)

    def _scale_and_crop(
        self, image: RGBImage, labels: LabelMap, rng: np.random.Generator
    ) -> tuple[RGBImage, LabelMap]:
        zoom = float(np.exp(rng.uniform(np.log(self.scale[0]), np.log(self.scale[1]))))
        height, width = labels.shape
        new = max(1, round(height * zoom)), max(1, round(width * zoom))
        if self.crop is None:
            return resize_pair(image, labels, new) if new != (height, width) else (image, labels)
        # Only the part of the photo that the crop shows is resized: a zoom in costs no more.
        spans = []
        for size, want in zip(new, self.crop, strict=True):
            spare = abs(size - want)
            offset = int(rng.integers(0, spare + 1))
            taken = min(size, want)
            spans.append((offset if size > want else 0, taken, offset if size < want else 0))
        (top, h, pad_top), (left, w, pad_left) = spans
        if new == (height, width):
            image = image[top : top + h, left : left + w]
            labels = labels[top : top + h, left : left + w]
        else:
            fy, fx = height / new[0], width / new[1]
            box = (left * fx, top * fy, (left + w) * fx, (top + h) * fy)
            image, labels = resize_pair(image, labels, (h, w), box)
        if (h, w) == self.crop:
            return image, labels
        mean = image.reshape(-1, 3).mean(axis=0)
        canvas = np.empty((*self.crop, 3), dtype=np.uint8)
        canvas[:] = mean.astype(np.uint8)
        void = np.full(self.crop, VOID, dtype=np.uint8)
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
