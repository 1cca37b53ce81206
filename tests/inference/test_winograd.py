from __future__ import annotations

import pytest
import torch
from torch import nn

from inference.support import random_photo, wrap
from upscore.inference.fast_conv import winograd
from upscore.inference.fast_conv.winograd import WinogradConv2d, use_winograd
from upscore.models.factory import create_model


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4), (5, 17), (33, 48), (6, 7)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("block", [1, 5 * 36 * 4 * 24, 8 << 20])
def test_equals_the_convolution(size, bias, block, monkeypatch):
    monkeypatch.setattr(winograd, "BLOCK_BYTES", block)
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 8, 3, padding=1, bias=bias)
    x = torch.randn(2, 16, *size)
    with torch.no_grad():
        want = torch.nn.functional.conv2d(
            x.double(), conv.weight.double(), None if conv.bias is None else conv.bias.double(),
            padding=1,
        )  # fmt: skip
        for layout in (torch.channels_last, torch.contiguous_format):
            got = WinogradConv2d(conv)(x.contiguous(memory_format=layout))
            torch.testing.assert_close(got.double(), want, rtol=1e-4, atol=2e-5)


def test_wide_three_by_three_layers_alone_are_replaced(monkeypatch):
    monkeypatch.setattr(winograd, "MIN_CHANNELS", 8)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.Sequential(nn.Conv2d(8, 8, 3, padding=1)),
        nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3, padding=1, stride=2), nn.Conv2d(8, 8, 1),
        nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.Conv2d(8, 8, 3, padding="same"),
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), nn.Conv2d(8, 12, 3, padding=1),
    )  # fmt: skip
    use_winograd(model)
    assert sum(isinstance(module, WinogradConv2d) for module in model.modules()) == 1
    assert isinstance(model[1][0], WinogradConv2d)


@pytest.mark.parametrize(("threads", "replaced"), [(1, True), (4, True), (5, False)])
def test_many_threads_want_more_channels(threads, replaced, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    model = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1))
    use_winograd(model)
    assert isinstance(model[0], WinogradConv2d) == replaced


@pytest.mark.parametrize("size", [(70, 90), (1, 1), (33, 64)])
def test_a_whole_network_with_it(size, monkeypatch):
    torch.manual_seed(0)
    model = create_model("fcn8s", num_classes=3, width=1 / 8, fc_width=16, score_init="normal")
    image = random_photo(*size)
    want = wrap(model).scores(image)
    monkeypatch.setattr(winograd, "MIN_CHANNELS", 16)
    segmenter = wrap(model)
    modules = segmenter.network.model.modules()
    assert sum(isinstance(module, WinogradConv2d) for module in modules) == 10
    assert not any(isinstance(module, WinogradConv2d) for module in model.modules())
    torch.testing.assert_close(
        torch.from_numpy(segmenter.scores(image)), torch.from_numpy(want), rtol=1e-3, atol=1e-5
    )
