"""VGG16's fc6 and fc7 with fewer channels and a smaller kernel (DeepLab, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

KERNEL = 7
"""Side of fc6's kernel in published weights."""


def reduce_classifier(
    state: Mapping[str, Tensor], *, channels: int, width: int, kernel: int
) -> Mapping[str, Tensor]:
    """Weights of smaller fc6 and fc7: every so manyth channel and element of those in ``state``.

    The paper decimates; which channels and elements it keeps it does not say. Here they are spread
    evenly: of 4096 channels for a width of 1024 numbers 0, 4, 8, ..., of 7 rows for a kernel of 3
    numbers 0, 3, 6.

    Args:
        state: tensors by torchvision's keys, ``classifier.0`` for fc6 and ``classifier.3`` for fc7.
        channels: of fc6's input.
        width: channels of fc6 and fc7.
        kernel: side of fc6's kernel.

    Returns:
        ``state`` with other tensors at these keys; ``state`` itself where they are missing, have
        other sizes than VGG16's fc6 and fc7, or are not larger.

    Example:
        >>> state = {"classifier.0.weight": torch.zeros(8, 2 * 49), "classifier.0.bias":
        ...     torch.arange(8), "classifier.3.weight": torch.zeros(8, 8), "classifier.3.bias":
        ...     torch.zeros(8)}
        >>> reduce_classifier(state, channels=2, width=2, kernel=3)["classifier.0.bias"].tolist()
        [0, 4]
    """
    first = state.get("classifier.0.weight")
    whole = first.shape[0] if first is not None and first.ndim else 0
    shapes = {
        "classifier.0.weight": (whole, channels * KERNEL**2),
        "classifier.0.bias": (whole,),
        "classifier.3.weight": (whole, whole),
        "classifier.3.bias": (whole,),
    }
    found = {key: tuple(state[key].shape) for key in shapes if key in state}
    if found != shapes or width > whole or kernel > KERNEL or (width, kernel) == (whole, KERNEL):
        return state
    kept = torch.arange(width) * whole // width
    rows = torch.linspace(0, KERNEL - 1, kernel).round().long() if kernel > 1 else [KERNEL // 2]
    fc6 = state["classifier.0.weight"][kept].view(width, channels, KERNEL, KERNEL)
    return {
        **state,
        "classifier.0.weight": fc6[:, :, rows][..., rows].flatten(1),
        "classifier.0.bias": state["classifier.0.bias"][kept],
        "classifier.3.weight": state["classifier.3.weight"][kept][:, kept],
        "classifier.3.bias": state["classifier.3.bias"][kept],
    }
