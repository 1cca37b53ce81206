"""Kernels as 8-bit integers with a scale for each output channel, for networks that ship."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"
"""What is added to a kernel's key for the key of its scales."""
LARGEST = 127


def pack(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Round the kernels (out, in, h, w) to 8 bits; all other tensors stay.

    Element k of output channel o becomes q = round(k / s) in -127 ... 127, int8, with the scale
    s = max |k| / 127 of its channel, float32 (out,) under the kernel's key and ``.scale``.

    Example:
        >>> packed = pack({"conv.weight": torch.tensor([[[[1.0]], [[-0.5]]]])})
        >>> packed["conv.weight"].flatten().tolist()
        [127, -64]
    """
    packed: dict[str, Tensor] = {}
    for key, value in state.items():
        if value.ndim != 4 or value.dtype != torch.float32:
            packed[key] = value
            continue
        scale = value.abs().amax((1, 2, 3)).clamp(min=1e-12) / LARGEST
        packed[key] = (value / scale.view(-1, 1, 1, 1)).round().to(torch.int8)
        packed[key + SCALE] = scale
    return packed


def unpack(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo :func:`pack`: float32 kernels q s. What was not packed stays; half becomes float32.

    Raises ValueError for scales that are not above 0.
    """
    unpacked: dict[str, Tensor] = {}
    for key, value in state.items():
        kernel = state.get(key.removesuffix(SCALE))
        if key.endswith(SCALE) and kernel is not None and kernel.dtype == torch.int8:
            continue
        scale = state.get(key + SCALE)
        if value.dtype == torch.int8 and scale is not None and scale.shape == value.shape[:1]:
            if not bool((scale > 0).all()):
                raise ValueError(f"{key}{SCALE} holds a scale that is not above 0")
            value = value.float() * scale.float().view(-1, *[1] * (value.ndim - 1))
        unpacked[key] = value.float() if value.dtype == torch.float16 else value
    return unpacked
