"""Scores that are no numbers: argmax would make labels of them without a word."""

from __future__ import annotations

import torch
from torch import Tensor

from upscore.errors import RunError


def require_finite(scores: Tensor) -> None:
    """Check the scores of a network, any shape, in one pass.

    Raises:
        RunError: some are NaN or infinite, or so large that their sum is.
    """
    if bool(scores.sum(dtype=torch.float32).isfinite()):
        return
    half = scores.dtype in (torch.float16, torch.bfloat16)
    repair = "try --precision fp32, or other weights" if half else "use other weights"
    raise RunError(
        "the network's scores are not finite (NaN or infinity): its weights are damaged or too "
        f"large; {repair}"
    )
