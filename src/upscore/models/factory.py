"""All networks by name: a plain table and one function."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from upscore.core.choices import unknown_choice
from upscore.core.settings import Settings, build
from upscore.errors import SettingsError
from upscore.models.backbones import find_backbone
from upscore.models.base import BackboneNetworkOptions, Network, NetworkOptions
from upscore.models.conv_vgg_bilinear import ConvVGGBilinear, ConvVGGBilinearOptions
from upscore.models.deconvnet import DeconvNet, DeconvNetOptions
from upscore.models.deeplab import DeepLab, DeepLabOptions
from upscore.models.fcn import FCN, CVPROptions, FCNOptions
from upscore.models.fpn import FPN, FPNOptions
from upscore.models.hypercolumn import Hypercolumn, HypercolumnOptions
from upscore.models.patch_cnn import PatchCNN, PatchCNNOptions
from upscore.models.segnet import SegNet, SegNetOptions
from upscore.models.unet import UNet, UNetOptions


@dataclass(frozen=True)
class Architecture:
    """A network's constructor and its options."""

    build: Callable[[Any], Network]
    """Options -> network with fresh weights."""
    options: type[NetworkOptions]


MODELS = {
    "conv-vgg-bilinear": Architecture(ConvVGGBilinear, ConvVGGBilinearOptions),
    "fcn32s": Architecture(partial(FCN, 32), FCNOptions),
    "fcn16s": Architecture(partial(FCN, 16), FCNOptions),
    "fcn8s": Architecture(partial(FCN, 8), FCNOptions),
    "fcn4s": Architecture(partial(FCN, 4), FCNOptions),
    "fcn2s": Architecture(partial(FCN, 2), FCNOptions),
    "fcn8s-cvpr": Architecture(partial(FCN, 8), CVPROptions),
    "hypercolumn": Architecture(Hypercolumn, HypercolumnOptions),
    "deeplab-largefov": Architecture(DeepLab, DeepLabOptions),
    "deconvnet": Architecture(DeconvNet, DeconvNetOptions),
    "fpn": Architecture(FPN, FPNOptions),
    "segnet": Architecture(SegNet, SegNetOptions),
    "unet": Architecture(UNet, UNetOptions),
    "patch-cnn": Architecture(PatchCNN, PatchCNNOptions),
}
"""Name -> network. Every field of its options is a model option."""


def list_models() -> list[str]:
    """The names that :func:`create_model` takes.

    Example:
        >>> "fcn8s" in upscore.list_models()
        True
    """
    return list(MODELS)


def model_options(name: str, *, backbone: str | None = None) -> dict[str, Any]:
    """The options of a network with their defaults (``num_classes`` has none: it must be given).

    Args:
        name: one of ``MODELS``.
        backbone: one of ``BACKBONES``, or None for the default; its options are among them.

    Raises:
        SettingsError: no network or backbone of this name.
    """
    given = {} if backbone is None else {"backbone": backbone}
    fields = options_class(name, given).model_fields
    return {
        key: given.get(key, field.default) for key, field in fields.items() if key != "num_classes"
    }


def create_model(name: str, *, num_classes: int, in_channels: int = 3, **options: Any) -> Network:
    """Build a network with fresh weights.

    Args:
        name: one of ``MODELS``.
        num_classes: 1 to 255, void not counted.
        options: see docs/models.md or ``model_options(name)``.

    Returns:
        A network in training mode on the default device: float (N, in_channels, H, W) -> scores
        (N, num_classes, H, W). Its ``architecture`` and ``options`` rebuild it.

    Raises:
        SettingsError: an unknown name, or options that are unknown or outside their range, a line
            for each.

    Example:
        >>> import torch
        >>> model = upscore.create_model("fcn8s", num_classes=21, width=0.125)
        >>> model(torch.zeros(1, 3, 61, 97)).shape
        torch.Size([1, 21, 61, 97])
    """
    given = {**options, "in_channels": in_channels, "num_classes": num_classes}
    settings = build(options_class(name, options), given, f"network {name}")
    try:
        model = MODELS[name].build(settings)
    except SettingsError as error:
        raise SettingsError(f"network {name}: {error}") from error
    model.architecture = name
    model.options = settings.model_dump(mode="json")
    return model


def options_class(name: str, options: dict[str, Any]) -> type[NetworkOptions]:
    """All options of a network: its own and those of the backbone that ``options`` name.

    Raises:
        SettingsError: no network or backbone of this name.
    """
    if name not in MODELS:
        raise SettingsError(unknown_choice("network", name, MODELS))
    own = MODELS[name].options
    if not issubclass(own, BackboneNetworkOptions):
        return own  # the backbone's options are among them
    try:
        backbone = find_backbone(options.get("backbone", own.model_fields["backbone"].default))
    except SettingsError as error:
        raise SettingsError(f"network {name}: {error}") from error
    theirs = backbone.classifier_options if own.classifier else backbone.feature_options
    return _joined(own, theirs)


@functools.cache  # making the class, with the help text of its fields, costs more than a network
def _joined(own: type[NetworkOptions], theirs: type[Settings]) -> type[NetworkOptions]:
    return type(own.__name__, (own, theirs), {"__doc__": own.__doc__, "__module__": __name__})
