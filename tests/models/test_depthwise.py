"""Depthwise convolution: values and gradients of the plain one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from upscore.models.depthwise import depthwise_conv


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize("size", [(7, 9), (1, 2), (16, 16)])
def test_float32(kernel: int, stride: int, size: tuple[int, int], bias: bool) -> None:
    if stride == 2:
        size = (size[0] + kernel, size[1] + kernel)
    torch.manual_seed(0)
    x = torch.randn(2, 6, *size, dtype=torch.float64)
    weight = torch.randn(6, 1, kernel, kernel, dtype=torch.float64)
    shift = torch.randn(6, dtype=torch.float64) if bias else None
    wide = [t.requires_grad_() for t in (x, weight, shift) if t is not None]
    padding = kernel // 2 if stride == 1 else 0
    want = F.conv2d(x, weight, shift, stride, padding, groups=6)
    back = torch.randn_like(want)
    want_gradients = torch.autograd.grad(want, wide, back)
    narrow = [t.detach().float().requires_grad_() for t in wide]
    got = depthwise_conv(narrow[0], narrow[1], narrow[2] if bias else None, stride=stride)
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(torch.autograd.grad(got, narrow, back.float()), want_gradients,
                            strict=True):  # fmt: skip
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 1), (3, 2), (5, 2)])
def test_bfloat16_as_autocast_has_it(kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 16, 20, 24).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(16, 1, kernel, kernel, requires_grad=True)
    bias = torch.randn(16, requires_grad=True)
    padding = kernel // 2 if stride == 1 else 0
    want = F.conv2d(x, weight, bias, stride, padding, groups=16)
    back = torch.randn_like(want)
    want_gradients = torch.autograd.grad(want, (x, weight, bias), back)
    with torch.autocast("cpu", torch.bfloat16):
        got = depthwise_conv(x, weight, bias, stride=stride)
    assert got.dtype == torch.bfloat16
    gradients = torch.autograd.grad(got, (x, weight, bias), back.bfloat16())
    for ours, theirs in zip((got, *gradients), (want, *want_gradients), strict=True):
        assert (ours.float() - theirs).abs().max() < 0.02 * theirs.abs().max()


def test_only_what_needs_a_gradient_gets_one() -> None:
    x, weight = torch.randn(1, 4, 6, 6), torch.randn(4, 1, 5, 5, requires_grad=True)
    depthwise_conv(x, weight, None, stride=1).sum().backward()
    assert weight.grad is not None
    assert x.grad is None
