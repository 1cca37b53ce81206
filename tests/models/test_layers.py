"""Bilinear upsampling, score layers and crops against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscore.models.layers import (
    BilinearUpsample,
    ConvBlock,
    ScoreLayer,
    bilinear_kernel,
    crop_like,
)


def brute_force(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """Transposed convolution in float64: every input element stamps its kernel."""
    inputs, height, width = x.shape
    size, outputs = weight.shape[2], weight.shape[1]
    out = np.zeros((outputs, (height - 1) * stride + size, (width - 1) * stride + size))
    for c in range(inputs):
        for i in range(height):
            for j in range(width):
                window = np.s_[:, i * stride : i * stride + size, j * stride : j * stride + size]
                out[window] += x[c, i, j] * weight[c]
    return out


def test_kernel_of_caffe() -> None:
    line = torch.tensor([0.25, 0.75, 0.75, 0.25])
    assert torch.equal(bilinear_kernel(4), torch.outer(line, line))
    line = torch.tensor([1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])  # odd: f 3, c 2
    torch.testing.assert_close(bilinear_kernel(5), torch.outer(line, line))


@pytest.mark.parametrize("size", [2, 3, 4, 7, 16, 32, 64])
def test_kernel_by_the_formula(size: int) -> None:
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 == 1 else factor - 0.5
    og = np.ogrid[:size, :size]
    want = (1 - abs(og[0] - centre) / factor) * (1 - abs(og[1] - centre) / factor)
    np.testing.assert_allclose(bilinear_kernel(size).numpy(), want, rtol=1e-6)


@pytest.mark.parametrize("factor", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("learned", [False, True])
def test_padded_is_the_plain_transposed_convolution(factor: int, learned: bool) -> None:
    rng = np.random.default_rng(factor)
    x = rng.standard_normal((3, 4, 5))
    kernel = bilinear_kernel(2 * factor).double().numpy()
    weight = np.zeros((3, 3, 2 * factor, 2 * factor))
    weight[range(3), range(3)] = kernel
    layer = BilinearUpsample(3, factor, learned=learned, padded=True).double()
    found = layer(torch.from_numpy(x)[None])[0].detach().numpy()
    assert found.shape == (3, 5 * factor, 6 * factor)
    np.testing.assert_allclose(found, brute_force(x, weight, factor), atol=1e-12)


def test_learned_weights_mix_classes() -> None:
    layer = BilinearUpsample(2, 2, learned=True, padded=True).double()
    assert layer.weight is not None
    rng = np.random.default_rng(0)
    weight, x = rng.standard_normal((2, 2, 4, 4)), rng.standard_normal((2, 3, 2))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        found = layer(torch.from_numpy(x)[None])[0].numpy()
    np.testing.assert_allclose(found, brute_force(x, weight, 2), atol=1e-12)


@pytest.mark.parametrize("factor", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 3)])
def test_same_is_interpolation_up_to_the_border(
    factor: int, learned: bool, size: tuple[int, int]
) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    layer = BilinearUpsample(3, factor, learned=learned, padded=False).double()
    want = F.interpolate(
        x, size=(size[0] * factor, size[1] * factor), mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(layer(x).detach(), want, rtol=1e-12, atol=1e-12)


def test_padded_is_interpolation_inside() -> None:
    x = torch.randn(1, 2, 6, 7, dtype=torch.float64)
    full = BilinearUpsample(2, 8, learned=True, padded=True).double()(x).detach()
    want = F.interpolate(x, scale_factor=8.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(full[..., 8:-8, 8:-8], want[..., 4:-4, 4:-4])


def test_fixed_has_no_parameters_and_learned_has_the_full_kernel() -> None:
    assert list(BilinearUpsample(21, 8, learned=False, padded=True).state_dict()) == []
    layer = BilinearUpsample(21, 8, learned=True, padded=True)
    assert layer.weight is not None
    assert layer.weight.shape == (21, 21, 16, 16)
    assert int((layer.weight != 0).any(-1).any(-1).sum()) == 21


def test_gradients_of_fixed_upsampling_are_those_of_the_transposed_convolution() -> None:
    grads: list[Tensor] = []
    for learned in (False, True):
        x = torch.arange(24, dtype=torch.float64).view(1, 2, 3, 4).requires_grad_()
        layer = BilinearUpsample(2, 4, learned=learned, padded=False).double()
        layer(x).pow(2).sum().backward()
        assert x.grad is not None
        grads.append(x.grad)
    torch.testing.assert_close(grads[0], grads[1])


def test_scale_multiplies_the_features_not_the_bias() -> None:
    plain = ScoreLayer(4, 3, init="normal")
    scaled = ScoreLayer(4, 3, init="normal", scale=0.01)
    scaled.load_state_dict(plain.state_dict())
    with torch.no_grad():
        for layer in (plain, scaled):
            assert layer.bias is not None
            layer.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
        x = torch.randn(2, 4, 5, 6)
        torch.testing.assert_close(scaled(x), plain(0.01 * x))


def test_score_layers_start_as_told() -> None:
    zero, normal = ScoreLayer(400, 50, init="zero"), ScoreLayer(400, 50, init="normal")
    assert not zero.weight.any()
    assert 0.0095 < float(normal.weight.detach().std()) < 0.0105
    for layer in (zero, normal):
        assert layer.bias is not None
        assert not layer.bias.any()


def test_blocks_start_with_he_and_have_no_bias_before_a_norm() -> None:
    block = ConvBlock(64, 64)
    assert block.conv.bias is not None
    assert not block.conv.bias.any()
    assert abs(float(block.conv.weight.detach().std()) / (2 / (64 * 9)) ** 0.5 - 1) < 0.02
    normed = ConvBlock(3, 4, batch_norm=True)
    assert normed.conv.bias is None
    assert isinstance(normed.norm, nn.BatchNorm2d)


def test_crop_is_a_view() -> None:
    x = torch.arange(20.0).view(1, 1, 4, 5)
    assert torch.equal(crop_like(x, torch.empty(7, 7, 4, 5)), x)
    cut = crop_like(x, torch.empty(1, 1, 2, 3), offset=1)
    assert cut.tolist() == [[[[6.0, 7.0, 8.0], [11.0, 12.0, 13.0]]]]
    assert cut._base is not None
