"""Recomputation of batch-norm statistics at the end of a training."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def estimate_statistics(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running averages of every batch norm, in place, by means over ``batches``.

    As DeconvNet's release does after its training: weights stay; norms normalise by the statistics
    of their batch, as in training, and the plain means of these statistics are kept. (The release
    averages the biased variance; torch's running variance is n / (n - 1) times that.) Everything
    else, dropout too, is as in inference, which is why this is not
    ``torch.optim.swa_utils.update_bn``: that one runs the whole model in training mode, where
    dropout changes the statistics of the norms after it, and it resets the statistics also when
    there is no batch. A model without batch norm, and no batches, change nothing.

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
                        norm.momentum = None  # a plain mean
                        norm.train()
                model(images)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(was_training)
