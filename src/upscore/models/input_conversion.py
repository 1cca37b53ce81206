"""Conversion of a network's first layer to another input specification."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from upscore.core.images import InputSpec
from upscore.errors import RunError
from upscore.models.backbone import FirstBlock


@torch.no_grad()
def convert_first_layer(block: FirstBlock, *, given: InputSpec, wanted: InputSpec) -> None:
    """Convert ``block``, trained on photos prepared by ``given``, to those prepared by ``wanted``.

    With x the input that the weights w were made for and z the new one of the same colour,
    x = (z s' + m' - m) / s, where m, s are mean and std of ``given`` and m', s' of ``wanted``. So w
    becomes w s' / s, in the new channel order, and the sum of w (m' - m) / s joins the bias. Where
    there is a batch norm and no bias, that sum is taken off the running mean instead. The response
    is the same up to rounding, in training and eval mode, but for one thing: zero padding, which
    was the colour m, is now the colour m'. Where the kernel reaches d elements of the padding, the
    response differs by the sum of w (m' - m) / s over these. Between ``imagenet`` and ``caffe``
    the two colours are less than one grey level of 255 apart.

    Raises:
        RunError: no three-channel photos, or a layer that has neither bias nor running mean.
    """
    conv, norm = block.conv, block.norm
    for spec in (given, wanted):
        if not len(spec.mean) == len(spec.std) == conv.in_channels == 3:
            raise RunError(
                f"the first layer takes {conv.in_channels} channels, an input specification has "
                f"{len(spec.mean)}; only layers for three are converted to another input: give "
                "the new network the input of its weights"
            )
    # one colour after the other, red first
    order = _places(given), _places(wanted)
    values = []
    for spec, places in ((given, order[0]), (wanted, order[1])):
        both = torch.tensor([spec.mean, spec.std], dtype=torch.float64, device=conv.weight.device)
        values.append(both[:, places])
    (old_mean, old_std), (new_mean, new_std) = values
    weight = conv.weight.double()[:, order[0]]
    shift = (weight.sum((2, 3)) * ((new_mean - old_mean) / old_std)).sum(1)
    converted = weight * (new_std / old_std).view(1, -1, 1, 1)
    if conv.bias is not None:
        conv.bias.copy_(conv.bias.double() + shift)
    elif isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None:
        norm.running_mean.copy_(norm.running_mean.double() - shift)
    else:
        raise RunError(
            "the first layer has neither a bias nor a batch norm, so it cannot be converted to "
            "another input: give the new network the input of its weights"
        )
    conv.weight.copy_(converted[:, order[1]])


@contextmanager
def taking_rgb(block: FirstBlock) -> Iterator[None]:
    """Let ``block`` take RGB while ImageNet weights are copied into it, then adapt these.

    Afterwards fewer than three channels share the kernels: the first one has their sum, so that a
    grey photo gives the response of its RGB copy, exactly where the three channels of that are
    prepared alike. More than three begin with those of RGB. The other channels start at zero.
    """
    conv = block.conv
    own = conv.weight
    num_out, num_in = own.shape[:2]
    conv.weight = nn.Parameter(own.new_empty(num_out, 3, *own.shape[2:]))
    conv.in_channels = 3
    try:
        yield
    finally:
        rgb = conv.weight.detach()
        conv.weight, conv.in_channels = own, num_in
    with torch.no_grad():
        own.zero_()
        if num_in < 3:
            own[:, 0] = rgb.double().sum(1)
        else:
            own[:, :3] = rgb


def repeated(spec: InputSpec) -> InputSpec:
    """The preparation of the RGB copy of a grey photo, for that of the photo."""
    return InputSpec("rgb", spec.mean * 3, spec.std * 3) if len(spec.mean) == 1 else spec


def _places(spec: InputSpec) -> list[int]:
    """Channel index of red, green and blue; for both orders also the inverse permutation."""
    return [0, 1, 2] if spec.channel_order == "rgb" else [2, 1, 0]
