"""3x3 convolutions by Winograd's minimal filtering: a quarter of the multiplications, on a CPU.

F(4x4, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016): a
tile of 4x4 outputs takes 36 products where the definition takes 144. Tiles are transformed by
kernels, and the products of many tiles at once are a matrix product. Equal to the convolution up to
rounding (about 1e-5 of the largest output in float32; half precisions would lose too much and are
not done so).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

LANES = 8
"""Channels that a kernel takes at once."""

MIN_CHANNELS = 64
"""On both sides. Below, moving the tiles costs more than the products that are saved."""

FEW_THREADS = 4
"""Tiles are moved by one thread (several would wait for torch's own, which spin after each
product), so with more threads it pays for twice as many channels only."""

BLOCK_BYTES = 8 << 20
"""Of transformed tiles and their products at once: enough for a fast product, few enough to stay in
the cache."""

# Lavin and Gray, section 4.1
_G = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)


class WinogradConv2d(nn.Module):
    """A 3x3 convolution of stride 1 and padding 1: (N, C, H, W) -> (N, O, H, W) float32.

    C and O are multiples of 8. Holds the transformed weights of ``conv``, four times as many
    numbers.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        with torch.no_grad():
            g = torch.tensor(_G, dtype=torch.float64)
            weight = torch.einsum("ia,ocab,jb->ijco", g, conv.weight.double(), g)
            bias = conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias
        self.register_buffer("weight", weight.flatten(0, 1).float().contiguous())  # (36, C, O)
        self.register_buffer("bias", bias.detach().float())

    def forward(self, x: Tensor) -> Tensor:
        from upscore.core.jit.compile import log_compilation
        from upscore.inference.fast_conv.winograd_tiles import lay_tiles, take_tiles

        num, channels, height, width = x.shape
        filters = self.weight.shape[2]
        image = x.detach().permute(0, 2, 3, 1).contiguous()  # channels last: no copy
        out = torch.empty(num, height, width, filters)
        total = num * -(-height // 4) * -(-width // 4)
        block = min(total, max(1, BLOCK_BYTES // (36 * 4 * (channels + filters))))
        tiles, products = torch.empty(36, block, channels), torch.empty(36, block, filters)
        with log_compilation("fast convolutions"):
            for first in range(0, total, block):
                if first + block > total:  # the last is smaller
                    block = total - first
                    tiles = torch.empty(36, block, channels)
                    products = torch.empty(36, block, filters)
                take_tiles(_lanes(image), first, _lanes(tiles))
                torch.bmm(tiles, self.weight, out=products)
                lay_tiles(_lanes(products), _lanes(self.bias), first, _lanes(out))
        return out.permute(0, 3, 1, 2)


def _lanes(values: Tensor) -> Any:
    """Eight channels side by side: (..., C) -> (..., C / 8, 8)."""
    return values.view(*values.shape[:-1], -1, LANES).numpy()


def use_winograd(model: nn.Module) -> None:
    """Replace, in place, the convolutions of ``model`` that are faster this way."""
    for name, module in list(model.named_children()):
        if type(module) is nn.Conv2d and _pays(module):
            setattr(model, name, WinogradConv2d(module))
        else:
            use_winograd(module)


def _pays(conv: nn.Conv2d) -> bool:
    least = MIN_CHANNELS * (1 if torch.get_num_threads() <= FEW_THREADS else 2)
    return (
        conv.kernel_size == (3, 3)
        and conv.padding == conv.stride == conv.dilation == (1, 1)
        and conv.groups == 1
        and conv.padding_mode == "zeros"
        and min(conv.in_channels, conv.out_channels) >= least
        and conv.in_channels % LANES == conv.out_channels % LANES == 0
    )
