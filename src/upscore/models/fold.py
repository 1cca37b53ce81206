"""Batch norm merged into convolutions for inference."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from torch import nn

from upscore.models.layers import FoldableBlock

M = TypeVar("M", bound=nn.Module)


def fold_batch_norm(model: M) -> M:
    """A copy in eval mode with its blocks folded: the same scores up to rounding, in less time.

    Batch norms are merged into the convolutions before them, and deconvolutions that keep the size
    become the equal convolutions, for which there are faster kernels (see
    :meth:`FoldableBlock.fold`). Values that need no change share ``model``'s memory; ``model``
    stays as it is, also when the copy is then moved or cast. The copy cannot be saved.
    """
    shared: dict[int, Any] = {id(b): b.detach() for b in model.buffers()}
    for p in model.parameters():
        shared[id(p)] = nn.Parameter(p.detach(), requires_grad=p.requires_grad)
    folded = copy.deepcopy(model, shared).eval()
    for module in folded.modules():
        if isinstance(module, FoldableBlock):
            module.fold()
    return folded
