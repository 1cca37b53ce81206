"""ConvolutionalVGGwithUpsample: VGG16 made convolutional, its score map enlarged bilinearly."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from upscore.models.base import Network, choice, flag
from upscore.models.layers import BilinearUpsample, ScoreLayer, crop_like
from upscore.models.vgg import VGG16


class ConvVGGBilinear(Network):
    """fc6, fc7 and fc8 as convolutions; fc8's score map at stride 32 is resized to the image.

    The map is enlarged 32 times and the part that lies over the image is kept, so that scores
    stay registered for sizes that 32 does not divide; for other sizes this is the plain resize.

    Args:
        num_classes: 1 to 255.
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
    ) -> None:
        super().__init__(num_classes=num_classes, in_channels=in_channels)
        choice("score_init", score_init, ("zero", "normal"))
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
        return crop_like(self.upsample(scores), images)
