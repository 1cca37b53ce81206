"""The network behind ``LearnedEdges``: small, with an edge map at each of five scales."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

WIDTHS = (16, 32, 48, 64, 64)
"""Channels of the stages, at 1, 1/2, 1/4, 1/8 and 1/16 of the photo's size."""
DEPTHS = (2, 2, 2, 3, 2)
"""Convolutions of the stages."""
TOP_DOWN = (16, 24, 32, 32, 48)
"""Channels on the way back to full size."""
GREY, CONTRAST = 0.45, 0.25
"""Mean and deviation of photos in [0, 1], roughly."""
RARE = -2.5
"""Logit of the share of pixels on a boundary, roughly."""


class ConvUnit(nn.Module):
    """3x3 convolution, batch norm, ReLU; with a bypass where the number of channels stays."""

    def __init__(self, channels: int, out_channels: int, *, bypass: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(out_channels)
        self.bypass = bypass

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        if self.bypass:
            y += x  # in place, as the ReLU: memory is what takes time here
        return F.relu_(y)


class EdgeNetwork(nn.Module):
    """Photo (N, 3, H, W) in [0, 1] -> logits of edges (N, 1 + levels, H, W), fused one first.

    Stages of convolutions with max pooling between see ever more context; a top-down path brings
    it back to full size. Each level gives an edge map (side outputs as in HED, Xie and Tu, ICCV
    2015); the fused map is a learned weighted sum of them. Any size from 1 pixel on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        channels = 3
        for width, depth in zip(WIDTHS, DEPTHS, strict=True):
            units = [ConvUnit(channels, width, bypass=False)]
            units += [ConvUnit(width, width, bypass=True) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(*units))
            channels = width
        self.laterals = nn.ModuleList(
            nn.Conv2d(width, out, 1) for width, out in zip(WIDTHS, TOP_DOWN, strict=True)
        )
        self.reduces = nn.ModuleList(
            nn.Conv2d(coarse, fine, 1, bias=False) for fine, coarse in pairwise(TOP_DOWN)
        )
        self.blends = nn.ModuleList(ConvUnit(out, out, bypass=False) for out in TOP_DOWN)
        self.heads = nn.ModuleList(nn.Conv2d(out, 1, 1) for out in TOP_DOWN)
        self.fuse = nn.Conv2d(len(WIDTHS), 1, 1)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """Fused = mean of the side outputs, and hardly an edge anywhere: so are photos."""
        nn.init.constant_(self.fuse.weight, 1.0 / len(WIDTHS))
        for head in (*self.heads, self.fuse):
            assert isinstance(head, nn.Conv2d)
            assert head.bias is not None
            nn.init.constant_(head.bias, 0.0 if head is self.fuse else RARE)

    def fold(self) -> EdgeNetwork:
        """This network with its batch norms merged into the convolutions, for inference."""
        self.eval()
        for unit in self.modules():
            if isinstance(unit, ConvUnit) and isinstance(unit.norm, nn.BatchNorm2d):
                unit.conv = fuse_conv_bn_eval(unit.conv, unit.norm)
                unit.norm = nn.Identity()
        return self

    def forward(self, photo: Tensor) -> Tensor:
        size = photo.shape[-2:]
        features = []
        # grey is 0, so that the padding of the convolutions is no edge around the photo
        x = (photo - GREY) / CONTRAST
        for level, stage in enumerate(self.stages):
            if level:
                x = F.max_pool2d(x, 2, ceil_mode=True)
            x = stage(x)
            features.append(x)
        sides: list[Tensor] = []
        top: Tensor | None = None
        for level in reversed(range(len(features))):
            x = self.laterals[level](features[level])
            if top is not None:
                x = x + _resize(self.reduces[level](top), x.shape[-2:])
            top = self.blends[level](x)
            sides.append(_resize(self.heads[level](top), size))
        every = torch.cat(sides, dim=1)
        return torch.cat([self.fuse(every), every], dim=1)


def _resize(x: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
