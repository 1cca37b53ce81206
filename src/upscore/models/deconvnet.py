"""DeconvNet (Noh, Hong, Han, ICCV 2015, section 3 and its table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal, NamedTuple

import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn

from upscore.errors import DataError
from upscore.models.base import Network, NetworkOptions, ScoreInit
from upscore.models.deconvolution import DeconvBlock
from upscore.models.layers import ScoreLayer
from upscore.models.unpool_decoder import UnpoolDecoder
from upscore.models.unpooling import Switches
from upscore.models.vgg import DEPTHS, VGG16, VGGOptions


class Encoding(NamedTuple):
    """Output of DeconvNet's encoder, from which its decoder computes scores."""

    features: Tensor
    """fc7's output: (N, fc_width, h, w), (N, fc_width, 1, 1) of images of 224x224."""
    switches: Sequence[Switches]
    """Of pool1 ... pool5, in this order."""


class DeconvNetOptions(NetworkOptions, VGGOptions):
    """Model options of ``deconvnet``. fc6_deconv has fc6's kernel."""

    batch_norm: bool = True
    """Batch norm after every convolution and deconvolution. Without it, the ablation of section
    3.3; then use ``decoder_init: he``, since signals shrink in 14 layers with small weights."""
    decoder_init: Literal["normal", "he", "bilinear"] = "normal"
    """Start of the deconvolutions: ``normal``, the papers' Gaussian of deviation 0.01, ``he``, or
    ``bilinear``: each channel is passed on interpolated, as in FCN, plus half of ``he``'s noise."""
    norm_shift: Annotated[float, Ge(-1), Le(1)] = 0.001
    """Start of all norms' shifts; the release has 0.001, the paper does not say."""
    score_init: ScoreInit = "normal"


class DeconvNet(Network):
    """VGG16 down to fc7, and its mirror image up: unpooling by switches, deconvolutions, scores.

    An input of 224 pixels has a pool5 of 7x7, and fc6, which is not padded, reduces it to one
    element. On larger inputs fc6 gives one element for each window of 7x7, and fc6_deconv restores
    pool5's size. A smaller pool5 is padded with zeros to 7x7, and fc6_deconv's output is cropped
    to it. Pools round up, and unpooling restores the size before the pool, so that 32 need not
    divide a side.

    Layers are called as in the release, with _ for -: conv1_1 ... conv5_3, pool1 ... pool5, fc6,
    fc7, fc6_deconv, unpool5, deconv5_1 ... deconv1_2, seg_score; ``layer_outputs`` has each one's
    output after norm and ReLU. There is no dropout. Convolutions have biases beside their norms,
    so that there are 251,805,653 parameters for 21 classes.
    """

    def __init__(self, options: DeconvNetOptions) -> None:
        backbone = VGG16(
            options,
            in_channels=options.in_channels,
            dropout=0.0,
            fc_padding=0,
            conv_bias=True,
            switches=True,
        )
        super().__init__(options, backbone)
        self.fc_kernel = options.fc_kernel
        block = partial(DeconvBlock, batch_norm=options.batch_norm, init=options.decoder_init)
        channels = options.stage_channels
        self.fc6_deconv = block(
            options.fc_channels, channels[-1], kernel=self.fc_kernel, padded=False, dense=False
        )
        self.decoder = UnpoolDecoder(channels, DEPTHS, prefix="deconv", block=block)
        self.seg_score = ScoreLayer(channels[0], options.num_classes, init=options.score_init)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.bias, options.norm_shift)

    def forward(self, images: Tensor) -> Tensor:
        return self.decode(*self.encode(images))

    def encode(self, images: Tensor) -> Encoding:
        """conv1_1 to fc7: float images (N, in_channels, H, W) -> features and switches."""
        backbone = self.backbone
        assert isinstance(backbone, VGG16)
        found, switches = backbone.encode(images, ("pool5",))
        pool5 = found["pool5"]
        down, right, top, left = self._missing(*pool5.shape[2:])
        if down or right:
            pool5 = F.pad(pool5, (left, right - left, top, down - top))
        return Encoding(backbone.fc7(backbone.fc6(pool5)), switches)

    def decode(self, features: Tensor, switches: Sequence[Switches]) -> Tensor:
        """fc6_deconv to seg_score: features and switches -> scores (N, num_classes, H, W).

        The two may come from different images of one size (section 4.2 of the paper: unpooling
        restores example-specific structures, deconvolution class-specific shapes)::

            features, switches = model.encode(two_images)
            exchanged = model.decode(features.flip(0), switches)

        Args:
            features: as of :meth:`encode`.
            switches: of the five pools of images of size (H, W).

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
                f"{num}, which need {size[1]}x{size[2]}; encode images of one size, as many of both"
            )
        x: Tensor = self.fc6_deconv(features)
        if down or right:
            x = x[..., top : top + height, left : left + width]
        scores: Tensor = self.seg_score(self.decoder(x, switches))
        return scores

    def _missing(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Rows and columns of zeros that pool5 needs for fc6's kernel; those above and left."""
        down, right = max(0, self.fc_kernel - height), max(0, self.fc_kernel - width)
        return down, right, down // 2, right // 2
