"""Base class of the networks and of their options."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Le
from pydantic import ConfigDict, Field
from torch import Tensor, nn

from upscore.core.choices import unknown_choice
from upscore.core.labels import MAX_CLASSES
from upscore.core.settings import Settings
from upscore.errors import SettingsError
from upscore.models.backbone import Backbone
from upscore.models.layers import ScoreLayer

BACKBONE_PREFIX = "trunk."
"""Prefix of the keys of a backbone's weights in model folders."""

ScoreInit = Annotated[
    Literal["zero", "normal", "he"],
    Field(
        description="Start of the score layer: ``zero``, ``normal`` (deviation 0.01, as in "
        "DeconvNet's paper) or ``he``, which gives scores of deviation 1: with few features, "
        "weights of deviation 0.01 slow down the learning of all layers before."
    ),
]

PaperScoreInit = Annotated[
    Literal["zero", "normal"],
    Field(
        description="Start of the score layers: ``zero`` as in the FCN papers, or ``normal`` "
        "(deviation 0.01)."
    ),
]

Upsampling = Annotated[
    Literal["fixed", "learned"],
    Field(
        description="Bilinear and ``fixed``, or transposed convolutions ``learned`` from a "
        "bilinear start."
    ),
]


Width = Annotated[int, Ge(1), Le(65536)]
"""A number of channels."""


class NetworkOptions(Settings):
    """Model options that every network has. Values are not converted: 2.0 is no whole number."""

    model_config = ConfigDict(strict=True)

    num_classes: Annotated[int, Ge(1), Le(MAX_CLASSES)]
    """Classes to score, void not counted. It comes from the data set."""
    in_channels: Width = 3
    """Channels of the image."""


class BackboneNetworkOptions(NetworkOptions):
    """Options of a network that works on any backbone, whose own options join these."""

    classifier: ClassVar[bool] = True
    """Whether the network uses the backbone's classifier layers (fc6 and fc7 of VGG16)."""

    backbone: str = "vgg16"
    """The feature layers below the decoder: a name in ``backbones.BACKBONES``."""


class Network(nn.Module):
    """Float images (N, in_channels, H, W) -> class scores (N, num_classes, H, W), H and W >= 1.

    ``create_model(model.architecture, **model.options)`` builds the same network again with fresh
    weights; ``create_model`` fills in both.

    Args:
        options: of this network.
        backbone: its backbone, or None for a network without one, which takes no ImageNet weights.
    """

    architecture: str
    options: dict[str, Any]
    num_classes: int

    def __init__(self, options: NetworkOptions, backbone: Backbone | None = None) -> None:
        super().__init__()
        self.num_classes = options.num_classes
        if backbone is not None:
            self.trunk = backbone  # under the name that keys of weight files begin with

    @property
    def backbone(self) -> Backbone:
        """The backbone. Raises SettingsError where the network has none."""
        if not self.has_backbone:
            raise SettingsError(f"{self.architecture} has no backbone")
        return self.trunk

    @property
    def has_backbone(self) -> bool:
        return isinstance(self._modules.get("trunk"), Backbone)

    def forward(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def added_score_layers(self, copied: Set[str]) -> Iterable[ScoreLayer]:
        """Score layers that should start at zero when other weights were copied from a network.

        A score layer whose output is added to that of a trained one would spoil what that one
        scores; see ``pretrained.start_from``.

        Args:
            copied: keys of this network that have the weights of the other one.
        """
        del copied
        return ()

    def layer_outputs(self, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """Outputs of some layers in one pass over ``images``, for figures: name -> (N, ., h, w).

        Args:
            names: layers as in the class's docstring and in Caffe, such as ``conv1_1``, ``unpool5``
                or ``fc6-deconv`` (- for _): the last parts of a module's path, as many as it takes
                to distinguish it from others. A convolution's output is that after norm and ReLU,
                as Caffe's blobs have it.

        Returns:
            Copies, without gradients, in the order of ``names``. A pool's is the pooled map.

        Raises:
            SettingsError: no such layer, or several.
        """
        modules = {name: self._layer(name) for name in names}
        found: dict[nn.Module, Tensor] = {}

        def keep(module: nn.Module, _inputs: Any, output: Any) -> None:
            # copied, as a ReLU may be about to work in place
            found[module] = (output if isinstance(output, Tensor) else output[0]).clone()

        handles = [module.register_forward_hook(keep) for module in modules.values()]
        try:
            with torch.no_grad():
                self(images)
        finally:
            for handle in handles:
                handle.remove()
        return {name: found[module] for name, module in modules.items() if module in found}

    def _layer(self, name: str) -> nn.Module:
        wanted = name.replace("-", "_")
        paths = [path for path, _ in self.named_modules()]
        matches = [path for path in paths if path == wanted] or [
            path for path in paths if path.endswith(f".{wanted}")
        ]
        if len(matches) == 1 and wanted:
            return self.get_submodule(matches[0])
        if matches and wanted:
            raise SettingsError(
                f"layer {name!r} is one of {', '.join(matches)}; give enough of the path"
            )
        ends = sorted({path.rpartition(".")[2] for path in paths if path})
        raise SettingsError(f"{self.architecture}: {unknown_choice('layer', name, ends)}")


def count_parameters(model: nn.Module, *, trainable: bool = False) -> int:
    """Number of parameters, all or only those that training changes (buffers never count)."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable)
