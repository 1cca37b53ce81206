"""ConvolutionalVGGwithUpsample: VGG16 made convolutional, its score map enlarged bilinearly."""

from __future__ import annotations

from typing import Annotated, Literal

import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor

from upscore.models.backbones import make_backbone
from upscore.models.base import BackboneNetworkOptions, Network, PaperScoreInit
from upscore.models.layers import BilinearUpsample, ScoreLayer, crop_like


class ConvVGGBilinearOptions(BackboneNetworkOptions):
    """Model options of ``conv-vgg-bilinear``."""

    dropout: Annotated[float, Ge(0), Le(0.99)] = 0.5
    """After fc6 and after fc7, element by element."""
    score_init: PaperScoreInit = "zero"
    resize: Literal["size", "scale_factor"] = "scale_factor"
    """``size``, as the report words it: the whole map is interpolated to (H, W), as
    ``F.interpolate(size=(H, W))`` does, which moves scores together by n / (32 ceil(n / 32));
    or ``scale_factor``: the map is enlarged 32 times, as by ``F.interpolate(scale_factor=32)``,
    and what lies over the image is kept, so that scores stay over their pixels for every size."""


class ConvVGGBilinear(Network):
    """fc6, fc7 and fc8 as convolutions; fc8's score map at stride 32 is resized to the image.

    ceil(n / 32) elements of the map cover an image of n pixels; the last one may reach beyond the
    image. Where 32 divides both sides, both ways of resizing are the same.
    """

    def __init__(self, options: ConvVGGBilinearOptions) -> None:
        super().__init__(options, make_backbone(options, dropout=options.dropout))
        self.resize = options.resize
        coarsest = self.backbone.stage_at(32)
        self.feature_name = coarsest.name
        self.fc8 = ScoreLayer(coarsest.channels, options.num_classes, init=options.score_init)
        self.upsample = BilinearUpsample(
            options.num_classes, coarsest.stride, learned=False, padded=False
        )

    def forward(self, images: Tensor) -> Tensor:
        scores = self.fc8(self.backbone(images, (self.feature_name,))[self.feature_name])
        if self.resize == "size":
            size = images.shape[-2:]
            return F.interpolate(scores, size, mode="bilinear", align_corners=False)
        return crop_like(self.upsample(scores), images)
