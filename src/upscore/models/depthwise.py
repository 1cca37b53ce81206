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
    if (
        x.device.type != "cpu"
        or not torch.is_grad_enabled()
        or torch.compiler.is_compiling()  # also for torch.export
        or weight.shape[1] != 1
    ):
        return F.conv2d(x, weight, bias, stride, padding, groups=len(weight))
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    out: Tensor = _Depthwise.apply(x, weight, bias, stride, padding)  # type: ignore[no-untyped-call]
    return out


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding = ctx.stride, ctx.padding
        of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        grad_x = grad_weight = grad_bias = None
        # oneDNN's slow cases in bfloat16 are done in float32
        slow = x.dtype == torch.bfloat16 and stride == 2
        if of_x:
            dtype = torch.float32 if slow else x.dtype
            grad_x = _backward(gradient, x, weight, stride, padding, dtype, of_x=True)
        if of_weight and weight.shape[2] == 5 and stride == 1:
            grad_weight = _in_four_parts(gradient, x, weight)
        elif of_weight:
            dtype = torch.float32 if slow and weight.shape[2] == 5 else x.dtype
            grad_weight = _backward(gradient, x, weight, stride, padding, dtype, of_x=False)
        if of_bias:
            grad_bias = gradient.sum((0, 2, 3), dtype=torch.float32).to(weight.dtype)
        return grad_x, grad_weight, grad_bias, None, None


def _backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: int,
    padding: int,
    dtype: torch.dtype,
    *,
    of_x: bool,
) -> Tensor:
    """The gradient of ``x`` or of ``weight``, in its type, computed in ``dtype``."""
    strides, pads = [stride, stride], [padding, padding]
    found = torch.ops.aten.convolution_backward(
        gradient.to(dtype), x.to(dtype), weight.to(dtype), None, strides, pads, [1, 1], False,
        [0, 0], len(weight), [of_x, not of_x, False],
    )  # fmt: skip
    out: Tensor = found[0].to(x.dtype) if of_x else found[1].to(weight.dtype)
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
                gradient, part, of_corner, 1, 0, x.dtype, of_x=False
            )
    return found
