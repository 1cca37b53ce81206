"""SegNet (Badrinarayanan, Kendall, Cipolla 2015): DeconvNet's relative without fc layers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from upscore.models.base import Network, choice, flag
from upscore.models.layers import ConvBlock, ScoreLayer
from upscore.models.unpool_decoder import MirroredDecoder
from upscore.models.vgg import DEPTHS, VGG16


class SegNet(Network):
    """VGG16's 13 convolutions, and their mirror image on maps unpooled by switches.

    The last of the 26 convolutions, 3x3 like the others, gives the scores. Layers: conv1_1 ...
    conv5_3, pool1 ... pool5, unpool5, decode5_1 ... decode1_1, score.

    Args:
        num_classes: 1 to 255.
        score_init: ``zero``, ``normal`` (deviation 0.01), or ``he``: see :class:`ScoreLayer`.
        width, channels, batch_norm: see :class:`VGG16`.

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
        batch_norm: bool = True,
        score_init: str = "normal",
    ) -> None:
        super().__init__(num_classes=num_classes, in_channels=in_channels)
        choice("score_init", score_init, ("zero", "normal", "he"))
        self.trunk = VGG16(
            in_channels=in_channels,
            width=width,
            channels=channels,
            batch_norm=flag("batch_norm", batch_norm),
            fc=False,
            switches=True,
        )
        stages = self.trunk.channels
        # the scores take the place of stage 1's last layer
        depths = (DEPTHS[0] - 1, *DEPTHS[1:])
        block = partial(ConvBlock, batch_norm=batch_norm)
        self.decoder = MirroredDecoder(stages, depths, prefix="decode", block=block)
        self.score = ScoreLayer(stages[0], num_classes, init=score_init, kernel=3)

    def forward(self, images: Tensor) -> Tensor:
        features, switches = self.trunk.encode(images, ("pool5",))
        scores: Tensor = self.score(self.decoder(features["pool5"], switches))
        return scores
