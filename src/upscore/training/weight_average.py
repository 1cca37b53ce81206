"""Exponential moving average of the weights, which is validated and saved in their place."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of parameters and batch-norm statistics.

    The decay rises as (1 + t) / (10 + t) to its final value, so that the random initial weights
    lose their influence quickly.

    ``torch.optim.swa_utils.AveragedModel`` is not used: it copies the weights in its first update
    in place of averaging, and keeps its count of updates in a tensor that it moves to the device,
    so that a decay that depends on the count would wait for the GPU in every step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, iteration: int) -> None:
        """Move towards ``model``; ``iteration`` counts from 1."""
        decay = min(self.decay, (1 + iteration) / (10 + iteration))
        ours, theirs = [], []
        for mine, other in zip(_tensors(self.model), _tensors(model), strict=True):
            if mine.dtype.is_floating_point:
                ours.append(mine)
                theirs.append(other)
            else:
                mine.copy_(other)
        torch._foreach_lerp_(ours, theirs, 1.0 - decay)


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
