"""What a photo shows as a whole, and where: an image classifier and its dense form."""

from __future__ import annotations

import difflib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from upscore.core.choices import suggest
from upscore.core.draw import heated, require_picture, titled
from upscore.core.files import exists
from upscore.core.images import write_image
from upscore.core.labels import RGBImage
from upscore.core.limits import MAX_PIXELS
from upscore.core.model_folder import find_model, included
from upscore.core.quoting import join, quote
from upscore.core.runtime import DeviceName, Precision, Runtime, select_runtime
from upscore.errors import NotFoundError, OptionError, SettingsError
from upscore.inference.finite_scores import require_finite
from upscore.inference.one_photo import Photo, rgb_of
from upscore.models.classifier import STRIDE
from upscore.models.classifier_files import read_classifier
from upscore.models.classifier_folder import (
    SavedClassifier,
    load_classifier_folder,
    save_classifier,
)
from upscore.models.fold import fold_batch_norm
from upscore.models.layers import resize_bilinear
from upscore.models.pretrained import IMAGENET

DEFAULT_CLASSIFIER = "lite0"

PUBLISHED = {"lite0": "lite0-fp32", "vgg16": "vgg16", "vgg16_bn": "vgg16_bn"}
"""Classifiers by name, and the file of ``pretrained.IMAGENET`` that has all their layers."""

SHARE = 224 / 256
"""Side of the square that is classified, of the photo's shorter side; as torchvision's weights."""

HEATMAP_SIDE = 640
"""Longer side, in pixels, of photos in the dense form."""

SHOWN = 5
"""Classes in the representation of a result, the most probable."""


@dataclass(frozen=True, repr=False)
class Classification:
    """What a photo shows as a whole.

    Attributes:
        classes: the K class names.
        probabilities: (K,) float32 in [0, 1], which add up to 1.
    """

    classes: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]

    def __repr__(self) -> str:
        best = ", ".join(f"{name} {share:.0%}" for name, share in self.top(SHOWN))
        return f"<Classification: {best}>"

    def top(self, count: int = SHOWN) -> list[tuple[str, float]]:
        """The most probable classes, best first, each with its probability.

        Raises:
            SettingsError: a count below 1.
        """
        if count < 1:
            raise OptionError("top", f"is {count}; allowed: 1 or more classes")
        best = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.classes[index], float(self.probabilities[index])) for index in best]


@dataclass(frozen=True, repr=False)
class Heatmap:
    """Where a photo shows a class.

    Attributes:
        image: the photo, (H, W, 3) uint8, upright.
        name: the class.
        probabilities: (H, W) float32 in [0, 1], of this class among all, for the window around each
            pixel; computed every 32 pixels (of the resized photo) and interpolated.
    """

    image: RGBImage
    name: str
    probabilities: npt.NDArray[np.float32]

    def __repr__(self) -> str:
        height, width = self.probabilities.shape
        return f"<Heatmap {width}x{height} of {self.name}: up to {self.highest:.0%}>"

    @property
    def highest(self) -> float:
        """The highest probability in the photo."""
        return float(self.probabilities.max())

    def overlay(self, *, alpha: float = 0.6, title: bool = True) -> Image.Image:
        """The photo in grey under the map, whose brightest colour is the highest probability.

        Args:
            alpha: share of the colours, 0 to 1.
            title: False gives a picture of exactly the photo's size.

        Raises:
            SettingsError: ``alpha`` out of range.
        """
        picture = heated(self.image, self.probabilities, high=self.highest, alpha=alpha)
        if title:
            text = f"{self.name}: 0 (black) to {self.highest:.2g} (yellow)"
            picture = titled(picture, text)
        return Image.fromarray(picture)

    def save(self, path: str | Path, *, alpha: float = 0.6) -> None:
        """Write the overlay as .png or .jpg.

        Raises:
            SettingsError: another suffix, or ``alpha`` out of range.
            OutputError: cannot write.
        """
        write_image(require_picture(Path(path)), np.asarray(self.overlay(alpha=alpha)))

    def _repr_png_(self) -> bytes:
        """The overlay, for notebooks."""
        stream = io.BytesIO()
        self.overlay().save(stream, format="png")
        return stream.getvalue()


