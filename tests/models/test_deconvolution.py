"""Deconvolutions against stamps added up one by one, and against the convolutions they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from upscore.models.deconvolution import DeconvBlock, Im2colConvTranspose2d, as_convolution
from upscore.models.layers import ScoreLayer

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def by_stamps(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, padding: int) -> np.ndarray:
    """Every input element stamps its kernel, then ``padding`` is cut off. In float64."""
    inputs, height, width = x.shape
    outputs, size = weight.shape[1], weight.shape[2]
    out = np.zeros((outputs, height + size - 1, width + size - 1))
    for c in range(inputs):
        for i in range(height):
            for j in range(width):
                out[:, i : i + size, j : j + size] += x[c, i, j] * weight[c]
    inner = slice(padding, -padding or None)
    return out[:, inner, inner] + bias[:, None, None]


def filled(module: Any) -> Any:
    torch.manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module.double()


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 1), (4, 3), (1, 5)])
@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (7, 0), (5, 2), (1, 0)])
def test_the_convolution_that_it_is(kernel: int, padding: int, size: tuple[int, int]) -> None:
    deconv = filled(nn.ConvTranspose2d(3, 4, kernel, padding=padding))
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    weight, bias = deconv.weight.detach().numpy(), deconv.bias.detach().numpy()
    want = np.stack([by_stamps(item.numpy(), weight, bias, padding) for item in x])
    conv = as_convolution(deconv)
    np.testing.assert_allclose(conv(x).numpy(), want, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(deconv(x).numpy(), want, rtol=1e-12, atol=1e-12)


def test_its_weights_are_flipped_and_exchanged_to_the_bit() -> None:
    for layout in LAYOUTS:
        deconv = nn.ConvTranspose2d(5, 6, 3, padding=1).to(memory_format=layout)
        conv = as_convolution(deconv)
        assert conv.weight.is_contiguous(memory_format=layout)
        for i in range(3):
            for j in range(3):
                assert torch.equal(conv.weight[:, :, i, j], deconv.weight[:, :, 2 - i, 2 - j].T)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 1)])
@pytest.mark.parametrize("kernel", [1, 3, 7])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_matrix_product_that_it_is(
    size: tuple[int, int], kernel: int, bias: bool, layout: torch.memory_format
) -> None:
    plain = filled(nn.ConvTranspose2d(6, 5, kernel, bias=bias)).to(memory_format=layout)
    ours = Im2colConvTranspose2d(6, 5, kernel, bias=bias).double().to(memory_format=layout)
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(2, 6, *size, dtype=torch.float64).to(memory_format=torch.channels_last)
    x.requires_grad_()
    y = x.detach().clone().requires_grad_()
    want, got = plain(x), ours(y)
    assert got.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(got, want)
    pull = torch.randn_like(want)
    torch.autograd.backward([want, got], [pull, pull])
    torch.testing.assert_close(y.grad, x.grad)
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    # else the optimiser would copy 400 MB on each step
    assert ours.weight.grad is not None
    if layout == torch.channels_last:
        assert ours.weight.grad.stride() == ours.weight.stride()


@torch.no_grad()
def test_stamps_are_added_in_float32() -> None:
    """49 sums in bf16 would lose what the plain kernel keeps."""
    torch.manual_seed(0)
    ours = Im2colConvTranspose2d(32, 8, 7)
    x = torch.randn(1, 32, 9, 9).bfloat16()
    exact = nn.ConvTranspose2d.forward(ours.bfloat16().float(), x.float())
    found = ours.bfloat16()(x)
    assert found.dtype == torch.bfloat16
    error = (found.float() - exact).square().mean().sqrt() / exact.std()
    assert error < 0.004  # bf16 itself rounds by 0.002 of a number


def test_blocks_start_as_told() -> None:
    torch.manual_seed(0)
    normal = DeconvBlock(64, 32)
    assert 0.0098 < float(normal.deconv.weight.detach().std()) < 0.0102
    assert isinstance(normal.norm, nn.BatchNorm2d)
    assert normal.deconv.bias is not None
    assert not normal.deconv.bias.any()
    # what goes in with mean square 1 comes out so, though a ReLU halves it
    x = torch.randn(8, 256, 12, 12)
    for options, image in (
        ({}, x),
        ({"kernel": 7, "padded": False, "dense": False}, x[:, :, :1, :1]),
    ):
        he = DeconvBlock(256, 256, batch_norm=False, init="he", **options)  # type: ignore[arg-type]
        inner = he(image).detach()[..., 1:-1, 1:-1]
        assert 0.8 < float(inner.square().mean()) < 1.2


def test_bilinear_start_lets_channels_through() -> None:
    torch.manual_seed(0)
    block = DeconvBlock(6, 3, init="bilinear", batch_norm=False)
    assert isinstance(block.deconv, nn.ConvTranspose2d)
    weight = block.deconv.weight.detach()
    tent = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16 * 3
    start = torch.zeros(6, 3, 3, 3)
    for channel in range(6):
        start[channel, channel % 3] = tent
    noise = weight - start
    assert noise.std() == pytest.approx((2 / 54) ** 0.5 / 2, rel=0.15)
    assert noise.mean().abs() < 0.03


@pytest.mark.parametrize("features", [16, 64])
def test_he_scores_have_the_size_of_the_features(features: int) -> None:
    torch.manual_seed(0)
    layer = ScoreLayer(features, 50, init="he")
    scores = layer(torch.randn(4, features, 20, 20))
    assert scores.std().item() == pytest.approx(1, rel=0.1)
