"""What every network of the catalogue is, and how its options are checked."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from upscore.core.labels import MAX_CLASSES
from upscore.errors import SettingsError


class Network(nn.Module):
    """Float images (N, in_channels, H, W) -> class scores (N, num_classes, H, W), H and W >= 1.

    ``create_model(model.architecture, **model.options)`` builds the same network again, with fresh
    weights; ``create_model`` fills both in.
    """

    architecture: str
    options: dict[str, Any]
    num_classes: int

    def __init__(self, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.num_classes = whole("num_classes", num_classes, 1, MAX_CLASSES)
        whole("in_channels", in_channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        raise NotImplementedError


def count_parameters(model: nn.Module, *, trainable: bool = False) -> int:
    """Number of parameters, all or only those that training changes (buffers never count)."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable)


def whole(option: str, value: Any, low: int, high: int | None = None) -> int:
    """``value`` if it is a whole number in [low, high]; SettingsError that names the option."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        pass
    elif high is None or value <= high:
        return value
    allowed = f"from {low} to {high}" if high is not None else f"of at least {low}"
    raise SettingsError(f"model option {option} is {value!r}; want a whole number {allowed}")


def number(option: str, value: Any, low: float, high: float, *, allow_low: bool) -> float:
    """``value`` if it is a number in (low, high] or, with ``allow_low``, in [low, high]."""
    if not isinstance(value, bool) and isinstance(value, int | float):
        above = value >= low if allow_low else value > low
        if above and value <= high:
            return float(value)
    opening = "[" if allow_low else "("
    raise SettingsError(
        f"model option {option} is {value!r}; want a number in {opening}{low:g}, {high:g}]"
    )


def flag(option: str, value: Any) -> bool:
    """``value`` if it is a bool; SettingsError otherwise."""
    if isinstance(value, bool):
        return value
    raise SettingsError(f"model option {option} is {value!r}; want true or false")


def choice(option: str, value: Any, allowed: tuple[str, ...]) -> str:
    """``value`` if it is one of ``allowed``; SettingsError that lists them otherwise."""
    if value in allowed:
        return str(value)
    raise SettingsError(f"model option {option} is {value!r}; allowed: {', '.join(allowed)}")
