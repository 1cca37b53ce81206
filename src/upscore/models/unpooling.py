"""Max pooling with switches (positions of the maxima), and unpooling by them.

DeconvNet section 3.2.1. Both are torch's own kernels, except for a gradient: on a CPU they are
several times as fast as the other exact forms that benchmarks/unpooling.py compares.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Switches(NamedTuple):
    """Positions of a pooling's maxima and its input size, which unpooling needs."""

    positions: Tensor
    """int64 (N, C, h, w): row * W + column of each maximum in its (H, W) plane."""
    size: tuple[int, int]
    """H and W before the pooling; h = ceil(H / 2) alone does not determine H."""


class MaxPool(nn.MaxPool2d):
    """2x2 max pooling of stride 2: (N, C, H, W) -> (N, C, ceil(H / 2), ceil(W / 2)), H, W >= 1.

    The last window of an odd side has one row or column only, as in Caffe.
    """

    def __init__(self) -> None:
        super().__init__(2, ceil_mode=True)


class SwitchPool(nn.Module):
    """The same pooling, with its switches: (N, C, H, W) -> ((N, C, h, w), switches).

    Of equal values the first in row-major order wins, as in Caffe: where a ReLU left nothing but
    zeros, that is the top left pixel.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Switches]:
        pooled, index = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
        return pooled, Switches(index, (x.shape[2], x.shape[3]))


class Unpool(nn.Module):
    """(N, C, h, w) and the switches of a pooling to h and w -> (N, C, H, W), the size before it.

    Each value goes to where the maximum of its window was, all other elements are 0.
    """

    def forward(self, x: Tensor, switches: Switches) -> Tensor:
        if x.requires_grad and torch.is_grad_enabled():
            out: Tensor = _Unpooling.apply(  # type: ignore[no-untyped-call]
                x, switches.positions, switches.size
            )
            return out
        return _unpool(x, switches.positions, switches.size)


class _Unpooling(torch.autograd.Function):
    """torch's unpooling with a backward pass for gradients in channels-last layout.

    torch's own backward pass copies gradients to N, C, H, W, which takes four times as long in a
    channels-last network and slows down the layers before it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, positions: Tensor, size: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(positions)
        return _unpool(x, positions, size)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (positions,) = ctx.saved_tensors
        # (N, HW, C), views of channels last
        rows, places = (z.permute(0, 2, 3, 1).flatten(1, 2) for z in (gradients[0], positions))
        values = rows.gather(1, places).unflatten(1, tuple(positions.shape[2:]))
        return values.permute(0, 3, 1, 2), None, None


def _unpool(x: Tensor, positions: Tensor, size: tuple[int, int]) -> Tensor:
    if x.is_meta or not torch.is_autocast_enabled(x.device.type):
        return F.max_unpool2d(x, positions, [2, 2], output_size=list(size))
    # autocast would make the largest maps of the network float32, though nothing is added up
    with torch.autocast(x.device.type, enabled=False):
        return F.max_unpool2d(x, positions, [2, 2], output_size=list(size))
