"""Name what photos show as a whole, and draw where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from upscore.core.failures import failure_message
from upscore.core.limits import MAX_PIXELS
from upscore.core.runtime import DeviceName, Precision
from upscore.inference.classify import (
    DEFAULT_CLASSIFIER,
    HEATMAP_SIDE,
    Classification,
    Heatmap,
    ImageClassifier,
    load_classifier,
)
from upscore.inference.one_photo import Photo

Model = str | Path | ImageClassifier
"""A name, file or folder of :func:`load_classifier`, or what it returned, which saves reading."""


def classify(
    photo: Photo,
    *,
    model: Model = DEFAULT_CLASSIFIER,
    device: DeviceName = "auto",
    precision: Precision = "auto",
    max_pixels: int = MAX_PIXELS,
) -> Classification:
    """Name what a photo shows as a whole.

    Args:
        photo: a file, a Pillow picture, or an (H, W, 3) uint8 RGB array.
        model: see :func:`upscore.load_classifier`, or its result.

    Raises:
        UpscoreError: as :func:`upscore.load_classifier` and :meth:`ImageClassifier.classify`.

    Example:
        >>> result = upscore.classify(photo, model=classifier)
        >>> name, probability = result.top(1)[0]
        >>> name in result.classes
        True
    """
    return _loaded(model, device, precision).classify(photo, max_pixels=max_pixels)


def heatmap(
    photo: Photo,
    name: str | None = None,
    *,
    model: Model = DEFAULT_CLASSIFIER,
    side: int = HEATMAP_SIDE,
    device: DeviceName = "auto",
    precision: Precision = "auto",
    max_pixels: int = MAX_PIXELS,
) -> Heatmap:
    """Find where a photo shows a class, by the classifier as a fully convolutional network.

    Args:
        photo: a file, a Pillow picture, or an (H, W, 3) uint8 RGB array.
        name: a class by name or index; None: the most probable one.
        model: see :func:`upscore.load_classifier`, or its result.
        side: longer side in pixels at which the photo is looked at.

    Raises:
        UpscoreError: as :func:`upscore.load_classifier` and :meth:`ImageClassifier.heatmap`.

    Example:
        >>> found = upscore.heatmap(photo, "disc", model=classifier)
        >>> found.probabilities.shape == found.image.shape[:2]
        True
    """
    return _loaded(model, device, precision).heatmap(photo, name, side=side, max_pixels=max_pixels)


@dataclass
class ClassifyResult:
    """The classes of several photos.

    Attributes:
        found: by photo, in the order in which they were given.
        failures: messages of photos that could not be classified; all others are.
    """

    top: int
    found: dict[str, Classification] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The best classes of each photo, and the failures, as JSON values."""
        return {
            "photos": [
                {
                    "photo": photo,
                    "classes": [
                        {"name": name, "probability": share} for name, share in one.top(self.top)
                    ],
                }
                for photo, one in self.found.items()
            ],
            "failures": self.failures,
        }


def classify_files(
    photos: Sequence[str | Path],
    *,
    model: Model = DEFAULT_CLASSIFIER,
    top: int,
    device: DeviceName = "auto",
    precision: Precision = "auto",
    max_pixels: int = MAX_PIXELS,
    show: Callable[[str, Classification], None] = lambda _photo, _found: None,
) -> ClassifyResult:
    """Classify photo after photo; one that cannot be read does not stop the others.

    Args:
        top: classes of each photo in the result.
        show: called with each photo and its classes.

    Raises:
        SettingsError: ``top`` below 1.
        UpscoreError: as :func:`upscore.load_classifier`.
    """
    classifier = _loaded(model, device, precision)
    result = ClassifyResult(top)
    for photo in dict.fromkeys(map(str, photos)):  # one that is named twice counts once
        try:
            found = classifier.classify(photo, max_pixels=max_pixels)
        except Exception as error:  # of one photo
            message = failure_message(photo, error, doing="classify it", memory_hint="")
            result.failures.append(message)
            continue
        result.found[photo] = found
        show(photo, found)
    return result


def _loaded(model: Model, device: DeviceName, precision: Precision) -> ImageClassifier:
    if isinstance(model, ImageClassifier):
        return model
    return load_classifier(model, device=device, precision=precision)
