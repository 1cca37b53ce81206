"""All networks by name: a plain table and one function."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from upscore.errors import SettingsError
from upscore.models.base import Network
from upscore.models.conv_vgg_bilinear import ConvVGGBilinear
from upscore.models.deconvnet import DeconvNet
from upscore.models.fcn import FCN
from upscore.models.segnet import SegNet
from upscore.models.unet import UNet

MODELS: dict[str, Callable[..., Network]] = {
    "conv-vgg-bilinear": ConvVGGBilinear,
    "fcn32s": partial(FCN, 32),
    "fcn16s": partial(FCN, 16),
    "fcn8s": partial(FCN, 8),
    "fcn4s": partial(FCN, 4),
    "fcn2s": partial(FCN, 2),
    "deconvnet": DeconvNet,
    "segnet": SegNet,
    "unet": UNet,
}
"""Name -> builder. Every keyword of a builder is a model option."""


def model_options(name: str) -> dict[str, Any]:
    """The options of a network with their defaults (``num_classes`` has none: it must be given).

    Raises:
        SettingsError: no network of this name.
    """
    parameters = inspect.signature(_builder(name)).parameters
    return {key: item.default for key, item in parameters.items() if key != "num_classes"}


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
        SettingsError: an unknown name or option, or a value outside its range.
    """
    builder = _builder(name)
    defaults = model_options(name)
    for key in options:
        if key not in defaults:
            near = difflib.get_close_matches(key, defaults, n=1)
            hint = f", did you mean {near[0]}?" if near else ";"
            raise SettingsError(
                f"network {name} has no option {key!r}{hint} allowed: {', '.join(sorted(defaults))}"
            )
    settings = {**defaults, **options, "in_channels": in_channels, "num_classes": num_classes}
    model = builder(**settings)
    model.architecture = name
    model.options = {
        key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()
    }
    return model


def _builder(name: str) -> Callable[..., Network]:
    if name in MODELS:
        return MODELS[name]
    near = difflib.get_close_matches(str(name), MODELS, n=1)
    hint = f", did you mean {near[0]}?" if near else ";"
    raise SettingsError(f"no network {name!r}{hint} there are {', '.join(MODELS)}")
