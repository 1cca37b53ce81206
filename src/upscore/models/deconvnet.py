"""DeconvNet (Noh, Hong, Han, ICCV 2015, section 3 and its table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from upscore.errors import DataError
from upscore.models.base import Network, choice, flag, number
from upscore.models.deconvolution import DeconvBlock
from upscore.models.layers import ScoreLayer
from upscore.models.unpool_decoder import MirroredDecoder
from upscore.models.unpooling import Switches
from upscore.models.vgg import DEPTHS, VGG16


class Encoding(NamedTuple):
    """What DeconvNet's encoder makes of images, and its decoder makes scores of."""

    features: Tensor
    """fc7's output: (N, fc_width, h, w), (N, fc_width, 1, 1) of images of 224x224."""
    switches: Sequence[Switches]
    """Of pool1 ... pool5, in this order."""


class DeconvNet(Network):
    """VGG16 down to fc7, and its mirror image up: unpooling by switches, deconvolutions, scores.

    An input of 224 pixels has a pool5 of 7x7, and fc6, which is not padded, makes one element of
    it that sees everything. Of larger inputs fc6 makes one element of each window of 7x7, and
    fc6_deconv, which stamps 7x7, gives back pool5's size. A smaller pool5 is laid into the middle
    of 7x7 zeros, and its part of fc6_deconv's answer goes on. Pools round up, and unpooling gives
    back the size before the pool, so that 32 need not divide a side.

    Layers are called as in the release, with _ for -: conv1_1 ... conv5_3, pool1 ... pool5, fc6,
    fc7, fc6_deconv, unpool5, deconv5_1 ... deconv1_2, seg_score; ``layer_outputs`` has each one's
    output after norm and ReLU. There is no dropout. Convolutions have biases beside their norms,
    which makes 251,805,653 parameters for 21 classes.

    Args:
        num_classes: 1 to 255.
        batch_norm: without it, the ablation of section 3.3; then use ``decoder_init=he``, since
            nothing makes up for 14 layers with small weights.
        decoder_init: ``normal``, the papers' Gaussian of deviation 0.01, ``he``, or ``bilinear``:
            see :class:`DeconvBlock`.
        norm_shift: start of all norms' shifts; the release has 0.001, the paper does not say.
        score_init: ``normal`` (deviation 0.01) as in the papers, ``zero``, or ``he``, for few
            channels: see :class:`ScoreLayer`.
        width, channels, fc_width, fc_kernel: see :class:`VGG16`. fc6_deconv has fc6's kernel.

    Raises:
        SettingsError: an option outside its range.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        width: float = 1.0,
        channels: Sequence[int] | None = None,
        fc_width: int | None = None,
        fc_kernel: int = 7,
        batch_norm: bool = True,
        decoder_init: str = "normal",
        norm_shift: float = 0.001,
        score_init: str = "normal",
    ) -> None:
        super().__init__(num_classes=num_classes, in_channels=in_channels)
        choice("decoder_init", decoder_init, ("normal", "he", "bilinear"))
        choice("score_init", score_init, ("zero", "normal", "he"))
        number("norm_shift", norm_shift, -1, 1, allow_low=True)
        self.fc_kernel = fc_kernel
        self.trunk = VGG16(
            in_channels=in_channels,
            width=width,
            channels=channels,
            fc_width=fc_width,
            fc_kernel=fc_kernel,
            batch_norm=flag("batch_norm", batch_norm),
            dropout=0.0,
            fc_padding=0,
            conv_bias=True,
            switches=True,
        )
        block = partial(DeconvBlock, batch_norm=batch_norm, init=decoder_init)
        stages = self.trunk.channels
        self.fc6_deconv = block(
            self.trunk.fc_width, stages[-1], kernel=fc_kernel, padded=False, dense=False
        )
        self.decoder = MirroredDecoder(stages, DEPTHS, prefix="deconv", block=block)
        self.seg_score = ScoreLayer(stages[0], num_classes, init=score_init)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.bias, norm_shift)

    def forward(self, images: Tensor) -> Tensor:
        return self.decode(*self.encode(images))

    def encode(self, images: Tensor) -> Encoding:
        """conv1_1 to fc7: float images (N, in_channels, H, W) -> features and switches."""
        found, switches = self.trunk.encode(images, ("pool5",))
        pool5 = found["pool5"]
        down, right, top, left = self._missing(*pool5.shape[2:])
        if down or right:
            pool5 = F.pad(pool5, (left, right - left, top, down - top))
        return Encoding(self.trunk.fc7(self.trunk.fc6(pool5)), switches)

    def decode(self, features: Tensor, switches: Sequence[Switches]) -> Tensor:
        """fc6_deconv to seg_score: features and switches -> scores (N, num_classes, H, W).

        The two may be of different images of one size (section 4.2 of the paper: unpooling keeps
        what is specific to an example, deconvolution what is specific to a class)::

            features, switches = model.encode(two_images)
            exchanged = model.decode(features.flip(0), switches)

        Args:
            features: as of :meth:`encode`.
            switches: of the five pools. H and W are the size of the images that they are of.

        Raises:
            DataError: features of another number of images than the switches, or of another size.
        """
        num, _, height, width = switches[-1].positions.shape
        down, right, top, left = self._missing(height, width)
        size = (num, *(max(0, side - self.fc_kernel) + 1 for side in (height, width)))
        found = (features.shape[0], *features.shape[2:])
        if found != size:
            raise DataError(
                f"features of {found[0]} images, {found[1]}x{found[2]}, do not fit switches of "
                f"{num}, which want {size[1]}x{size[2]}; encode images of one size, as many of both"
            )
        x: Tensor = self.fc6_deconv(features)
        if down or right:
            x = x[..., top : top + height, left : left + width]
        scores: Tensor = self.seg_score(self.decoder(x, switches))
        return scores

    def _missing(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Rows and columns that pool5 lacks for fc6's kernel; how many go above and to the left."""
        down, right = max(0, self.fc_kernel - height), max(0, self.fc_kernel - width)
        return down, right, down // 2, right // 2
