"""The VGG16 trunk with fc6 and fc7 as convolutions (FCN paper section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from upscore.errors import SettingsError
from upscore.models.base import number, whole
from upscore.models.layers import ConvBlock
from upscore.models.unpooling import MaxPool, Switches, SwitchPool

DEPTHS = (2, 2, 3, 3, 3)
"""Convolutions before each of the five pools."""

CHANNELS = (64, 128, 256, 512, 512)
"""Channels of the five stages at width 1."""

FC_WIDTH = 4096
"""Channels of fc6 and fc7 at width 1."""

STAGES = ("pool1", "pool2", "pool3", "pool4", "pool5", "fc7")
"""The networks' stages. ``poolK`` has stride 2**K; fc7 has pool5's stride."""


class VGG16(nn.Module):
    """13 convolutions of 3x3 with five pools, fc6 of 7x7, fc7 of 1x1: images -> features by name.

    In the geometry ``same`` every convolution keeps the size, so that ``poolK`` of an image of
    side n has side ceil(n / 2**K), fc7 that of pool5, and element i of a map with stride s sees
    the pixels [i s, (i + 1) s) as its centre, for every n >= 1. In the geometry ``caffe`` conv1_1
    pads 100 pixels and fc6 none.

    Layers are named as in Caffe: conv1_1 ... conv5_3, fc6, fc7; each has ``.conv`` and ``.norm``.
    Convolutions start with He's normal initialisation.

    Args:
        width: factor on all channel numbers.
        channels: the five stages' channel numbers, instead of ``width``'s.
        fc_width: channels of fc6 and fc7, instead of ``width``'s.
        fc_kernel: side of fc6's kernel, odd unless ``fc_padding`` is given; 7 is VGG16's, smaller
            is cheaper and sees less.
        dropout: probability, after fc6 and after fc7, element by element as in Caffe.
        fc: without it there are no fc6 and fc7 (SegNet, U-Net).
        fc_padding: rows and columns of zeros around fc6's input, instead of the geometry's.
        conv_bias: give convolutions a bias also where a norm follows (DeconvNet).
        switches: pools remember where their maxima were, for ``encode`` to hand out.

    Raises:
        SettingsError: an option outside its range.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        width: float = 1.0,
        channels: Sequence[int] | None = None,
        fc_width: int | None = None,
        fc_kernel: int = 7,
        batch_norm: bool = False,
        dropout: float = 0.5,
        geometry: str = "same",
        fc: bool = True,
        fc_padding: int | None = None,
        conv_bias: bool = False,
        switches: bool = False,
    ) -> None:
        super().__init__()
        number("width", width, 0, 16, allow_low=False)
        number("dropout", dropout, 0, 0.99, allow_low=True)
        self.channels = stage_channels(width, channels)
        if fc_width is None:
            fc_width = scaled(FC_WIDTH, width)
        self.fc_width = whole("fc_width", fc_width, 1)
        if whole("fc_kernel", fc_kernel, 1) % 2 == 0 and fc_padding is None:
            raise SettingsError(f"model option fc_kernel is {fc_kernel}; want an odd number")
        if geometry == "caffe" and fc_kernel != 7:
            raise SettingsError(
                f"model option fc_kernel is {fc_kernel}; the geometry caffe has crops for 7 only"
            )
        self._stages: list[list[str]] = []
        before = in_channels
        for stage, (depth, after) in enumerate(zip(DEPTHS, self.channels, strict=True), start=1):
            names = [f"conv{stage}_{index}" for index in range(1, depth + 1)]
            for name in names:
                padding = 100 if geometry == "caffe" and name == "conv1_1" else 1
                block = ConvBlock(
                    before, after, padding=padding, batch_norm=batch_norm, bias=conv_bias
                )
                self.add_module(name, block)
                before = after
            self.add_module(f"pool{stage}", SwitchPool() if switches else MaxPool())
            self._stages.append(names)
        self.has_fc = fc
        if not fc:
            return
        if fc_padding is None:
            fc_padding = 0 if geometry == "caffe" else fc_kernel // 2
        self.fc6 = ConvBlock(
            before,
            fc_width,
            kernel=fc_kernel,
            padding=fc_padding,
            batch_norm=batch_norm,
            bias=conv_bias,
        )
        self.fc7 = ConvBlock(fc_width, fc_width, kernel=1, batch_norm=batch_norm, bias=conv_bias)
        self.dropout = nn.Dropout(dropout)

    def num_features(self, stage: str) -> int:
        """Channels of the output called ``stage``."""
        return self.fc_width if stage == "fc7" else self.channels[STAGES.index(stage)]

    def forward(self, images: Tensor, outputs: Sequence[str] = ("fc7",)) -> dict[str, Tensor]:
        """(N, in_channels, H, W) -> the features named in ``outputs``, and no others kept alive.

        They are stages, or convolutions such as conv4_3, after norm and ReLU.
        """
        return self.encode(images, outputs)[0]

    def encode(
        self, images: Tensor, outputs: Sequence[str]
    ) -> tuple[dict[str, Tensor], list[Switches]]:
        """What ``forward`` gives, and the switches of the pools on the way, if they keep them."""
        found: dict[str, Tensor] = {}
        kept: list[Switches] = []
        x = images
        for pool, names in zip(STAGES[:5], self._stages, strict=True):
            for name in names:
                x = getattr(self, name)(x)
                if name in outputs:
                    found[name] = x
            if len(found) == len(outputs):
                break
            pooled = getattr(self, pool)(x)
            if isinstance(pooled, Tensor):
                x = pooled
            else:
                x, switches = pooled
                kept.append(switches)
            if pool in outputs:
                found[pool] = x
            if len(found) == len(outputs):
                break
        if "fc7" in outputs:
            found["fc7"] = self.dropout(self.fc7(self.dropout(self.fc6(x))))
        return found, kept


def scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


def stage_channels(width: float, channels: Any) -> tuple[int, ...]:
    if channels is None:
        return tuple(scaled(count, width) for count in CHANNELS)
    if not isinstance(channels, list | tuple) or len(channels) != len(CHANNELS):
        raise SettingsError(
            f"model option channels is {channels!r}; want five whole numbers, one for each stage, "
            f"such as {list(CHANNELS)}"
        )
    return tuple(whole("channels", count, 1) for count in channels)
