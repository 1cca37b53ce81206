"""Losses of score maps with void ignored: cross-entropy, focal, and losses of whole regions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from upscore.core.labels import VOID
from upscore.training.settings import LossSettings


def class_weights(settings: LossSettings, pixels: Tensor, present: Tensor) -> Tensor | None:
    """(C,) float32 factors of the classes, as :func:`median_frequency_weights`, or None."""
    if settings.class_weights == "none":
        return None
    weights = median_frequency_weights(pixels, present)
    if settings.class_weights == "sqrt_median_frequency":
        weights = weights.sqrt()
    return weights.clamp(max=settings.max_weight) if settings.max_weight is not None else weights


def cross_entropy_sum(
    scores: Tensor, labels: Tensor, weights: Tensor | None = None, *, focal: float = 0.0
) -> Tensor:
    """Sum of the cross-entropy over valid pixels; 0 (with a gradient of 0) where all are void.

    Args:
        scores: (N, C, H, W), any float type; computed in float32.
        labels: (N, H, W) int64, class indices or 255 for void.
        weights: (C,) float32 factor of each class, or None.
        focal: exponent gamma of the focal loss; 0: cross-entropy.
    """
    if not focal:
        return F.cross_entropy(
            scores.float(), labels, weight=weights, ignore_index=VOID, reduction="sum"
        )
    losses = F.cross_entropy(scores.float(), labels, ignore_index=VOID, reduction="none")
    losses = (-torch.expm1(-losses)).clamp(min=1e-12) ** focal * losses
    if weights is not None:
        losses = losses * F.pad(weights, (0, 1))[labels.clamp(max=len(weights))]
    return losses.sum()


def region_loss(
    scores: Tensor, labels: Tensor, weights: Tensor | None = None, *, settings: LossSettings
) -> Tensor:
    """Mean over the classes of the batch of a loss of their regions, in [0, 1].

    With p the probability of a class at a pixel and y whether it is labelled so, over all valid
    pixels of the batch:

    - Tversky: 1 - sum(p y) / (sum(p y) + a sum(p (1 - y)) + b sum((1 - p) y)); Dice: a = b = 1/2;
    - Lovasz: the Lovasz extension of 1 - IoU at the errors |y - p| (Berman et al. 2018, equation 9
      and algorithm 1).

    Args:
        scores, labels, weights: as for :func:`cross_entropy_sum`; the mean is weighted.

    Returns:
        A scalar; 0 (with a gradient of 0) where all is void. Classes without a pixel are left out.
    """
    num_classes = scores.shape[1]
    step = settings.region_step
    scores, labels = scores[..., ::step, ::step], labels[..., ::step, ::step]
    valid = labels != VOID
    present = torch.bincount(labels[valid], minlength=num_classes) > 0
    if not bool(present.any()):
        return scores.float().sum() * 0
    probabilities = scores.float().softmax(1).movedim(1, 0)[:, valid][present]
    truth = F.one_hot(labels[valid], num_classes).T[present].float()
    if settings.region == "lovasz":
        errors, order = (truth - probabilities).abs().sort(dim=1, descending=True)
        losses = (errors * _lovasz_gradient(truth.gather(1, order))).sum(1)
    else:
        a, b = (0.5, 0.5) if settings.region == "dice" else settings.tversky
        hits = (probabilities * truth).sum(1)
        wrong = (probabilities * (1 - truth)).sum(1)
        losses = 1 - hits / (hits + a * wrong + b * (truth.sum(1) - hits)).clamp(min=1e-6)
    shares = torch.ones_like(losses) if weights is None else weights[present]
    return (losses * shares).sum() / shares.sum().clamp(min=1e-12)


def _lovasz_gradient(truth: Tensor) -> Tensor:
    """(K, P) labels in order of falling errors -> gradient of the extension of 1 - IoU."""
    total = truth.sum(1, keepdim=True)
    intersection = total - truth.cumsum(1)
    union = total + (1 - truth).cumsum(1)
    loss = 1 - intersection / union
    return torch.diff(loss, dim=1, prepend=loss.new_zeros(len(loss), 1))


def median_frequency_weights(pixels: Tensor, present_pixels: Tensor) -> Tensor:
    """Median frequency balancing (Eigen and Fergus 2015, sec. 6.3.2; SegNet's CamVid weights).

    Args:
        pixels: (C,) pixels of each class over the split.
        present_pixels: (C,) valid pixels of the images in which the class occurs.

    Returns:
        (C,) float32, median(frequency) / frequency; 0 for a class that never occurs.
    """
    frequency = pixels.double() / present_pixels.double().clamp(min=1)
    occurs = pixels > 0
    median = frequency[occurs].quantile(0.5) if bool(occurs.any()) else frequency.new_tensor(1.0)
    return torch.where(occurs, median / frequency.clamp(min=1e-12), 0.0).float()
