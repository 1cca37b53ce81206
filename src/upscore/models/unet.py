"""U-Net (Ronneberger, Fischer, Brox 2015) on VGG16: skips are concatenated, not added."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from upscore.models.base import Network, choice, flag
from upscore.models.layers import BilinearUpsample, ConvBlock, ScoreLayer, crop_like
from upscore.models.vgg import DEPTHS, VGG16

SKIPS = tuple(f"conv{stage}_{depth}" for stage, depth in enumerate(DEPTHS, start=1))
"""The last convolution of each stage, before its pool. The last one is the bottom, at stride 16."""


class UNet(Network):
    """VGG16's 13 convolutions, and four steps up: enlarge, concatenate the skip, two convolutions.

    Convolutions are padded, so that scores have the image's size. The last pool, fc6 and fc7 have
    no place in it. Layers: conv1_1 ... conv5_3, pool1 ... pool4, ``upsample.K``, upK_1 and upK_2
    for K from 4 to 1 (at the size of convK), score.

    Args:
        num_classes: 1 to 255.
        upsampling: bilinear and ``fixed``, or transposed convolutions ``learned`` from there.
        score_init: ``zero``, ``normal`` (deviation 0.01), or ``he``: see :class:`ScoreLayer`.
        width, channels, batch_norm: see :class:`VGG16`; ``batch_norm`` is for both halves.

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
        batch_norm: bool = False,
        upsampling: str = "fixed",
        score_init: str = "normal",
    ) -> None:
        super().__init__(num_classes=num_classes, in_channels=in_channels)
        choice("upsampling", upsampling, ("fixed", "learned"))
        choice("score_init", score_init, ("zero", "normal", "he"))
        self.trunk = VGG16(
            in_channels=in_channels,
            width=width,
            channels=channels,
            batch_norm=flag("batch_norm", batch_norm),
            fc=False,
        )
        stages = self.trunk.channels
        self.upsample = nn.ModuleDict()
        below = stages[4]
        for stage in (4, 3, 2, 1):
            features = stages[stage - 1]
            self.upsample[str(stage)] = BilinearUpsample(
                below, 2, learned=upsampling == "learned", padded=False
            )
            for index, before in ((1, below + features), (2, features)):
                block = ConvBlock(before, features, batch_norm=batch_norm)
                self.add_module(f"up{stage}_{index}", block)
            below = features
        self.score = ScoreLayer(below, num_classes, init=score_init)

    def forward(self, images: Tensor) -> Tensor:
        features = self.trunk(images, SKIPS)
        x = features[SKIPS[4]]
        for stage in (4, 3, 2, 1):
            skip = features[SKIPS[stage - 1]]
            coarse = crop_like(self.upsample[str(stage)](x), skip)
            x = torch.cat([skip, coarse], dim=1)
            for index in (1, 2):
                x = getattr(self, f"up{stage}_{index}")(x)
        scores: Tensor = self.score(x)
        return scores
