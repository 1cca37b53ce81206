"""Pixel cross-entropy with void ignored, divided by the valid pixels of the whole step."""

from __future__ import annotations

from typing import Literal

import torch
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


def cross_entropy_sum(scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum of the cross-entropy over valid pixels; 0 (with a gradient of 0) where all are void.

    Args:
        scores: (N, C, H, W), any float type; computed in float32.
        labels: (N, H, W) int64, class indices or 255 for void.
        weights: (C,) float32 factor of each class, or None.
    """
    return F.cross_entropy(
        scores.float(), labels, weight=weights, ignore_index=VOID, reduction="sum"
    )


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
