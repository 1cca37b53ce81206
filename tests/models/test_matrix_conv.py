from __future__ import annotations

import pytest
import torch
from torch import nn

from upscore.models import im2col_conv as matrix_conv
from upscore.models.factory import create_model
from upscore.models.im2col_conv import Im2colConv2d, convolution


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (12, 16)])
@pytest.mark.parametrize(("kernel", "padding"), [(7, 3), ((3, 5), (0, 2)), (2, 1)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("max_columns", [2**26, 200])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_equals_the_convolution(size, kernel, padding, bias, max_columns, layout, monkeypatch):
    monkeypatch.setattr(matrix_conv, "MAX_COLUMNS", max_columns)
    if size == (1, 1) and kernel == (3, 5):
        size = (3, 1)
    torch.manual_seed(0)
    plain = nn.Conv2d(6, 5, kernel, padding=padding, bias=bias).to(memory_format=layout)
    ours = Im2colConv2d(6, 5, kernel, padding=padding, bias=bias).to(memory_format=layout)
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(2, 6, *size).to(memory_format=torch.channels_last).requires_grad_()
    y = x.detach().clone().requires_grad_()
    want, got = plain(x), ours(y)
    assert got.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    pull = torch.randn_like(want)
    torch.autograd.backward([want, got], [pull, pull])
    torch.testing.assert_close(y.grad, x.grad, rtol=1e-5, atol=1e-5)
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-4)


def test_gradients_have_the_layout_of_the_weights():
    """Else the optimiser would copy 400 MB on each step."""
    conv = Im2colConv2d(6, 5, 7, padding=3).to(memory_format=torch.channels_last)
    conv(torch.randn(2, 6, 9, 8)).sum().backward()
    assert conv.weight.grad is not None
    assert conv.weight.grad.stride() == conv.weight.stride()


def test_large_kernels_alone_are_done_so(monkeypatch):
    monkeypatch.setattr(matrix_conv, "MIN_WEIGHTS", 2000)
    assert type(convolution(8, 8, 7, padding=3, bias=True)) is Im2colConv2d
    assert type(convolution(8, 8, 3, padding=1, bias=True)) is nn.Conv2d
    assert type(convolution(64, 64, 1, padding=0, bias=True)) is nn.Conv2d


def test_a_whole_network_with_it(monkeypatch):
    torch.manual_seed(0)
    options = {"num_classes": 3, "width": 1 / 16, "fc_width": 16, "score_init": "normal"}
    plain = create_model("fcn8s", **options).eval()
    monkeypatch.setattr(matrix_conv, "MIN_WEIGHTS", 5000)
    ours = create_model("fcn8s", **options).eval()
    assert any(isinstance(module, Im2colConv2d) for module in ours.modules())
    assert not any(isinstance(module, Im2colConv2d) for module in plain.modules())
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 70, 90)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), plain(x), rtol=1e-4, atol=1e-5)
    exported = torch.export.export(ours, (x,))
    with torch.no_grad():
        torch.testing.assert_close(exported.module()(x), plain(x), rtol=1e-4, atol=1e-5)