class ImageClassifier:
    """A classifier for paths, Pillow pictures and arrays, and its dense form.

    Every photo is read as RGB (grey is repeated, transparency becomes white) and can have any size.
    """

    def __init__(self, saved: SavedClassifier, runtime: Runtime) -> None:
        self.classes = saved.classes
        self._saved = saved
        self._runtime = runtime
        # the copy for inference shares the weights that need no change
        self._model = fold_batch_norm(saved.model).to(runtime.torch_device, runtime.dtype)

    def __repr__(self) -> str:
        return f"<ImageClassifier of {len(self.classes)} classes: {join(self.classes, most=5)}>"

    @torch.inference_mode()
    def classify(self, photo: Photo, *, max_pixels: int = MAX_PIXELS) -> Classification:
        """The probability of each class for the photo's middle square.

        Its side is 7/8 of the photo's shorter side; it is resized to 224x224. Small photos are
        enlarged.

        Raises:
            NotFoundError: no such file.
            DataError: a file that is no image, an array of another type or shape, or too many
                pixels.
        """
        square = middle_square(rgb_of(photo, max_pixels=max_pixels), self._model.side)
        scores = self._model(self._prepared(square))
        require_finite(scores)
        return Classification(self.classes, scores.float().softmax(1)[0].cpu().numpy())

    @torch.inference_mode()
    def heatmap(
        self,
        photo: Photo,
        name: str | None = None,
        *,
        side: int = HEATMAP_SIDE,
        max_pixels: int = MAX_PIXELS,
    ) -> Heatmap:
        """Where the photo shows a class: the classifier as a fully convolutional network.

        Every probability is that of a window of 224x224 pixels, with the mean colour outside the
        photo, so ``side`` says how large objects are seen.

        Args:
            name: a class by name or index; None: the best of :meth:`classify`.
            side: the photo's longer side is reduced to this many pixels. Photos whose shorter side
                has fewer than 224 are enlarged to it, as far as the longer side allows.

        Raises:
            SettingsError: no such class, several of this name, or a side out of range.
            NotFoundError, DataError: as :meth:`classify`.
        """
        if not 32 <= side <= 8192:
            raise OptionError("side", f"is {side}; allowed: 32 to 8192 pixels")
        pixels = rgb_of(photo, max_pixels=max_pixels)
        if name is None:
            index = int(self.classify(pixels, max_pixels=max_pixels).probabilities.argmax())
        else:
            index = find_class(name, self.classes)
        height, width = pixels.shape[:2]
        zoom = min(side / max(height, width), max(1.0, self._model.side / min(height, width)))
        new = max(1, round(width * zoom)), max(1, round(height * zoom))
        resized = Image.fromarray(pixels).resize(new, Image.Resampling.BILINEAR)
        images = self._prepared(np.asarray(resized))
        scores = self._model.dense(images)
        require_finite(scores)
        shares = scores.float().softmax(1)[:, index, None]
        corner = self._model.trunk.corner
        map_ = resize_bilinear(shares, STRIDE, like=images, corner=corner)[0, 0].cpu().numpy()
        if map_.shape != (height, width):
            wide = Image.fromarray(map_).resize((width, height), Image.Resampling.BILINEAR)
            map_ = np.asarray(wide)
        return Heatmap(pixels, self.classes[index], np.clip(map_, 0, 1))

    def save(self, folder: str | Path) -> None:
        """Write a model folder, which :func:`load_classifier` and `upscore classify --model` take.

        Raises:
            OutputError: cannot write.
        """
        saved = self._saved
        save_classifier(folder, saved.model, classes=saved.classes, input_spec=saved.input_spec)

    def _prepared(self, image: RGBImage) -> torch.Tensor:
        """(H, W, 3) uint8 -> (1, 3, H, W) as the network expects it, on its device."""
        pixels = torch.from_numpy(np.require(image, requirements=["C", "W"]))[None]
        pixels = pixels.to(self._runtime.torch_device).permute(0, 3, 1, 2)
        return self._saved.input_spec.apply(pixels).to(self._runtime.dtype)


