"""U-Net (Ronneberger, Fischer, Brox 2015) on a backbone: skips are concatenated, not added."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from upscore.models.backbones import make_backbone
from upscore.models.base import BackboneNetworkOptions, Network, ScoreInit, Upsampling
from upscore.models.layers import BilinearUpsample, ConvBlock, ScoreLayer, crop_like


class UNetOptions(BackboneNetworkOptions):
    """Model options of ``unet``."""

    classifier: ClassVar[bool] = False

    batch_norm: bool = False
    """Batch norm after every convolution of encoder and decoder."""
    upsampling: Upsampling = "fixed"
    score_init: ScoreInit = "normal"


class UNet(Network):
    """Backbone without classifier; per level: upsample, concatenate the skip, two convolutions.

    Convolutions are padded, so that scores have the image's size. The skips are the backbone's, of
    VGG16 conv1_2 ... conv5_3, the last of which, at stride 16, is the bottom; pool5, fc6 and fc7
    are not used. Layers with VGG16: conv1_1 ... conv5_3, pool1 ... pool4, ``upsample.K``, upK_1 and
    upK_2 for K from 4 to 1 (at the size of convK), score. With a backbone whose first skip is
    coarser than the image, ``upsample.0`` enlarges the scores.
    """

    def __init__(self, options: UNetOptions) -> None:
        super().__init__(options, make_backbone(options))
        skips = self.backbone.skips
        self.skip_names = tuple(skip.name for skip in skips)
        learned = options.upsampling == "learned"
        self.upsample = nn.ModuleDict()
        below = skips[-1].channels
        for level in range(len(skips) - 1, 0, -1):
            channels = skips[level - 1].channels
            self.upsample[str(level)] = BilinearUpsample(below, 2, learned=learned, padded=False)
            for index, before in ((1, below + channels), (2, channels)):
                block = ConvBlock(before, channels, batch_norm=options.batch_norm)
                self.add_module(f"up{level}_{index}", block)
            below = channels
        self.score = ScoreLayer(below, options.num_classes, init=options.score_init)
        if skips[0].stride > 1:
            self.upsample["0"] = BilinearUpsample(
                options.num_classes, skips[0].stride, learned=learned, padded=False
            )

    def forward(self, images: Tensor) -> Tensor:
        features = self.backbone(images, self.skip_names)
        x = features[self.skip_names[-1]]
        for level in range(len(self.skip_names) - 1, 0, -1):
            skip = features[self.skip_names[level - 1]]
            coarse = crop_like(self.upsample[str(level)](x), skip)
            x = torch.cat([skip, coarse], dim=1)
            for index in (1, 2):
                x = getattr(self, f"up{level}_{index}")(x)
        scores: Tensor = self.score(x)
        if "0" in self.upsample:
            scores = crop_like(self.upsample["0"](scores), images)
        return scores
