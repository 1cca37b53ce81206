"""A patch classifier slid over the photo: how networks labelled pixels before FCN."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from upscore.models.base import Network, NetworkOptions, ScoreInit
from upscore.models.layers import ConvBlock, ScoreLayer, crop_like
from upscore.models.vgg import scaled

CHANNELS = (32, 64, 128)
"""Channels of the three convolutions at width 1."""

FC_WIDTH = 256
"""Channels of the fully connected layer at width 1."""

KERNEL = 5
"""Side of all kernels. The fully connected layer sees the 5x5 elements that are left of a patch."""

PATCH = 75
"""Side of a patch in pixels: 5 -> pool -> 5 -> pool -> 5 -> pool -> 5, all unpadded."""

STRIDE = 8
"""Pixels between the centres of two patches: three pools of stride 2."""


class PatchCNNOptions(NetworkOptions):
    """Model options of ``patch-cnn``."""

    width: Annotated[float, Gt(0), Le(16)] = 1.0
    """Factor on all channel numbers."""
    batch_norm: bool = True
    """Batch norm after every convolution and after the fully connected layer."""
    dropout: Annotated[float, Ge(0), Le(0.99)] = 0.5
    """After the fully connected layer, element by element."""
    score_init: ScoreInit = "normal"


class PatchCNN(Network):
    """A classifier of 75x75 patches by their middle pixel, applied every 8 pixels of the photo.

    Three times 5x5 convolution, ReLU and 3x3 pool of stride 2, then a fully connected layer and
    scores: conv1, pool1, ... pool3, fc4, score. Nothing is padded inside, so that the
    fully connected layer can be a 5x5 convolution: ``forward`` gives the scores of all patches in
    one pass, ``slide`` the same ones patch by patch. Patches are centred on the pixels 0, 8, 16,
    ... of rows and columns, with zeros (the mean colour) outside the photo; between their centres,
    scores are interpolated bilinearly.

    In training, a batch of images of exactly 75x75 is a batch of patches: each image is classified
    once, and every pixel of it gets that score. ``augment.centre_only`` of a recipe makes the label
    of the middle pixel the only one that counts.
    """

    def __init__(self, options: PatchCNNOptions) -> None:
        super().__init__(options)
        before = options.in_channels
        for index, count in enumerate(CHANNELS, start=1):
            after = scaled(count, options.width)
            self.add_module(f"conv{index}", self._block(before, after, options))
            self.add_module(f"pool{index}", nn.MaxPool2d(3, stride=2))
            before = after
        width = scaled(FC_WIDTH, options.width)
        self.fc4 = self._block(before, width, options)
        self.dropout = nn.Dropout(options.dropout)
        self.score = ScoreLayer(width, options.num_classes, init=options.score_init)

    @staticmethod
    def _block(before: int, after: int, options: PatchCNNOptions) -> ConvBlock:
        return ConvBlock(before, after, kernel=KERNEL, padding=0, batch_norm=options.batch_norm)

    def forward(self, images: Tensor) -> Tensor:
        if self.training and images.shape[-2:] == (PATCH, PATCH):
            return self.classify(images).expand(-1, -1, PATCH, PATCH)
        return self._at_pixels(self.classify(_padded(images)), images)

    def classify(self, patches: Tensor) -> Tensor:
        """(N, in_channels, 75, 75) -> scores (N, num_classes, 1, 1).

        Of larger inputs (h, w), those of all patches in them: ((h - 75) // 8 + 1) rows of
        ((w - 75) // 8 + 1).
        """
        x = patches
        for index in range(1, len(CHANNELS) + 1):
            x = self.get_submodule(f"pool{index}")(self.get_submodule(f"conv{index}")(x))
        scores: Tensor = self.score(self.dropout(self.fc4(x)))
        return scores

    def slide(self, images: Tensor, *, batch: int = 64) -> Tensor:
        """The scores of ``forward`` in eval mode up to rounding, each patch classified by itself.

        Args:
            images: (N, in_channels, H, W) float.
            batch: patches that pass through the network together.

        Returns:
            (N, num_classes, H, W) float.
        """
        patches = _padded(images).unfold(2, PATCH, STRIDE).unfold(3, PATCH, STRIDE)
        num, _, height, width = patches.shape[:4]
        rows = []
        for row in range(height):
            cut = patches[:, :, row].transpose(1, 2).flatten(0, 1)  # (N width, ., 75, 75)
            scores = torch.cat([self.classify(part) for part in torch.split(cut, batch)])
            rows.append(scores.view(num, width, self.num_classes).movedim(2, 1))
        return self._at_pixels(torch.stack(rows, dim=2), images)

    @staticmethod
    def _at_pixels(scores: Tensor, images: Tensor) -> Tensor:
        """Scores at the pixels 0, 8, 16, ..., interpolated at all pixels of the images."""
        height, width = ((side - 1) * STRIDE + 1 for side in scores.shape[2:])
        between = F.interpolate(scores, (height, width), mode="bilinear", align_corners=True)
        return crop_like(between, images)


def _padded(images: Tensor) -> Tensor:
    """Zeros around images, so that patches are centred on pixel 0 and beyond the last pixel."""
    before = PATCH // 2
    bottom, right = (before + (1 - side) % STRIDE for side in images.shape[2:])
    return F.pad(images, (before, right, before, bottom))
