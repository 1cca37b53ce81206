"""SegNet (Badrinarayanan, Kendall, Cipolla 2015): like DeconvNet, without fc layers."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from upscore.models.base import Network, NetworkOptions, ScoreInit
from upscore.models.layers import ConvBlock, ScoreLayer
from upscore.models.unpool_decoder import UnpoolDecoder
from upscore.models.vgg import DEPTHS, VGG16, VGGFeatureOptions


class SegNetOptions(NetworkOptions, VGGFeatureOptions):
    """Model options of ``segnet``."""

    batch_norm: bool = True
    """Batch norm after every convolution of encoder and decoder."""
    score_init: ScoreInit = "normal"


class SegNet(Network):
    """VGG16's 13 convolutions, and their mirror image on maps unpooled by switches.

    The last of the 26 convolutions, 3x3 like the others, gives the scores. Layers: conv1_1 ...
    conv5_3, pool1 ... pool5, unpool5, decode5_1 ... decode1_1, score.
    """

    def __init__(self, options: SegNetOptions) -> None:
        super().__init__(
            options,
            VGG16(options, in_channels=options.in_channels, classifier=False, switches=True),
        )
        channels = options.stage_channels
        # the scores take the place of stage 1's last layer
        depths = (DEPTHS[0] - 1, *DEPTHS[1:])
        block = partial(ConvBlock, batch_norm=options.batch_norm)
        self.decoder = UnpoolDecoder(channels, depths, prefix="decode", block=block)
        self.score = ScoreLayer(channels[0], options.num_classes, init=options.score_init, kernel=3)

    def forward(self, images: Tensor) -> Tensor:
        backbone = self.backbone
        assert isinstance(backbone, VGG16)
        features, switches = backbone.encode(images, ("pool5",))
        scores: Tensor = self.score(self.decoder(features["pool5"], switches))
        return scores
