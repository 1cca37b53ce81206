"""Folding batch norm changes the arithmetic, not the scores."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from models.known_options import known_options
from upscore.models.deconvolution import DeconvBlock, Im2colConvTranspose2d
from upscore.models.factory import MODELS, create_model
from upscore.models.fold import fold_batch_norm
from upscore.models.layers import ConvBlock


def randomised(name: str, *, batch_norm: bool = True) -> nn.Module:
    torch.manual_seed(0)
    options = known_options(name, width=1 / 16, batch_norm=batch_norm, score_init="normal")
    model = create_model(name, num_classes=3, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.2, 3)
    return model


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_same_scores(name: str) -> None:
    model = randomised(name).double()
    folded = fold_batch_norm(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    x = torch.randn(2, 3, 50, 61, dtype=torch.float64)
    torch.testing.assert_close(folded(x), model.eval()(x), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_float32_up_to_rounding() -> None:
    model = randomised("fcn8s")
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(fold_batch_norm(model)(x), model.eval()(x), rtol=1e-3, atol=1e-4)


def test_the_network_itself_stays_as_it_is() -> None:
    model = randomised("fcn8s").train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folded = fold_batch_norm(model)
    assert not folded.training
    folded.to(torch.bfloat16)
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.zero_()
    assert model.training
    for key, value in model.state_dict().items():
        assert value.dtype == before[key].dtype
        assert torch.equal(value, before[key]), key


def test_without_batch_norm_weights_share_memory() -> None:
    model = randomised("fcn8s", batch_norm=False)
    folded = fold_batch_norm(model)
    for key, value in model.state_dict().items():
        assert folded.state_dict()[key].data_ptr() == value.data_ptr()


@torch.no_grad()
def test_a_bias_before_the_norm_is_folded_too() -> None:
    block = ConvBlock(2, 3, batch_norm=True).eval()
    block.conv.bias = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    x = torch.randn(1, 2, 6, 6)
    torch.testing.assert_close(fold_batch_norm(block)(x), block(x))


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"kernel": 5, "padded": False}])
@pytest.mark.parametrize("size", [(1, 1), (6, 5)])
def test_a_deconvolution_and_its_bias_are_folded_too(
    options: dict[str, Any], size: tuple[int, int]
) -> None:
    block = DeconvBlock(4, 3, **options).double().eval()
    assert isinstance(block.norm, nn.BatchNorm2d)
    for key, value in block.state_dict().items():
        if value.is_floating_point():
            value.uniform_(0.2, 1.5) if key.endswith("var") else value.normal_()
    x = torch.randn(2, 4, *size, dtype=torch.float64)
    folded = fold_batch_norm(block)
    torch.testing.assert_close(folded(x), block(x))
    assert isinstance(folded.norm, nn.Identity)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_deconvolutions_that_keep_the_size_become_convolutions(batch_norm: bool) -> None:
    model = randomised("deconvnet", batch_norm=batch_norm)
    assert sum(type(module) is nn.ConvTranspose2d for module in model.modules()) == 13
    folded = fold_batch_norm(model)
    left = [module for module in folded.modules() if isinstance(module, nn.ConvTranspose2d)]
    assert [type(module) for module in left] == [Im2colConvTranspose2d]
    assert sum(type(module) is nn.ConvTranspose2d for module in model.modules()) == 13
    x = torch.randn(1, 3, 40, 50)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), model.eval()(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["fcn8s", "deconvnet"])
def test_channels_last_stays(name: str) -> None:
    model = randomised(name).to(memory_format=torch.channels_last)
    for parameter in fold_batch_norm(model).parameters():
        if parameter.ndim == 4:
            assert parameter.is_contiguous(memory_format=torch.channels_last)
