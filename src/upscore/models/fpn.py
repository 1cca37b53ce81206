"""A feature pyramid on a backbone (after Lin et al. 2017 and Kirillov et al. 2019).

This network is ours, not one of the two sources': it is what the recipe ``quick`` trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from upscore.models.backbones import make_backbone
from upscore.models.base import BackboneNetworkOptions, Network, ScoreInit, Width
from upscore.models.layers import ConvBlock, ScoreLayer, resize_bilinear

REFINEMENT = 0.1
"""Scale at first of what a finer level adds, where the coarse features have a scale of 1."""


class FPNOptions(BackboneNetworkOptions):
    """Model options of ``fpn``."""

    classifier: ClassVar[bool] = False

    context: Width = 256
    """Channels of the two coarsest levels before they are joined."""
    pyramid: Width = 64
    """Channels of the joined coarse features, and at most of the finer levels."""
    finest: Annotated[int, Ge(2), Le(16)] = 4
    """Stride of the finest level, which is scored."""
    finest_width: Width = 64
    """Channels of the finest level; each coarser one has twice as many, up to ``pyramid``. The
    convolutions of the finest level take most of the network's time."""
    dropout: Annotated[float, Ge(0), Le(0.99)] = 0.1
    """Before the score layer, of whole channels."""
    score_init: ScoreInit = "he"


class FPN(Network):
    """Wide features of the two coarsest strides, refined stride by stride, then scored.

    The coarse features decide the class, and at first they reach the scores nearly unchanged: each
    finer level adds its refinement to them through a batch norm whose scale starts small.
    """

    def __init__(self, options: FPNOptions) -> None:
        super().__init__(options, make_backbone(options))
        strides = {s.stride for s in self.backbone.stages if s.stride >= options.finest}
        levels = [self.backbone.stage_at(stride) for stride in sorted(strides, reverse=True)]
        coarse, fine = levels[:2], levels[2:]
        self.coarse_levels = [stage.name for stage in coarse]
        self.fine_levels = [stage.name for stage in fine]
        self.coarse_stride, self.stride = coarse[-1].stride, levels[-1].stride
        self.lateral = nn.ModuleDict()
        self.smooth = nn.ModuleDict()
        self.narrow = nn.ModuleDict()
        for stage in coarse:
            self.lateral[stage.name] = _lateral(stage.channels, options.context)
        self.smooth[coarse[-1].name] = ConvBlock(options.context, options.pyramid, batch_norm=True)
        before = options.pyramid
        for stage in fine:
            width = min(options.pyramid, options.finest_width * stage.stride // self.stride)
            if width != before:
                self.narrow[stage.name] = nn.Conv2d(before, width, 1)
            self.lateral[stage.name] = _lateral(stage.channels, width)
            smooth = ConvBlock(width, width, batch_norm=True, relu=False)
            assert isinstance(smooth.norm, nn.BatchNorm2d)
            nn.init.constant_(smooth.norm.weight, REFINEMENT)
            self.smooth[stage.name] = smooth
            before = width
        self.dropout = nn.Dropout2d(options.dropout)
        self.score = ScoreLayer(before, options.num_classes, init=options.score_init)

    def forward(self, images: Tensor) -> Tensor:
        features = self.backbone(images, [*self.coarse_levels, *self.fine_levels])
        x = self._coarse(features)
        for name in self.fine_levels:
            lateral = self.lateral[name](features[name])
            if name in self.narrow:
                x = self.narrow[name](x)
            x = self._upsample(x, 2, like=lateral)
            x = x + self.smooth[name](F.relu(x + lateral))
        return self._upsample(self.score(self.dropout(x)), self.stride, like=images)

    def coarse_scores(self, features: Mapping[str, Tensor]) -> Tensor:
        """Scores at ``coarse_stride`` from the features of ``coarse_levels`` alone."""
        x = self._coarse(features)
        for narrow in self.narrow.values():
            x = narrow(x)
        scores: Tensor = self.score(self.dropout(x))
        return scores

    def _coarse(self, features: Mapping[str, Tensor]) -> Tensor:
        coarsest, finer = self.coarse_levels
        lateral = self.lateral[finer](features[finer])
        context = self.lateral[coarsest](features[coarsest])
        x: Tensor = self.smooth[finer](F.relu(lateral + self._upsample(context, 2, like=lateral)))
        return x

    def _upsample(self, x: Tensor, factor: int, *, like: Tensor) -> Tensor:
        return resize_bilinear(x, factor, like=like, corner=self.backbone.corner)


def _lateral(in_channels: int, out_channels: int) -> ConvBlock:
    """To one width, and to one size of values, without which the large ones would rule the sum."""
    return ConvBlock(in_channels, out_channels, kernel=1, batch_norm=True, relu=False)
