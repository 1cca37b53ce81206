"""Depthwise convolution whose gradients are quick on CPUs.

oneDNN has fast kernels for them but for two cases, where it falls back to plain loops: the weights
of 5x5 kernels, and the input with stride 2 in bfloat16 (five to twenty times as long as the
forward pass; `benchmarks/depthwise.py`).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def depthwise_conv(x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int) -> Tensor:
    """``F.conv2d(x, weight, bias, stride, padding, groups=C)``, the same up to rounding.

    Args:
        x: (N, C, H, W), padded already if ``stride`` is 2.
        weight: (C, 1, k, k). With stride 1, k // 2 zeros are padded on each side.
        bias: (C,).
        stride: 1 or 2.
    """
    padding = weight.shape[2] // 2 if stride == 1 else 0
    if x.device.type != "cpu" or not torch.is_grad_enabled() or weight.shape[1] != 1:
        return F.conv2d(x, weight, bias, stride, padding, groups=len(weight))
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    out: Tensor = _Depthwise.apply(x, weight, bias, stride, padding)
    return out


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding, ctx.has_bias = stride, padding, bias is not None
        return F.conv2d(x, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        stride, padding = ctx.stride, ctx.padding
        of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        grad_x = grad_weight = grad_bias = None
        if of_x:
            wide = torch.float32 if stride == 2 and x.dtype == torch.bfloat16 else x.dtype
            grad_x = _backward(
                gradient.to(wide), x.to(wide), weight.to(wide), stride, padding, of_x=True
            ).to(x.dtype)
        if of_weight:
            grad_weight = (
                _in_four_parts(gradient, x, weight)
                if weight.shape[2] == 5 and stride == 1
                else _backward(
                    gradient.to(torch.float32) if weight.shape[2] == 5 else gradient,
                    x.to(torch.float32) if weight.shape[2] == 5 else x,
                    weight.to(torch.float32) if weight.shape[2] == 5 else weight,
                    stride,
                    padding,
                    of_x=False,
                ).to(weight.dtype)
            )
        if of_bias:
            grad_bias = gradient.sum((0, 2, 3), dtype=torch.float32).to(weight.dtype)
        return grad_x, grad_weight, grad_bias, None, None


def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, *, of_x: bool
) -> Tensor:
    strides, pads = [stride, stride], [padding, padding]
    found = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, strides, pads, [1, 1], False, [0, 0], len(weight),
        [of_x, not of_x, False],
    )  # fmt: skip
    out: Tensor = found[0 if of_x else 1]
    return out


def _in_four_parts(gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """The gradient of a 5x5 kernel as those of the four 3x3 kernels at its corners."""
    height, width = gradient.shape[2:]
    x = F.pad(x, (2, 2, 2, 2))
    found = torch.empty_like(weight)
    for top in (0, 2):
        for left in (0, 2):
            part = x[:, :, top : top + height + 2, left : left + width + 2]
            of_corner = weight[..., top : top + 3, left : left + 3]
            found[..., top : top + 3, left : left + 3] = _backward(
                gradient, part, of_corner, 1, 0, of_x=False
            )
    return found
