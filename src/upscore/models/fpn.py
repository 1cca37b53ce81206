"""A feature pyramid on a backbone (after Lin et al. 2017 and Kirillov et al. 2019).

This network is ours, not one of the two sources': it is what the recipe ``quick`` trains.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from annotated_types import Ge, Le
from torch import Tensor, nn

from upscore.models.backbones import make_backbone
from upscore.models.base import BackboneNetworkOptions, Network, ScoreInit
from upscore.models.layers import ConvBlock, ScoreLayer, resize_bilinear


class FPNOptions(BackboneNetworkOptions):
    """Model options of ``fpn``."""

    classifier: ClassVar[bool] = False

    pyramid: Annotated[int, Ge(1)] = 64
    """Channels of all levels of the pyramid."""
    finest: Annotated[int, Ge(2), Le(16)] = 4
    """Stride of the finest level, which is scored."""
    dropout: Annotated[float, Ge(0), Le(0.99)] = 0.1
    """Before the score layer, of whole channels."""
    score_init: ScoreInit = "normal"


class FPN(Network):
    """Features of each stride to one width, summed from coarse to fine, a convolution, scores."""

    def __init__(self, options: FPNOptions) -> None:
        super().__init__(options, make_backbone(options))
        strides = {s.stride for s in self.backbone.stages if s.stride >= options.finest}
        levels = [self.backbone.stage_at(stride) for stride in sorted(strides, reverse=True)]
        self.levels = [stage.name for stage in levels]
        self.stride = levels[-1].stride
        self.lateral = nn.ModuleDict()
        self.smooth = nn.ModuleDict()
        for stage in levels:
            self.lateral[stage.name] = nn.Conv2d(stage.channels, options.pyramid, 1)
            self.smooth[stage.name] = ConvBlock(options.pyramid, options.pyramid, batch_norm=True)
        self.dropout = nn.Dropout2d(options.dropout)
        self.score = ScoreLayer(options.pyramid, options.num_classes, init=options.score_init)

    def forward(self, images: Tensor) -> Tensor:
        features = self.backbone(images, self.levels)
        corner = self.backbone.corner
        x: Tensor | None = None
        for name in self.levels:
            lateral = self.lateral[name](features[name])
            if x is not None:
                lateral = lateral + resize_bilinear(x, 2, like=lateral, corner=corner)
            x = self.smooth[name](lateral)
        assert x is not None
        scores = self.score(self.dropout(x))
        return resize_bilinear(scores, self.stride, like=images, corner=corner)
