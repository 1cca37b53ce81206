"""Deconvolutions of stride 1 (DeconvNet section 3.2.2), with weights laid out as released.

With stride 1, a deconvolution is a convolution whose kernel is flipped and whose channels are
exchanged. Weights stay as ``nn.ConvTranspose2d`` has them, (in, out, kh, kw), which is also Caffe's
layout; for inference :func:`as_convolution` makes the convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscore.models.blueprint import blueprint
from upscore.models.layers import FoldableBlock, bilinear_kernel, merge_norm

NORMAL_STD = 0.01
"""Standard deviation of the decoder's initial weights in the papers."""


class Im2colConvTranspose2d(nn.ConvTranspose2d):
    """Unpadded deconvolution of stride 1, on a CPU as one matrix product.

    (N, C, H, W) -> (N, O, H + kh - 1, W + kw - 1). The same sums in another order, so equal up to
    rounding, forward and backward. On the 1x1 map that DeconvNet was made for the product is the
    result; on larger maps it gives one kernel-sized patch per element, and overlapping patches are
    added in float32 or float64. As a convolution, a 7x7 kernel would mostly multiply padding. On
    other devices this is the plain deconvolution.
    """

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        assert output_size is None
        if x.device.type != "cpu":
            return super().forward(x)
        num, _, height, width = x.shape
        (kh, kw), out = self.kernel_size, self.out_channels
        matrix = self.weight.permute(2, 3, 1, 0).flatten(0, 2)  # a view of channels last: (kkO, C)
        stamps = F.linear(x.permute(0, 2, 3, 1), matrix)
        if (height, width) == (1, 1):
            y = stamps.view(num, kh, kw, out).permute(0, 3, 1, 2)
        else:
            dtype = stamps.dtype
            stamps = stamps.view(num, height * width, kh * kw, out).permute(0, 3, 2, 1)
            stamps = stamps.float() if dtype != torch.float64 else stamps
            size = (height + kh - 1, width + kw - 1)
            y = F.fold(stamps.flatten(1, 2), size, (kh, kw)).to(dtype)
            y = y.contiguous(memory_format=torch.channels_last)
        return y if self.bias is None else y + self.bias.to(y.dtype).view(-1, 1, 1)


class DeconvBlock(FoldableBlock):
    """Deconvolution of stride 1, optional batch norm, ReLU.

    (N, in_channels, H, W) -> (N, out_channels, H, W) with ``padded``, which needs an odd kernel;
    else (N, out_channels, H + kernel - 1, W + kernel - 1). The deconvolution has a bias even where
    the norm subtracts it again, as in the release.

    Args:
        init: ``normal``, the papers' Gaussian of deviation 0.01; ``he``, which keeps the size of
            signals where no norm does; or ``bilinear``: half of ``he``'s noise, and with
            ``padded`` each channel is passed on, interpolated bilinearly, as in FCN's upsampling.
        dense: whether an output element sums over the whole kernel, or over one element of it, as
            where the input is 1x1; ``he`` depends on it.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 3,
        padded: bool = True,
        batch_norm: bool = True,
        init: str = "normal",
        dense: bool = True,
    ) -> None:
        super().__init__()
        assert kernel % 2 or not padded
        self.deconv: nn.ConvTranspose2d | nn.Conv2d
        if padded:
            self.deconv = nn.ConvTranspose2d(in_channels, out_channels, kernel, padding=kernel // 2)
        else:
            self.deconv = Im2colConvTranspose2d(in_channels, out_channels, kernel)
        self.norm = nn.BatchNorm2d(out_channels) if batch_norm else nn.Identity()
        self.relu = nn.ReLU(inplace=True)
        seen = in_channels * (kernel**2 if dense else 1)
        he = (2 / seen) ** 0.5
        match init:
            case "normal":
                nn.init.normal_(self.deconv.weight, std=NORMAL_STD)
            case "bilinear" if padded:
                nn.init.normal_(self.deconv.weight, std=he / 2)
                _add_bilinear_identity(self.deconv.weight)
            case _:
                nn.init.normal_(self.deconv.weight, std=he)
        assert self.deconv.bias is not None
        nn.init.zeros_(self.deconv.bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.norm(self.deconv(x)))
        return out

    def fold(self) -> None:
        """Merge the norm; a deconvolution that keeps the size becomes the equal convolution."""
        self.norm = merge_norm(self.deconv, self.norm)
        if type(self.deconv) is nn.ConvTranspose2d:  # not Im2colConvTranspose2d
            self.deconv = as_convolution(self.deconv)


@torch.no_grad()
def _add_bilinear_identity(weight: Tensor) -> None:
    """Add a bilinear kernel of sum 3 from each input channel to the output channel of its index.

    ``weight`` is (in, out, k, k); input channels beyond the last output channel start again at 0.
    """
    if weight.is_meta:  # of a blueprint, which has no values
        return
    inputs, outputs, kernel, _ = weight.shape
    tent = bilinear_kernel(kernel).to(weight.device)
    places = torch.arange(inputs)
    weight[places, places % outputs] += 3 * tent / tent.sum()


@torch.no_grad()
def as_convolution(deconv: nn.ConvTranspose2d) -> nn.Conv2d:
    """The convolution equal to a deconvolution of stride 1, with the same memory layout.

    w'[o, c, i, j] = w[c, o, kh - 1 - i, kw - 1 - j], and padding kh - 1 - p instead of p.
    """
    assert deconv.stride == deconv.dilation == (1, 1)
    assert deconv.groups == 1
    assert not isinstance(deconv.padding, str)
    (kh, kw), (ph, pw) = deconv.kernel_size, deconv.padding
    weight = deconv.weight
    last = weight.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    with blueprint():
        conv = nn.Conv2d(
            deconv.in_channels,
            deconv.out_channels,
            (kh, kw),
            padding=(kh - 1 - ph, kw - 1 - pw),
            bias=deconv.bias is not None,
        )
    flipped = weight.detach().flip(2, 3).transpose(0, 1).contiguous(memory_format=layout)
    conv.weight = nn.Parameter(flipped, requires_grad=weight.requires_grad)
    conv.bias = deconv.bias
    return conv.train(deconv.training)
