"""FCN-32s, -16s, -8s (Long, Shelhamer, Darrell, sections 3 and 4) and two finer ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor, nn, zeros_like

from upscore.errors import SettingsError
from upscore.models.base import Network, choice, flag
from upscore.models.layers import BilinearUpsample, ScoreLayer, crop_like
from upscore.models.vgg import VGG16

SKIPS = {
    32: (),
    16: ("pool4",),
    8: ("pool4", "pool3"),
    4: ("pool4", "pool3", "pool2"),
    2: ("pool4", "pool3", "pool2", "pool1"),
}
"""Stride -> the pools whose scores are added on the way up, coarse to fine."""

AT_ONCE_SCALES = {"pool4": 0.01, "pool3": 0.0001}
"""What the at-once variant multiplies the skipped features with (voc-fcn8s-atonce)."""

CAFFE_SKIP_CROPS = {"pool4": 5, "pool3": 9, "pool2": 17, "pool1": 33}
"""First element of a skip's scores that lies under the upsampled map, in the geometry ``caffe``."""

CAFFE_FINAL_CROPS = {32: 19, 16: 27, 8: 31, 4: 33, 2: 34}
"""First pixel of the last upsampled map that lies on the image, in the geometry ``caffe``."""


class FCN(Network):
    """VGG16 trunk, score layers on fc7 and on some pools, summed from coarse to fine.

    Args:
        stride: 32, 16, 8, 4 or 2: the stride of the finest scores. 32, 16 and 8 are the papers';
            4 and 2 go on the same way with pool2 and pool1.
        num_classes: 1 to 255.
        geometry: ``same`` (no wasted padding; scores are registered with the image for any size)
            or ``caffe`` (100 pixels of padding and the original crops, for released weights).
        upsampling: ``fixed`` bilinear or ``learned`` from a bilinear start.
        at_once: multiply pool4 by 0.01 and pool3 by 0.0001 before their score layers.
        score_init: ``zero`` as in the paper, or ``normal`` (deviation 0.01).
        width, channels, fc_width, fc_kernel, batch_norm, dropout: see :class:`VGG16`.

    Raises:
        SettingsError: an option outside its range.
    """

    def __init__(
        self,
        stride: int,
        /,
        *,
        num_classes: int,
        in_channels: int = 3,
        width: float = 1.0,
        channels: Sequence[int] | None = None,
        fc_width: int | None = None,
        fc_kernel: int = 7,
        batch_norm: bool = False,
        dropout: float = 0.5,
        geometry: str = "same",
        upsampling: str = "fixed",
        at_once: bool = False,
        score_init: str = "zero",
    ) -> None:
        super().__init__(num_classes=num_classes, in_channels=in_channels)
        choice("geometry", geometry, ("same", "caffe"))
        choice("upsampling", upsampling, ("fixed", "learned"))
        choice("score_init", score_init, ("zero", "normal"))
        self.stride = stride
        self.geometry = geometry
        self.skips = SKIPS[stride]
        scales = dict(AT_ONCE_SCALES) if flag("at_once", at_once) else {}
        if scales and stride != 8:
            raise SettingsError(
                f"model option at_once is true for fcn{stride}s; it is defined for fcn8s only"
            )
        self.trunk = VGG16(
            in_channels=in_channels,
            width=width,
            channels=channels,
            fc_width=fc_width,
            fc_kernel=fc_kernel,
            batch_norm=flag("batch_norm", batch_norm),
            dropout=dropout,
            geometry=geometry,
        )
        self.scores = nn.ModuleDict()
        for stage in ("fc7", *self.skips):
            features = self.trunk.num_features(stage)
            self.scores[stage] = ScoreLayer(
                features, num_classes, init=score_init, scale=scales.get(stage, 1.0)
            )
        # named by where they lead to
        self.upsample = nn.ModuleDict()
        steps = {**dict.fromkeys(self.skips, 2), "input": stride}
        for target, factor in steps.items():
            self.upsample[target] = BilinearUpsample(
                num_classes,
                factor,
                learned=upsampling == "learned",
                padded=geometry == "caffe",
            )

    def forward(self, images: Tensor) -> Tensor:
        features = self.trunk(images, ("fc7", *self.skips))
        return self._sum({stage: layer(features[stage]) for stage, layer in self._layers()}, images)

    def contributions(self, images: Tensor) -> dict[str, Tensor]:
        """What each part adds to the scores of ``forward``: their sum is the scores.

        All that follows the score layers is linear, so each part goes through it alone.

        Args:
            images: (N, in_channels, H, W) float.

        Returns:
            (N, C, H, W) float for ``fc7`` and each skip, of the features, without biases; and
            ``biases``, that of all score layers' biases together.
        """
        features = self.trunk(images, ("fc7", *self.skips))
        maps, biases = {}, {}
        for stage, layer in self._layers():
            assert layer.bias is not None
            whole = layer(features[stage])
            biases[stage] = layer.bias[:, None, None].expand_as(whole)
            maps[stage] = whole - biases[stage]
        nothing = {stage: zeros_like(map_) for stage, map_ in maps.items()}
        alone = {stage: {**nothing, stage: map_} for stage, map_ in maps.items()}
        return {name: self._sum(part, images) for name, part in {**alone, "biases": biases}.items()}

    def _layers(self) -> list[tuple[str, ScoreLayer]]:
        return [(stage, cast(ScoreLayer, self.scores[stage])) for stage in ("fc7", *self.skips)]

    def _sum(self, maps: Mapping[str, Tensor], images: Tensor) -> Tensor:
        """Score maps of ``fc7`` and the skips, added from coarse to fine, at the images' size."""
        scores = maps["fc7"]
        for stage in self.skips:
            skip = maps[stage]
            coarse: Tensor = self.upsample[stage](scores)
            if self.geometry == "caffe":
                scores = coarse + crop_like(skip, coarse, offset=CAFFE_SKIP_CROPS[stage])
            else:
                scores = crop_like(coarse, skip) + skip
        offset = CAFFE_FINAL_CROPS[self.stride] if self.geometry == "caffe" else 0
        return crop_like(self.upsample["input"](scores), images, offset=offset)
