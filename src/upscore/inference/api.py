"""Python interface for inference: ``upscore.load("RUN").segment("photo.jpg")``."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from upscore.core.draw import overlay, painted, with_legend
from upscore.core.images import write_label_map
from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.core.limits import DEFAULT_TILE, MAX_PIXELS
from upscore.core.photo_values import AS_STORED, PhotoValues
from upscore.core.quoting import join
from upscore.core.runtime import DeviceName, Precision
from upscore.errors import SettingsError
from upscore.inference.load import load_segmenter
from upscore.inference.one_photo import Photo, rgb_of
from upscore.inference.segmenter import ScoreMap, Segmenter
from upscore.inference.trained_photos import trained_photos

SHOWN = 4
"""Classes in the representation of a result, the largest."""


@dataclass(frozen=True, repr=False)
class Segmentation:
    """A labelled photo.

    Attributes:
        image: the photo, (H, W, 3) uint8, upright.
        labels: the class of every pixel, (H, W) uint8.
        probabilities: (C, H, W) float32 in [0, 1].
        label_set: names and colours of the C classes.
    """

    image: RGBImage
    labels: LabelMap
    probabilities: ScoreMap
    label_set: Labels

    def __repr__(self) -> str:
        height, width = self.labels.shape
        largest = sorted(self.shares.items(), key=lambda item: -item[1])[:SHOWN]
        shares = [f"{name} {share:.0%}" for name, share in largest if share]
        return f"<Segmentation {width}x{height}: {', '.join(shares)}>"

    @property
    def shares(self) -> dict[str, float]:
        """The share of each class in the photo, in [0, 1], by its name."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.label_set))
        return dict(zip(self.label_set.names, (counts / self.labels.size).tolist(), strict=False))

    def _repr_png_(self) -> bytes:
        """The overlay, for notebooks."""
        stream = io.BytesIO()
        self.overlay().save(stream, format="png")
        return stream.getvalue()

    def overlay(self, *, alpha: float = 0.5, legend: bool = True) -> Image.Image:
        """The photo under the classes' colours, with a legend of the classes found below it.

        Args:
            alpha: share of the colours, 0..1.
            legend: False gives a picture of exactly the photo's size.

        Raises:
            SettingsError: ``alpha`` out of range.
        """
        picture = overlay(self.image, self.labels, self.label_set, alpha=alpha)
        if legend:
            picture = with_legend(picture, self.label_set, painted(self.label_set, self.labels))
        return Image.fromarray(picture)

    def save(self, path: str | Path) -> None:
        """The label map as a palette PNG: values are class indices, colours the classes'.

        Raises:
            SettingsError: a name that does not end in .png (JPEG would change the values).
            OutputError: cannot write.
        """
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise SettingsError(
                f"{path}: label maps are saved as .png; for a picture to look at: "
                ".overlay().save(...)"
            )
        write_label_map(path, self.labels, self.label_set)


class Predictor:
    """A segmenter for paths, Pillow pictures and arrays.

    ``photos`` is how values of photos became 8-bit RGB when the network was trained.
    """

    def __init__(self, segmenter: Segmenter, photos: PhotoValues = AS_STORED) -> None:
        self.photos = photos
        self.segmenter = segmenter
        self.labels = segmenter.labels

    def __repr__(self) -> str:
        return f"<Predictor of {len(self.labels)} classes: {join(self.labels.names)}>"

    def __call__(self, image: Photo) -> Segmentation:
        """The same as :meth:`segment`."""
        return self.segment(image)

    def segment(self, image: Photo, *, max_pixels: int = MAX_PIXELS) -> Segmentation:
        """Label one photo.

        Args:
            image: a file, a Pillow picture of any mode, or an (H, W, 3) uint8 RGB array. Files and
                pictures are rotated by their EXIF tag.
            max_pixels: images with more pixels are refused, before they are decoded.

        Raises:
            NotFoundError: no such file.
            DataError: a file that is no image, an array of another type or shape, or too many
                pixels.
        """
        pixels = rgb_of(image, max_pixels=max_pixels, values=self.photos)
        probabilities = self.segmenter.probabilities(pixels)
        labels = probabilities.argmax(axis=0).astype(np.uint8)
        return Segmentation(pixels, labels, probabilities, self.labels)


def load(
    path: str | Path,
    *,
    device: DeviceName = "auto",
    precision: Precision = "auto",
    tile: int = DEFAULT_TILE,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    crf: str | Path | None = None,
) -> Predictor:
    """Load a run folder, a model folder or a pipeline file for inference.

    Arguments and errors are those of :func:`upscore.inference.load.load_segmenter`.

    Example:
        >>> network = upscore.load(run)
        >>> result = network.segment(toy / "JPEGImages" / "toy_000000.jpg")
        >>> result.labels.shape == result.image.shape[:2]
        True
    """
    segmenter = load_segmenter(
        Path(path), device=device, precision=precision, tile=tile, flip=flip, scales=scales, crf=crf
    )
    return Predictor(segmenter, trained_photos(Path(path)))
