"""Hypercolumns (Hariharan, Arbelaez, Girshick, Malik, CVPR 2015) over a whole image."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Annotated, cast

from annotated_types import Ge, Le
from pydantic import Field
from torch import Tensor, nn

from upscore.core.choices import unknown_choice
from upscore.errors import SettingsError
from upscore.models.backbone import Stage
from upscore.models.backbones import make_backbone
from upscore.models.base import BackboneNetworkOptions, Network, ScoreInit
from upscore.models.layers import ScoreLayer, resize_bilinear

Layers = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]


class HypercolumnOptions(BackboneNetworkOptions):
    """Model options of ``hypercolumn``."""

    layers: Layers | None = None
    """Layers whose features are classified: the backbone's last one, fc7 of VGG16, and any of its
    other stages and of the last convolutions of a stride, such as conv3_3. Null: pool2, conv4_3 and
    fc7; of other backbones the last ones of strides 4, 8 and 32."""
    dropout: Annotated[float, Ge(0), Le(0.99)] = 0.5
    """After fc6 and after fc7, element by element."""
    score_init: ScoreInit = "normal"


class Hypercolumn(Network):
    """Features of a fine, a middle and a coarse layer, enlarged and classified pixel by pixel.

    A pixel's hypercolumn is the vector of all these features at its place. A linear classifier of
    it is the sum of one for each layer, and classifying commutes with bilinear interpolation: each
    layer is scored by a 1x1 convolution at its own size, and the C score maps are enlarged and
    added (the paper's efficient form). At the size of the photo there are C channels, not 4,736.

    The paper classifies boxes of detected objects, by a grid of classifiers in each box; here the
    whole image is classified, by one classifier.

    Raises:
        SettingsError: layers that the backbone does not have, one twice, or not the last.
    """

    def __init__(self, options: HypercolumnOptions) -> None:
        super().__init__(options, make_backbone(options, dropout=options.dropout))
        self.layers = _layers(self, options)
        self.scores = nn.ModuleDict(
            {
                layer.name: ScoreLayer(layer.channels, options.num_classes, init=options.score_init)
                for layer in self.layers
            }
        )

    def forward(self, images: Tensor) -> Tensor:
        backbone = self.backbone
        features = backbone(images, [layer.name for layer in self.layers])
        total: Tensor | None = None
        for layer in self.layers:
            scores = resize_bilinear(
                self.scores[layer.name](features.pop(layer.name)),
                layer.stride,
                like=images,
                corner=backbone.corner,
            )
            total = scores if total is None else total + scores
        assert total is not None
        return total

    def added_score_layers(self, copied: Set[str]) -> Iterable[ScoreLayer]:
        names = [layer.name for layer in self.layers]
        new = [name for name in names if f"scores.{name}.weight" not in copied]
        if len(new) < len(names):
            for name in new:
                yield cast(ScoreLayer, self.scores[name])


def _layers(network: Network, options: HypercolumnOptions) -> list[Stage]:
    """The layers that ``options`` name, from fine to coarse."""
    backbone = network.backbone
    if options.layers is None:
        (middle,) = [skip for skip in backbone.skips if skip.stride == 8]
        return [backbone.stage_at(4), middle, backbone.stage_at(32)]
    known = {layer.name: layer for layer in (*backbone.skips, *backbone.stages)}
    for name in options.layers:
        if name not in known:
            raise SettingsError(f"layers: {unknown_choice('layer', name, known)}")
    if len(set(options.layers)) < len(options.layers):
        raise SettingsError(f"layers is {', '.join(options.layers)}; name each once")
    last = backbone.stages[-1].name
    if last not in options.layers:
        raise SettingsError(f"layers is {', '.join(options.layers)}; {last} must be among them")
    return sorted((known[name] for name in options.layers), key=lambda layer: layer.stride)
