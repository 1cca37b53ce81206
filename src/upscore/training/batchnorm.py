"""Batch norm's statistics, measured once the weights are final."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def estimate_statistics(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running averages of every batch norm, in place, by means over ``batches``.

    As DeconvNet's release does after its training: the weights stay, each norm goes by its batch's
    own mean and variance meanwhile, so that layers see what they saw while they learned, and the
    plain means of those are kept. (The release averages the variance of n values as its mean
    square; torch's running one has n / (n - 1) times that.) All else, dropout too, is as in
    inference. A model without batch norm, and no batch at all, change nothing.

    Args:
        batches: prepared images (N, 3, H, W); N of 2 or more where a norm sees one value each.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    was_training = model.training
    momenta = [norm.momentum for norm in norms]
    model.eval()
    try:
        with torch.no_grad():
            for number, images in enumerate(batches):
                if number == 0:
                    for norm in norms:
                        norm.reset_running_stats()
                        norm.momentum = None  # torch's word for a plain mean
                        norm.train()
                model(images)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(was_training)
