"""Folding batch norm changes the arithmetic, not the scores."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from upscore.models.catalog import MODELS, create_model
from upscore.models.fold import fold_batch_norm
from upscore.models.layers import ConvBlock


def randomised(name: str, *, batch_norm: bool = True) -> nn.Module:
    torch.manual_seed(0)
    model = create_model(
        name, num_classes=3, width=1 / 16, batch_norm=batch_norm, score_init="normal"
    )
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


def test_channels_last_stays() -> None:
    model = randomised("fcn8s").to(memory_format=torch.channels_last)
    for parameter in fold_batch_norm(model).parameters():
        if parameter.ndim == 4:
            assert parameter.is_contiguous(memory_format=torch.channels_last)