def middle_square(image: RGBImage, side: int) -> RGBImage:
    """The middle of a photo (H, W, 3), 7/8 of its shorter side, resized to (side, side, 3).

    As torchvision's resizing to 256 and cropping to 224, in one step that needs no memory for the
    rest of a long photo.
    """
    height, width = image.shape[:2]
    square = min(height, width) * SHARE
    left, top = (width - square) / 2, (height - square) / 2
    box = (left, top, left + square, top + square)
    resized = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized)


def find_class(name: str, classes: Sequence[str]) -> int:
    """The index of a class by name (in any case) or by its index.

    Raises:
        SettingsError: none, or several of this name.
    """
    wanted = str(name).strip()
    for found in (
        [index for index, other in enumerate(classes) if other == wanted],
        [index for index, other in enumerate(classes) if other.lower() == wanted.lower()],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            raise SettingsError(
                f"class {quote(wanted)} is one of {join([str(index) for index in found])}; give "
                "the number"
            )
    if wanted.isdecimal() and wanted.isascii() and int(wanted[:9]) < len(classes):
        return int(wanted)
    last = len(classes) - 1
    folded = {other.lower(): other for other in classes}
    close = difflib.get_close_matches(wanted.lower()[:100], folded, n=3)
    close += [key for key in folded if wanted.lower() in key and wanted and key not in close]
    hint = f"; did you mean {join([quote(folded[key]) for key in close[:5]])}?" if close else "."
    raise SettingsError(
        f"no class {quote(wanted)}{hint} It is one of {len(classes)} names, or a number up to "
        f"{last}; `upscore classify PHOTO --top {len(classes)}` prints all"
    )


def load_classifier(
    model: str | Path = DEFAULT_CLASSIFIER,
    *,
    input: str | None = None,
    classes: Sequence[str] | None = None,
    device: DeviceName = "auto",
    precision: Precision = "auto",
) -> ImageClassifier:
    """Load an image classifier: by name, from a file of published weights, or a model folder.

    Args:
        model: ``lite0`` (EfficientNet-Lite0, extra ``imagenet``), ``vgg16`` or ``vgg16_bn``
            (torchvision's, downloaded once); a file of such weights (.pth, .safetensors, .h5 of
            Keras with its top, or .caffemodel); or a folder of :meth:`ImageClassifier.save`.
        input: for a file: how its weights expect photos, ``imagenet``, ``caffe`` or ``lite0``;
            None: as its publisher's do. Names and folders know their own.
        classes: for a file: names of its classes; None: ImageNet's where there are 1000.

    Raises:
        NotFoundError: neither a name nor a path, or a package that is not installed.
        RunError: damaged, without the last layers, or a network that labels pixels.
        SettingsError: an unknown input, an argument that is for files only, or another number of
            names than of classes.
        WorkError: the download failed.

    Example:
        >>> network = upscore.load_classifier(classifier)
        >>> network.classes
        ('disc', 'box', 'sky')
        >>> network.classify(photo).probabilities.shape
        (3,)
    """
    runtime = select_runtime(device, precision)
    return ImageClassifier(_read(str(model), input, classes), runtime)


def _read(model: str, input: str | None, classes: Sequence[str] | None) -> SavedClassifier:
    path = None if model in PUBLISHED else _path(model)
    if (path is None or not path.is_file()) and not input is classes is None:
        option = "input" if input is not None else "classes"
        raise SettingsError(f"{option} is for files of weights, and {model} knows its own")
    if path is not None and not path.is_file():
        return load_classifier_folder(find_model(path))
    if path is None:
        try:
            path = IMAGENET[PUBLISHED[model]].find()
        except NotFoundError as error:
            raise NotFoundError(f"the classifier {model}: {error}") from error
    return read_classifier(path, input=input, classes=classes)


def _path(model: str) -> Path:
    path = included(model) or Path(model)
    if not exists(path):
        raise NotFoundError(
            f"no classifier {quote(model)}: no file or folder, and no name; "
            f"{suggest(model, PUBLISHED)}"
        )
    return path
