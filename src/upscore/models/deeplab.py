"""DeepLab-LargeFOV (Chen, Papandreou, Kokkinos, Murphy, Yuille, ICLR 2015, sections 3 and 4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Annotated, cast

import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn

from upscore.models.base import Network, NetworkOptions, ScoreInit, Width
from upscore.models.layers import ConvBlock, ScoreLayer, crop_like
from upscore.models.vgg import VGG16, VGGOptions, scaled

FC_WIDTH = 1024
"""Channels of fc6 and fc7 at width 1."""

BRANCH_WIDTH = 128
"""Channels of a branch's two layers at width 1."""

IMAGE = "image"
"""The branch from the image itself."""


class DeepLabOptions(NetworkOptions, VGGOptions):
    """Model options of ``deeplab-largefov``."""

    fc_width: Width | None = None
    """Channels of fc6 and fc7, instead of the width's (1024 at width 1)."""
    fc_kernel: Annotated[int, Ge(1), Le(99)] = 3
    """Side of fc6's kernel; with an odd ``fc_dilation`` an odd number."""
    fc_dilation: Annotated[int, Ge(1), Le(999)] = 12
    """Distance, in elements of stride 8, of the places that fc6's kernel multiplies. The paper's
    other variants: ``fc_kernel`` 7 with 4, 4 with 4 and 4 with 8, ``fc_width`` 4096."""
    dropout: Annotated[float, Ge(0), Le(0.99)] = 0.5
    """After fc6 and after fc7, and in the branches of ``msc``, element by element."""
    msc: bool = False
    """Add scores of the image and of pool1 to pool4, each through two layers of its own (section
    4.3, DeepLab-MSc-LargeFOV). Those of the image have the size of the photo: 128 channels."""
    score_init: ScoreInit = "normal"

    @property
    def fc_channels(self) -> int:
        return self.fc_width or scaled(FC_WIDTH, self.width)


class Branch(nn.Module):
    """3x3 and 1x1 convolution with dropout, then scores: (N, in_channels, h, w) -> (N, C, h, w)."""

    def __init__(self, in_channels: int, options: DeepLabOptions) -> None:
        super().__init__()
        width = scaled(BRANCH_WIDTH, options.width)
        self.conv = ConvBlock(in_channels, width, batch_norm=options.batch_norm)
        self.fc = ConvBlock(width, width, kernel=1, batch_norm=options.batch_norm)
        self.score = ScoreLayer(width, options.num_classes, init=options.score_init)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.score(self.dropout(self.fc(self.dropout(self.conv(x)))))
        return scores


class DeepLab(Network):
    """VGG16 with scores at stride 8: two pools without stride, conv5 and fc6 dilated instead.

    Pools are 3x3 and padded by one, so that element i of a map of stride s has pixel i s as its
    centre; scores are enlarged between these pixels and cut at the far side, which keeps them at
    their pixels for every size. Layers: conv1_1 ... conv5_3, pool1 ... pool5, pool5a, fc6, fc7,
    fc8; with ``msc`` also ``branches.NAME.conv``, ``.fc`` and ``.score`` for image and pool1 ...
    pool4. In the release (and the recipe) a CRF follows: ``--crf deeplab-largefov``.

    Raises:
        SettingsError: an even fc_kernel with an odd fc_dilation.
    """

    def __init__(self, options: DeepLabOptions) -> None:
        backbone = VGG16(
            options,
            in_channels=options.in_channels,
            dropout=options.dropout,
            geometry="deeplab",
            fc_dilation=options.fc_dilation,
        )
        super().__init__(options, backbone)
        self.fc8 = ScoreLayer(options.fc_channels, options.num_classes, init=options.score_init)
        self.strides = {IMAGE: 1, **{stage.name: stage.stride for stage in backbone.stages}}
        self.branches = nn.ModuleDict()
        if options.msc:
            self.branches[IMAGE] = Branch(options.in_channels, options)
            for stage in backbone.stages[:4]:
                self.branches[stage.name] = Branch(stage.channels, options)

    def forward(self, images: Tensor) -> Tensor:
        pools = [name for name in self.branches if name != IMAGE]
        features = {**self.backbone(images, (*pools, "fc7")), IMAGE: images}
        coarse = self.strides["fc7"]
        by_stride = {coarse: self.fc8(features["fc7"])}
        for name, branch in self.branches.items():
            scores, stride = branch(features[name]), self.strides[name]
            by_stride[stride] = scores + by_stride[stride] if stride in by_stride else scores
        total = enlarge(by_stride.pop(coarse), coarse, like=images)
        for stride, scores in by_stride.items():
            total = total + enlarge(scores, stride, like=images)
        return total

    def added_score_layers(self, copied: Set[str]) -> Iterable[ScoreLayer]:
        if "fc8.weight" in copied:
            for name, branch in self.branches.items():
                if f"branches.{name}.score.weight" not in copied:
                    yield cast(Branch, branch).score


def enlarge(scores: Tensor, stride: int, *, like: Tensor) -> Tensor:
    """Interpolate bilinearly between elements that lie ``stride`` pixels apart, from pixel 0 on.

    (N, C, h, w) -> (N, C, H, W), H and W of ``like`` at most (h - 1) stride + 1 and (w - 1) stride
    + 1; the rest is cut off at the far side.
    """
    height, width = ((side - 1) * stride + 1 for side in scores.shape[2:])
    whole = F.interpolate(scores, (height, width), mode="bilinear", align_corners=True)
    return crop_like(whole, like)
