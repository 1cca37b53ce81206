"""What every network of the catalogue is, and how its options are checked."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

import torch
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

    def layer_outputs(self, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """What layers gave out in one pass over ``images``, for figures: name -> (N, ., h, w).

        Args:
            names: layers as in the class's docstring and in Caffe, such as ``conv1_1``, ``unpool5``
                or ``fc6-deconv`` (- for _): the last parts of a module's path, as many as it takes
                to tell it from others. A convolution's output is that after norm and ReLU, as
                Caffe's blobs have it.

        Returns:
            Copies, without gradients, in the order of ``names``. A pool's is what it pooled.

        Raises:
            SettingsError: no such layer, or several.
        """
        modules = {name: self._layer(name) for name in names}
        found: dict[str, Tensor] = {}

        def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
                # copied, as a ReLU may be about to work in place
                found[name] = (output if isinstance(output, Tensor) else output[0]).clone()

            return hook

        handles = [m.register_forward_hook(keep(name)) for name, m in modules.items()]
        try:
            with torch.no_grad():
                self(images)
        finally:
            for handle in handles:
                handle.remove()
        return {name: found[name] for name in modules if name in found}

    def _layer(self, name: str) -> nn.Module:
        wanted = name.replace("-", "_")
        paths = [path for path, _ in self.named_modules()]
        fits = [path for path in paths if path == wanted] or [
            path for path in paths if path.endswith(f".{wanted}")
        ]
        if len(fits) == 1 and wanted:
            return self.get_submodule(fits[0])
        if fits and wanted:
            raise SettingsError(f"layer {name!r} is one of {', '.join(fits)}; say which")
        ends = sorted({path.rpartition(".")[2] for path in paths if path})
        near = difflib.get_close_matches(wanted, ends, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(ends)}"
        raise SettingsError(f"{self.architecture} has no layer {name!r}{hint}")


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
