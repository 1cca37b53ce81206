from __future__ import annotations

import pytest
import torch
from torch import nn

from inference.support import random_photo, wrap
from upscore.inference import matrix_conv
from upscore.inference.matrix_conv import MatrixConv2d, use_matrix_products
from upscore.models.catalog import create_model


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (12, 16)])
@pytest.mark.parametrize(("kernel", "padding"), [(7, 3), ((3, 5), (0, 2)), (2, 1)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("max_columns", [2**26, 200])
def test_equals_the_convolution(size, kernel, padding, bias, max_columns, monkeypatch):
    monkeypatch.setattr(matrix_conv, "MAX_COLUMNS", max_columns)
    if size == (1, 1) and kernel == (3, 5):
        size = (3, 1)
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 5, kernel, padding=padding, bias=bias)
    conv.to(memory_format=torch.channels_last)
    x = torch.randn(2, 6, *size).to(memory_format=torch.channels_last)
    with torch.no_grad():
        want, got = conv(x), MatrixConv2d(conv)(x)
    assert got.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_large_kernels_alone_are_replaced(monkeypatch):
    monkeypatch.setattr(matrix_conv, "MIN_WEIGHTS", 2000)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Sequential(nn.Conv2d(8, 8, 7, padding=3)), nn.Conv2d(64, 64, 1),
        nn.Conv2d(8, 8, 7, stride=2), nn.Conv2d(8, 8, 7, dilation=2),
        nn.Conv2d(16, 16, 7, groups=2),
        nn.Conv2d(8, 8, 7, padding="same"), nn.Conv2d(8, 8, 7, padding=3, padding_mode="reflect"),
    )  # fmt: skip
    use_matrix_products(model)
    kinds = [type(module) for module in model.modules() if not list(module.children())]
    assert kinds.count(MatrixConv2d) == 1
    assert isinstance(model[1][0], MatrixConv2d)


def test_a_whole_network_with_it(monkeypatch):
    torch.manual_seed(0)
    model = create_model("fcn8s", num_classes=3, width=1 / 16, fc_width=16, score_init="normal")
    image = random_photo(70, 90)
    want = wrap(model).scores(image)
    monkeypatch.setattr(matrix_conv, "MIN_WEIGHTS", 5000)
    segmenter = wrap(model)
    assert any(isinstance(module, MatrixConv2d) for module in segmenter.model.modules())
    assert not any(isinstance(module, MatrixConv2d) for module in model.modules())
    torch.testing.assert_close(
        torch.from_numpy(segmenter.scores(image)), torch.from_numpy(want), rtol=1e-4, atol=1e-5
    )
