"""Batch norm: where it cannot work, and its statistics at the end of a training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from upscore.errors import SettingsError
from upscore.models.base import Network


def require_several_values(model: Network, *, batch: int, size: tuple[int, int] | None) -> None:
    """Refuse a training whose batch norms see one value each, which has no variance.

    One sample of ``size`` passes through the network, which stays as it is.

    Args:
        batch: samples of one forward pass.
        size: height and width of the samples; None: photos of any size, which are not checked
            here but in each step, by :func:`explain_single_values`.

    Raises:
        SettingsError: such a norm; says what to set.
    """
    if batch > 1 or size is None:
        return
    norms = trained_norms(model)
    if not norms:
        return
    names = {module: name for name, module in model.named_modules()}
    of_backbone = set(model.backbone.modules()) if model.has_backbone else set()

    def look(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0][0, 0].numel() == 1:
            keep = ", or keep the norms of a pretrained backbone with init.freeze_norms=true"
            raise SettingsError(
                f"batch.size is 1, and of a sample of {size[0]}x{size[1]} the batch norm "
                f"{names[norm]} sees one element, which has no variance; set batch.size to 2 or "
                "more, or augment.crop (or augment.resize) to a larger size"
                f"{keep if norm in of_backbone else ''}"
            )

    handles = [norm.register_forward_pre_hook(look) for norm in norms]
    was_training = model.training
    model.eval()
    try:
        for norm in norms:  # as in training, but its statistics stay
            norm.train()
            norm.track_running_stats = False
        with torch.no_grad():
            weight = next(model.parameters())
            model(weight.new_zeros(1, model.options["in_channels"], *size))
    finally:
        for norm, handle in zip(norms, handles, strict=True):
            norm.track_running_stats = True
            handle.remove()
        model.train(was_training)


@contextlib.contextmanager
def explain_single_values(images: Tensor) -> Iterator[None]:
    """Say what to set where torch refuses a batch of photos of any size for the same reason.

    Raises:
        SettingsError: instead of torch's ValueError.
    """
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        batch, _, height, width = images.shape
        raise SettingsError(
            f"a batch norm sees one element of a batch of {batch} of {height}x{width}, which has "
            "no variance; set batch.size to 2 or more and augment.crop to a size that all photos "
            "are cut or padded to, or leave out the smallest photos"
        ) from error


def trained_norms(model: nn.Module) -> list[_BatchNorm]:
    """The batch norms that use the statistics of the batch in training; frozen ones do not."""
    was_training = model.training
    model.train()
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
    model.train(was_training)
    return norms


def estimate_statistics(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running averages of every batch norm, in place, by means over ``batches``.

    As DeconvNet's release does after its training: weights stay; norms normalise by the statistics
    of their batch, as in training, and the plain means of these statistics are kept. (The release
    averages the biased variance; torch's running variance is n / (n - 1) times that.) Everything
    else, dropout too, is as in inference, which is why this is not
    ``torch.optim.swa_utils.update_bn``: that one runs the whole model in training mode, where
    dropout changes the statistics of the norms after it, and it resets the statistics also when
    there is no batch. A model without batch norm, and no batches, change nothing. Norms of frozen
    layers keep their statistics.

    Args:
        batches: prepared images (N, 3, H, W); N of 2 or more where a norm sees one value each.
    """
    norms = trained_norms(model)
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
