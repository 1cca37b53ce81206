"""Switches and unpooling against torch's index form, and against loops written from the paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from upscore.models.unpooling import MaxPool, SwitchPool, Unpool

SIZES = [(1, 1), (1, 2), (3, 1), (2, 2), (4, 6), (5, 7), (14, 9)]
LAYOUTS = [torch.contiguous_format, torch.channels_last]
TYPES = [torch.float32, torch.bfloat16, torch.float64]


def by_loops(x: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maxima of one plane, and ``values`` put back to where they were; the first maximum wins."""
    height, width = x.shape
    pooled = np.empty(((height + 1) // 2, (width + 1) // 2))
    out = np.zeros_like(x)
    for i in range(0, height, 2):
        for j in range(0, width, 2):
            best = (i, j)
            for place in ((i, j), (i, j + 1), (i + 1, j), (i + 1, j + 1)):
                if place[0] < height and place[1] < width and x[place] > x[best]:
                    best = place
            pooled[i // 2, j // 2] = x[best]
            out[best] = values[i // 2, j // 2]
    return pooled, out


def features(*shape: int) -> Tensor:
    """Few different values, most of them 0, as after a ReLU: nearly each window has ties."""
    generator = torch.Generator().manual_seed(3)
    return torch.randint(-3, 3, shape, generator=generator).clamp(min=0).float()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", SIZES)
def test_values_go_where_the_first_maximum_was(
    size: tuple[int, int], dtype: torch.dtype, layout: torch.memory_format
) -> None:
    x = features(2, 19, *size).to(dtype).contiguous(memory_format=layout)
    pooled, switches = SwitchPool()(x)
    values = torch.arange(1, pooled.numel() + 1).view(pooled.shape) % 199
    out = Unpool()(values.to(dtype).contiguous(memory_format=layout), switches)
    assert switches.size == size
    assert out.shape == x.shape
    assert out.dtype == pooled.dtype == dtype
    for n in range(2):
        for c in range(19):
            plane, numbers = x[n, c].double().numpy(), values[n, c].double().numpy()
            want_pooled, want = by_loops(plane, numbers)
            np.testing.assert_array_equal(pooled[n, c].double().numpy(), want_pooled)
            np.testing.assert_array_equal(out[n, c].double().numpy(), want)


@pytest.mark.parametrize("size", SIZES)
def test_equals_torchs_unpooling_of_torchs_indices(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    want_pooled, index = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
    pooled, switches = SwitchPool()(x)
    assert torch.equal(pooled, want_pooled)
    assert torch.equal(pooled, MaxPool()(x))
    want = F.max_unpool2d(want_pooled * 2, index, 2, output_size=list(size))
    assert torch.equal(Unpool()(pooled * 2, switches), want)


def test_in_a_window_of_zeros_the_top_left_wins() -> None:
    x = torch.zeros(1, 64, 6, 6)
    for layout in LAYOUTS:
        pooled, switches = SwitchPool()(x.contiguous(memory_format=layout))
        out = Unpool()(torch.ones_like(pooled), switches)
        assert bool((out[..., ::2, ::2] == 1).all())
        assert int(out.sum()) == 64 * 9


def test_pooling_undoes_unpooling() -> None:
    x = torch.rand(1, 5, 9, 8) + 0.1
    pooled, switches = SwitchPool()(x)
    out = Unpool()(pooled, switches)
    assert torch.equal(MaxPool()(out), pooled)
    assert torch.equal(out[out != 0], x[out != 0])


def test_gradients_flow_through_the_switches_alone() -> None:
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)

    def there_and_back(x: Tensor) -> Tensor:
        pooled, switches = SwitchPool()(x)
        return Unpool()(pooled.square(), switches)

    assert torch.autograd.gradcheck(there_and_back, (x,))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", SIZES)
def test_gradients_are_torchs(size: tuple[int, int], layout: torch.memory_format) -> None:
    x = features(2, 5, *size).contiguous(memory_format=layout)
    pooled, switches = SwitchPool()(x)
    pull = torch.randn(x.shape).contiguous(memory_format=layout)
    grads = []
    for unpool in (Unpool(), lambda v, s: F.max_unpool2d(v, s.positions, 2, output_size=s.size)):
        values = pooled.clone().requires_grad_()
        unpool(values, switches).backward(pull)
        assert values.grad is not None
        grads.append(values.grad)
    assert torch.equal(*grads)


def test_a_gradient_stays_channels_last() -> None:
    x = torch.randn(2, 8, 6, 6).contiguous(memory_format=torch.channels_last)
    pooled, switches = SwitchPool()(x)
    seen: list[Tensor] = []
    values = (pooled.requires_grad_() * 1).contiguous(memory_format=torch.channels_last)
    values.register_hook(seen.append)
    Unpool()(values, switches).backward(x)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_autocast_does_not_widen_the_maps() -> None:
    x = torch.randn(1, 4, 6, 6).bfloat16().requires_grad_()
    for recorded in (True, False):
        with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(recorded):
            pooled, switches = SwitchPool()(x)
            out = Unpool()(pooled, switches)
        assert out.dtype == torch.bfloat16
        assert out.requires_grad == recorded
        if recorded:
            out.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16


def test_layout_stays_channels_last() -> None:
    x = torch.randn(2, 8, 6, 6).contiguous(memory_format=torch.channels_last)
    pooled, switches = SwitchPool()(x)
    assert Unpool()(pooled, switches).is_contiguous(memory_format=torch.channels_last)
