"""ConvolutionalVGGwithUpsample: VGG16 made convolutional, its score map enlarged bilinearly."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from upscore.models.base import Network, choice, flag
from upscore.models.layers import BilinearUpsample, ScoreLayer, crop_like
from upscore.models.vgg import VGG16


class ConvVGGBilinear(Network):
    """fc6, fc7 and fc8 as convolutions; fc8's score map at stride 32 is resized to the image.

    An image of n pixels has ceil(n / 32) elements of the map over it, the last of which may reach
    beyond the image. Where 32 divides both sides, both ways of resizing are the same.

    Args:
        num_classes: 1 to 255.
        resize: ``size``, the report's words: the whole map is interpolated to (H, W), as
            ``F.interpolate(size=(H, W))`` does, which draws scores together by n / (32 ceil(n /
            32)); or ``scale_factor``: the map is enlarged 32 times, as by
            ``F.interpolate(scale_factor=32)``, and what lies over the image is kept, so that
            scores stay over their pixels for every size.
        score_init: ``zero`` or ``normal`` (deviation 0.01), for fc8.
        width, channels, fc_width, fc_kernel, batch_norm, dropout: see :class:`VGG16`.

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
        batch_norm: bool = False,
        dropout: float = 0.5,
        score_init: str = "zero",
        resize: str = "scale_factor",
    ) -> None:
        super().__init__(num_classes=num_classes, in_channels=in_channels)
        choice("score_init", score_init, ("zero", "normal"))
        self.resize = choice("resize", resize, ("size", "scale_factor"))
        self.trunk = VGG16(
            in_channels=in_channels,
            width=width,
            channels=channels,
            fc_width=fc_width,
            fc_kernel=fc_kernel,
            batch_norm=flag("batch_norm", batch_norm),
            dropout=dropout,
        )
        self.fc8 = ScoreLayer(self.trunk.fc_width, num_classes, init=score_init)
        self.upsample = BilinearUpsample(num_classes, 32, learned=False, padded=False)

    def forward(self, images: Tensor) -> Tensor:
        scores = self.fc8(self.trunk(images)["fc7"])
        if self.resize == "size":
            size = images.shape[-2:]
            return F.interpolate(scores, size, mode="bilinear", align_corners=False)
        return crop_like(self.upsample(scores), images)
