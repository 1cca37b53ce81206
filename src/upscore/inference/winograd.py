"""3x3 convolutions by Winograd's minimal filtering: a quarter of the multiplications, on a CPU.

F(4x4, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016): a
tile of 4x4 outputs takes 36 products where the definition takes 144. Here each of its three steps
is a matrix product over many tiles at once. Equal to the convolution up to rounding (about 1e-5 of
the largest output in float32; half precisions would lose too much and are not done so).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MIN_CHANNELS = 128
"""On both sides. Below, moving the tiles costs more than the products that are saved."""

BLOCK = 128
"""Tiles transformed at once: enough for a fast product, few enough to stay in the cache."""

# Lavin and Gray, section 4.1: Y = At [(G g Gt) * (Bt d B)] A, here for both axes at once by kron
_BT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_G = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_AT = (
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 2, -2, 0),
    (0, 1, 1, 4, 4, 0),
    (0, 1, -1, 8, -8, 1),
)


class WinogradConv2d(nn.Module):
    """A 3x3 convolution of stride 1 and padding 1: (N, C, H, W) -> (N, O, H, W) float32.

    Holds the transformed weights of ``conv``, four times as many numbers.
    """

    weight: Tensor
    input_transform: Tensor
    output_transform: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        with torch.no_grad():
            g = torch.tensor(_G, dtype=torch.float64)
            weight = torch.einsum("ia,ocab,jb->ijco", g, conv.weight.double(), g)
        self.register_buffer("weight", weight.flatten(0, 1).float().contiguous())  # (36, C, O)
        self.bias = conv.bias
        for name, rows in (("input_transform", _BT), ("output_transform", _AT)):
            matrix = torch.tensor(rows, dtype=torch.float32)
            self.register_buffer(name, torch.kron(matrix, matrix))  # (36, 36), (16, 36)

    def forward(self, x: Tensor) -> Tensor:
        num, channels, height, width = x.shape
        down, across = -(-height // 4), -(-width // 4)
        padding = (0, 0, 1, 4 * across - width + 1, 1, 4 * down - height + 1)
        padded = F.pad(x.permute(0, 2, 3, 1), padding)  # channels last: (N, 4 down + 2, ..., C)
        windows = padded.unfold(1, 6, 4).unfold(2, 6, 4).permute(0, 4, 5, 1, 2, 3)
        out = x.new_empty(num, down, 4, across, 4, self.weight.shape[2])
        rows = max(1, BLOCK // across)
        for n in range(num):
            for top in range(0, down, rows):
                tiles = windows[n, :, :, top : top + rows]  # (6, 6, rows, across, C)
                block = tiles.shape[2]
                v = self.input_transform @ tiles.reshape(36, -1)
                m = torch.bmm(v.view(36, -1, channels), self.weight)
                y = self.output_transform @ m.view(36, -1)
                y = y.view(4, 4, block, across, -1).permute(2, 0, 3, 1, 4)
                if self.bias is None:
                    out[n, top : top + block] = y
                else:
                    torch.add(y, self.bias, out=out[n, top : top + block])
        return out.view(num, 4 * down, 4 * across, -1)[:, :height, :width].permute(0, 3, 1, 2)


def use_winograd(model: nn.Module) -> None:
    """Replace, in place, the convolutions of ``model`` that are faster this way."""
    for name, module in list(model.named_children()):
        if type(module) is nn.Conv2d and _pays(module):
            setattr(model, name, WinogradConv2d(module))
        else:
            use_winograd(module)


def _pays(conv: nn.Conv2d) -> bool:
    return (
        conv.kernel_size == (3, 3)
        and conv.padding == conv.stride == conv.dilation == (1, 1)
        and conv.groups == 1
        and conv.padding_mode == "zeros"
        and min(conv.in_channels, conv.out_channels) >= MIN_CHANNELS
    )
