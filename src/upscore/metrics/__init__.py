"""Scores of any function from photo to label map: one confusion matrix over a whole split."""

# ruff: noqa: E402 - the check comes before what it is about

from upscore.core.extras import require_extras

require_extras("upscore.metrics", "evaluate")

from upscore.core.failures import Failure
from upscore.metrics.confusion import ClassScores, Confusion, Scores
from upscore.metrics.evaluate import Evaluation, ImageScore, evaluate, evaluate_stages, merge

__all__ = [
    "ClassScores",
    "Confusion",
    "Evaluation",
    "Failure",
    "ImageScore",
    "Scores",
    "evaluate",
    "evaluate_stages",
    "merge",
]
