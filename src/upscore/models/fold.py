"""For inference: batch norm merged into what comes before it, deconvolutions as convolutions."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import nn

from upscore.models.deconvolution import DeconvBlock, MatrixConvTranspose2d, as_convolution
from upscore.models.layers import ConvBlock

M = TypeVar("M", bound=nn.Module)


def fold_batch_norm(model: M) -> M:
    """A copy in eval mode without batch norm: the same scores up to rounding, in less time.

    With norm y = g (x - m) / sqrt(v + eps) + b on a convolution x = W * z, the folded one has the
    weight W g / sqrt(v + eps) and the bias b - m g / sqrt(v + eps). Deconvolutions that keep the
    size become the convolutions that they are, for which there are faster kernels. Values that
    need no change share ``model``'s memory; ``model`` stays as it is, also when the copy is then
    moved or cast. The copy is for inference: it cannot be saved.
    """
    shared: dict[int, Any] = {id(b): b.detach() for b in model.buffers()}
    for p in model.parameters():
        shared[id(p)] = nn.Parameter(p.detach(), requires_grad=p.requires_grad)
    folded = copy.deepcopy(model, shared)
    for module in folded.modules():
        if isinstance(module, ConvBlock) and isinstance(module.norm, nn.BatchNorm2d):
            _fold(module.conv, module.norm, out_axis=0)
            module.norm = nn.Identity()
        elif isinstance(module, DeconvBlock):
            if isinstance(module.norm, nn.BatchNorm2d):
                _fold(module.deconv, module.norm, out_axis=1)
                module.norm = nn.Identity()
            if isinstance(module.deconv, nn.ConvTranspose2d) and not isinstance(
                module.deconv, MatrixConvTranspose2d
            ):
                module.deconv = as_convolution(module.deconv)
    return folded.eval()


@torch.no_grad()
def _fold(conv: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d, *, out_axis: int) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight = conv.weight
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = norm.bias.double() - norm.running_mean.double() * scale
    if conv.bias is not None:
        bias += conv.bias.double() * scale
    shape = [1, 1, 1, 1]
    shape[out_axis] = -1
    scaled = weight * scale.to(weight.dtype).view(shape)
    conv.weight = nn.Parameter(scaled, requires_grad=weight.requires_grad)
    conv.bias = nn.Parameter(bias.to(weight.dtype), requires_grad=weight.requires_grad)
