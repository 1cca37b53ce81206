"""Losses of score maps with void ignored: cross-entropy, focal, and losses of whole regions."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from pydantic import model_validator
from torch import Tensor
from torch.nn import functional as F

from upscore.core.labels import VOID
from upscore.core.settings import Settings


class LossSettings(Settings):
    reduction: Literal["mean", "sum"] = "mean"
    """mean: over the valid pixels of the whole step; sum: over them, as in the papers (heavy
    learning)."""
    class_weights: Literal["none", "median_frequency", "sqrt_median_frequency"] = "none"
    """Weights by class, from the training split's frequencies."""
    max_weight: Annotated[float, Gt(0)] | None = None
    """Larger weights of classes become this one: with very rare classes among many, a few pixels
    would rule the gradient. Null: as they are."""
    focal: Annotated[float, Ge(0), Le(10)] = 0.0
    """Cross-entropy of a pixel times (1 - p)**focal, p the probability of its class (Lin et al.
    2017): pixels that are right already count less. 0: plain cross-entropy."""
    region: Literal["none", "dice", "tversky", "lovasz"] = "none"
    """A loss of whole regions, each class alike, added to the cross-entropy: dice (1 - F1 of soft
    regions), tversky (as dice, with the weights of ``tversky``), lovasz (a surrogate of 1 - IoU,
    Berman et al. 2018)."""
    region_weight: Annotated[float, Gt(0), Le(100)] = 1.0
    """Factor of the loss of regions, where the cross-entropy has 1."""
    region_step: Annotated[int, Ge(1)] = 1
    """The loss of regions uses one row and column of so many: at 2 it takes a quarter of the time
    (lovasz sorts all pixels for each class)."""
    tversky: tuple[Annotated[float, Ge(0)], Annotated[float, Ge(0)]] = (0.3, 0.7)
    """Of tversky: weights of false positives and of false negatives (Salehi et al. 2017)."""

    @model_validator(mode="after")
    def _check(self) -> LossSettings:
        if self.max_weight is not None and self.class_weights == "none":
            raise ValueError(
                f"max_weight is {self.max_weight:g}, but class_weights is none; set class_weights "
                "to median_frequency or sqrt_median_frequency, or leave max_weight out"
            )
        if self.region == "tversky" and not any(self.tversky):
            raise ValueError(
                "tversky is (0, 0), with which no mistake counts; want a number above 0 for false "
                "positives or for false negatives, as in [0.3, 0.7]"
            )
        return self

    def weights(self, pixels: Tensor, present_pixels: Tensor) -> Tensor | None:
        """(C,) float32 factors of the classes, as :func:`median_frequency_weights`, or None."""
        if self.class_weights == "none":
            return None
        weights = median_frequency_weights(pixels, present_pixels)
        if self.class_weights == "sqrt_median_frequency":
            weights = weights.sqrt()
        return weights.clamp(max=self.max_weight) if self.max_weight is not None else weights


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
