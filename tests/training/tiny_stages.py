"""Settings of a training in two stages that takes a second."""

from __future__ import annotations

TINY = (
    "model.options={width: 0.03125, fc_width: 8, fc_kernel: 1}",
    "augment.resize=[36, 36]",
    "augment.crop=[32, 32]",
    "batch.size=2",
    "budget.iterations=10",
    "log_every=1",
    "save_every=2",
    "validate.every=3",
    "validate.images=2",
    "statistics={batches: 1, size: 2}",
    "precision=fp32",
)
