"""FCN-32s, -16s, -8s (Long, Shelhamer, Darrell, sections 3 and 4) and two finer ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Annotated, Literal, cast

from annotated_types import Ge, Le
from pydantic import Field
from torch import Tensor, nn, zeros_like

from upscore.errors import SettingsError
from upscore.models.backbones import make_backbone
from upscore.models.base import BackboneNetworkOptions, Network, PaperScoreInit
from upscore.models.layers import BilinearUpsample, ScoreLayer, crop_like

SKIP_STRIDES = (16, 8, 4, 2)
"""Strides of the features whose scores may be added, from coarse to fine: pool4 to pool1."""

AT_ONCE_SCALES = {16: 0.01, 8: 0.0001}
"""Factors of the at-once variant on the features of a stride (voc-fcn8s-atonce)."""

CAFFE_SKIP_CROPS = {"pool4": 5, "pool3": 9, "pool2": 17, "pool1": 33}
"""First element of a skip's scores under the upsampled map, in the geometry ``caffe``."""

CAFFE_FINAL_CROPS = {32: 19, 16: 27, 8: 31, 4: 33, 2: 34}
"""First pixel of the last upsampled map on the image, in the geometry ``caffe``."""


FCNUpsampling = Annotated[
    Literal["fixed", "learned", "intermediate"],
    Field(
        description="Bilinear and ``fixed``, or transposed convolutions ``learned`` from a "
        "bilinear start; ``intermediate``: all are learned but the last, as at CVPR 2015."
    ),
]


class FCNOptions(BackboneNetworkOptions):
    """Model options of ``fcn32s`` ... ``fcn2s``."""

    dropout: Annotated[float, Ge(0), Le(0.99)] = 0.5
    """After fc6 and after fc7, element by element."""
    geometry: Literal["same", "caffe"] = "same"
    """``same`` (no wasted padding; scores are registered with the image for any size) or ``caffe``
    (100 pixels of padding and the original crops, for released weights)."""
    upsampling: FCNUpsampling = "fixed"
    at_once: bool = False
    """Multiply pool4 by 0.01 and pool3 by 0.0001 before their score layers (``fcn8s`` only)."""
    score_init: PaperScoreInit = "zero"


class CVPROptions(FCNOptions):
    """Model options of ``fcn8s-cvpr``."""

    upsampling: FCNUpsampling = "intermediate"


class FCN(Network):
    """Score layers on the backbone's coarsest and some finer stages, summed from coarse to fine.

    With VGG16 these are fc7 and pool4, pool3, pool2, pool1.

    Args:
        stride: 32, 16, 8, 4 or 2: the stride of the finest scores. 32, 16 and 8 are the papers';
            4 and 2 continue in the same way with pool2 and pool1.
        options: of the network and of its backbone.

    Raises:
        SettingsError: options that do not fit together.
    """

    def __init__(self, stride: int, options: FCNOptions) -> None:
        if options.at_once and stride != 8:
            raise SettingsError("at_once is true; it is defined for fcn8s only")
        super().__init__(
            options, make_backbone(options, dropout=options.dropout, geometry=options.geometry)
        )
        self.stride = stride
        self.geometry = options.geometry
        scored = [self.backbone.stage_at(s) for s in (32, *SKIP_STRIDES) if s >= stride]
        self.coarsest, *self.skips = (stage.name for stage in scored)
        scales = AT_ONCE_SCALES if options.at_once else {}
        self.scores = nn.ModuleDict()
        for stage in scored:
            self.scores[stage.name] = ScoreLayer(
                stage.channels,
                options.num_classes,
                init=options.score_init,
                scale=scales.get(stage.stride, 1.0),
            )
        padded = options.geometry == "caffe"
        steps = {**dict.fromkeys(self.skips, 2), "input": stride}  # by the stage of that size
        learned = set() if options.upsampling == "fixed" else set(steps)
        if options.upsampling == "intermediate":
            learned.remove("input")
        self.upsample = nn.ModuleDict(
            {
                target: BilinearUpsample(
                    options.num_classes, step, learned=target in learned, padded=padded
                )
                for target, step in steps.items()
            }
        )

    def forward(self, images: Tensor) -> Tensor:
        features = self.backbone(images, (self.coarsest, *self.skips))
        return self._sum({stage: layer(features[stage]) for stage, layer in self._layers()}, images)

    def added_score_layers(self, copied: Set[str]) -> Iterable[ScoreLayer]:
        if f"scores.{self.coarsest}.weight" in copied:
            for stage, layer in self._layers():
                if f"scores.{stage}.weight" not in copied:
                    yield layer

    def contributions(self, images: Tensor) -> dict[str, Tensor]:
        """The part of each stage in the scores of ``forward``: the parts add up to the scores.

        All layers after the score layers are linear, so each part passes through them alone.

        Args:
            images: (N, in_channels, H, W) float.

        Returns:
            (N, C, H, W) float for the coarsest stage and each skip, of the features, without
            biases; and ``biases``, that of all score layers' biases together.
        """
        features = self.backbone(images, (self.coarsest, *self.skips))
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
        return [
            (stage, cast(ScoreLayer, self.scores[stage])) for stage in (self.coarsest, *self.skips)
        ]

    def _sum(self, maps: Mapping[str, Tensor], images: Tensor) -> Tensor:
        """Score maps of the stages, added from coarse to fine, at the images' size."""
        scores = maps[self.coarsest]
        for stage in self.skips:
            skip = maps[stage]
            coarse: Tensor = self.upsample[stage](scores)
            if self.geometry == "caffe":
                scores = coarse + crop_like(skip, coarse, offset=CAFFE_SKIP_CROPS[stage])
            else:
                scores = crop_like(coarse, skip) + skip
        offset = CAFFE_FINAL_CROPS[self.stride] if self.geometry == "caffe" else 0
        return crop_like(self.upsample["input"](scores), images, offset=offset)
