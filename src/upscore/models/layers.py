"""Layers that networks share: convolution blocks, score layers, bilinear upsampling."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from upscore.models.im2col_conv import convolution


class FoldableBlock(nn.Module):
    """Base class of blocks that ``fold.fold_batch_norm`` can make faster for inference."""

    def fold(self) -> None:
        """Merge the batch norm into what comes before it, in place and in eval mode.

        Outputs stay the same up to rounding. Parameters are replaced, not written to, as they may
        share memory with another network's.
        """
        raise NotImplementedError


@torch.no_grad()
def merge_norm(layer: nn.Conv2d | nn.ConvTranspose2d, norm: nn.Module) -> nn.Identity:
    """Give ``layer`` new weights and a bias with which it equals itself and ``norm`` in eval mode.

    Returns what takes the place of ``norm``, which is a batch norm or changes nothing.
    ``torch.nn.utils.fusion.fuse_conv_bn_eval`` does the same, but copies the old weights first,
    which are 400 MB in fc6.
    """
    if not isinstance(norm, nn.BatchNorm2d):
        return nn.Identity()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    layer.weight, layer.bias = fuse_conv_bn_weights(
        layer.weight,
        layer.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
        transpose=isinstance(layer, nn.ConvTranspose2d),
    )
    return nn.Identity()


class ConvBlock(FoldableBlock):
    """Convolution, optional batch norm, ReLU: (N, in_channels, H, W) -> (N, out_channels, H', W').

    With batch norm the convolution has no bias, since the norm subtracts it again; ``bias=True``
    gives it one nevertheless, as the released DeconvNet has. ``relu=False`` leaves the ReLU out.
    ``dilation`` is the distance of the input elements that a kernel multiplies; where it is not
    given, the padding keeps the size.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 3,
        padding: int | None = None,
        dilation: int = 1,
        batch_norm: bool = False,
        bias: bool = False,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = convolution(
            in_channels,
            out_channels,
            kernel,
            padding=dilation * (kernel - 1) // 2 if padding is None else padding,
            dilation=dilation,
            bias=bias or not batch_norm,
        )
        self.norm = nn.BatchNorm2d(out_channels) if batch_norm else nn.Identity()
        self.relu = nn.ReLU(inplace=True) if relu else nn.Identity()
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.norm(self.conv(x)))
        return out

    def fold(self) -> None:
        self.norm = merge_norm(self.conv, self.norm)


class ScoreLayer(nn.Conv2d):
    """Convolution from features to class scores, with bias; 1x1 by default.

    Args:
        kernel: odd; the size stays.
        init: see ``base.ScoreInit``. After ``zero`` the backbone's gradient is zero in the first
            step only; ``he`` gives scores of deviation 1 for features of deviation 1.
        scale: the features are multiplied by it first; the at-once FCN-8s uses 0.01 and 0.0001.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        init: str,
        scale: float = 1.0,
        kernel: int = 1,
    ) -> None:
        super().__init__(in_channels, num_classes, kernel, padding=kernel // 2)
        self.scale = scale
        if init == "he":
            nn.init.normal_(self.weight, std=(in_channels * kernel**2) ** -0.5)
        elif init == "normal":
            nn.init.normal_(self.weight, std=0.01)
        else:
            nn.init.zeros_(self.weight)
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        # scaling the few weights is scaling the many features
        weight = self.weight if self.scale == 1.0 else self.weight * self.scale
        return F.conv2d(x, weight, self.bias, padding=self.padding)


def bilinear_kernel(size: int) -> Tensor:
    """Caffe's bilinear filler: (size, size) float32, separable tent around the middle.

    With f = (size + 1) // 2 and centre c = f - 1 for odd sizes, f - 0.5 for even ones, the value
    at (i, j) is (1 - |i - c| / f) (1 - |j - c| / f).
    """
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    line = 1 - (torch.arange(size, dtype=torch.float64, device="cpu") - centre).abs() / factor
    return torch.outer(line, line).float()


class BilinearUpsample(nn.Module):
    """Transposed convolution of kernel 2s and stride s that starts as bilinear interpolation.

    Fixed, it has no parameters and is computed as the interpolation that it equals. Learned, it
    has the paper's full (C, C, 2s, 2s) weight: bilinear on the diagonal, 0 between classes; no
    bias. (A grouped transposed convolution would be exact as well; on CPUs it is faster forward,
    but up to eight times slower backward in bf16.)

    Two treatments of the border:

    - ``padded=False`` (geometry ``same``): (N, C, h, w) -> (N, C, h*s, w*s). The output covers
      exactly the pixels under the map, pixel i of the map has its centre at (i + 0.5) s - 0.5,
      and the map's rim is repeated outwards, which makes the start equal to
      ``F.interpolate(..., align_corners=False)`` up to the very border.
    - ``padded=True`` (geometry ``caffe``): (N, C, h, w) -> (N, C, (h+1)*s, (w+1)*s), the plain
      unpadded transposed convolution, which fades to zero at the border.
    """

    weight: nn.Parameter | None

    def __init__(self, channels: int, factor: int, *, learned: bool, padded: bool) -> None:
        super().__init__()
        assert factor % 2 == 0, "half a stride must be a whole number of pixels"
        self.factor = factor
        self.padded = padded
        if learned:
            size = 2 * factor
            weight = torch.zeros(channels, channels, size, size)
            weight[range(channels), range(channels)] = bilinear_kernel(size).to(weight.device)
            self.weight = nn.Parameter(weight)
        else:
            self.register_parameter("weight", None)

    def forward(self, x: Tensor) -> Tensor:
        s = self.factor
        if self.weight is not None:
            if self.padded:
                return F.conv_transpose2d(x, self.weight, stride=s)
            x = F.pad(x, (1, 1, 1, 1), mode="replicate")
            return F.conv_transpose2d(x, self.weight, stride=s, padding=s + s // 2)
        if self.padded:
            x = F.pad(x, (1, 1, 1, 1))
        out = F.interpolate(x, scale_factor=float(s), mode="bilinear", align_corners=False)
        half = s // 2
        return out[..., half:-half, half:-half] if self.padded else out


def crop_like(x: Tensor, reference: Tensor, *, offset: int = 0) -> Tensor:
    """The window of ``reference``'s height and width that starts at ``offset`` in both axes.

    A view: nothing is copied.
    """
    height, width = reference.shape[-2:]
    return x[..., offset : offset + height, offset : offset + width]


def resize_bilinear(x: Tensor, factor: int, *, like: Tensor, corner: bool) -> Tensor:
    """``x`` enlarged ``factor`` times by bilinear interpolation, cut to the size of ``like``.

    Args:
        corner: element i has its place on the last of its ``factor`` new elements, as in
            backbones whose convolutions are padded behind, not in their middle.
    """
    if corner:
        height, width = (side * factor + 1 for side in x.shape[2:])
        x = F.pad(x, (1, 0, 1, 0), mode="replicate")
        x = F.interpolate(x, (height, width), mode="bilinear", align_corners=True)
        return crop_like(x, like, offset=1)
    x = F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)
    return crop_like(x, like)
