"""All backbones by name: a plain table."""

from __future__ import annotations

from upscore.core.choices import unknown_choice
from upscore.errors import SettingsError
from upscore.models.backbone import Backbone
from upscore.models.base import BackboneNetworkOptions
from upscore.models.lite0 import Lite0
from upscore.models.vgg import VGG16

BACKBONES: dict[str, type[Backbone]] = {
    "vgg16": VGG16,
    "lite0": Lite0,
}
"""Name in ``model.options.backbone`` -> class."""


def find_backbone(name: object) -> type[Backbone]:
    """The class of a backbone by name. Raises SettingsError that lists all names."""
    if isinstance(name, str) and name in BACKBONES:
        return BACKBONES[name]
    raise SettingsError(unknown_choice("backbone", name, BACKBONES))


def make_backbone(
    options: BackboneNetworkOptions, *, dropout: float = 0.0, geometry: str = "same"
) -> Backbone:
    """The backbone that a network's options name, with fresh weights.

    ``options`` are made by ``factory.options_class``, which adds those of the backbone.

    Raises:
        SettingsError: a geometry that this backbone does not have.
    """
    kind = find_backbone(options.backbone)
    if geometry not in kind.geometries:
        raise SettingsError(
            f"geometry is {geometry!r}, but the backbone {options.backbone} has "
            f"{', '.join(kind.geometries)} only"
        )
    return kind(
        options,
        in_channels=options.in_channels,
        classifier=options.classifier,
        dropout=dropout,
        geometry=geometry,
    )
