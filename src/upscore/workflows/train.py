"""Train a network on a data set into a run folder, with validations by the usual evaluation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from upscore.core.images import InputSpec
from upscore.core.plural import plural
from upscore.core.progress import OnProgress, ignore_progress
from upscore.core.runtime import Runtime
from upscore.data import Split
from upscore.errors import DataError, RunError, SettingsError, WorkError
from upscore.inference.segmenter import Segmenter
from upscore.inference.whole_image import WholeImage
from upscore.metrics.evaluate import evaluate
from upscore.training import setup
from upscore.training.progress import report_status
from upscore.training.recipe import Recipe, load_recipe
from upscore.training.trainer import Validate, Validation


@dataclass(frozen=True, repr=False)
class TrainResult:
    """How a training ended.

    Attributes:
        iterations: optimiser steps so far, including those before it was resumed; for a recipe
            with stages, those of all.
        seconds: wall time so far, including validations and the warm-up of the head; for a recipe
            with stages, of all stages.
        best, best_iteration: highest validation mIoU in [0, 1], and its iteration; for a recipe
            with stages, of the last one that has begun.
        last: mIoU of the last validation. Scores are None if no pixel counts.
        interrupted: whether Ctrl-C or SIGTERM ended it; ``resume=True`` continues it.
        run: the run folder.
        stages: for a recipe with stages, name and iterations of each that has begun.
    """

    iterations: int
    seconds: float
    best: float | None
    best_iteration: int
    last: float | None
    interrupted: bool
    run: Path
    stages: tuple[tuple[str, int], ...] = ()

    @property
    def done(self) -> str:
        """``20 iterations``, of a recipe with stages ``20 iterations (easy 6, hard 14)``."""
        parts = ", ".join(f"{name} {number:,}" for name, number in self.stages)
        return plural(self.iterations, "iteration") + (f" ({parts})" if parts else "")

    def __repr__(self) -> str:
        best = "none" if self.best is None else f"{self.best:.4f} at {self.best_iteration:,}"
        ended = ", interrupted" if self.interrupted else ""
        return f"<TrainResult: {self.done} in {self.seconds:.0f} s, best mIoU {best}{ended}>"

    def to_dict(self) -> dict[str, Any]:
        """Every field as JSON values."""
        return {**vars(self), "run": str(self.run)}


def train(
    recipe: str | Path | Recipe,
    *,
    data: str | Path,
    out: str | Path,
    assignments: Sequence[str] = (),
    resume: bool = False,
    changed_data: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> TrainResult:
    """Train a network on labelled photos into the run folder ``out``.

    Ctrl-C or SIGTERM ends the training after the current step and saves everything, if this is
    called in the main thread.

    Args:
        recipe: name of a shipped recipe, a YAML file, or a :class:`Recipe`.
        data: the data set: a folder of a known layout, or a dataset.yaml.
        assignments: ``KEY=VALUE`` changes of a named recipe, for example ``budget.minutes=12``.
        resume: resume the training in ``out``, or start it if there is none.
        changed_data: continue even if classes, mask values or files of the data set have changed.
        on_progress: called with a :class:`~upscore.training.progress.TrainingProgress` after each
            step, and with the progress of the head's warm-up before the first one.

    Raises:
        SettingsError: an unknown setting, split, device or network option, or ``out`` is taken or
            in use by another training.
        RunError: ``out`` holds another run, one with other data, a finished or a damaged one.
        DataError, NotFoundError: photos, masks, weights or boxes cannot be read.
        WorkError: the loss is not finite.
        OutputError: ``out`` cannot be written.

    Example:
        >>> result = upscore.train(
        ...     "fcn8s-quick", data=toy, out=folder,
        ...     assignments=["budget.iterations=2", "augment.crop=[32,32]"],
        ... )
        >>> result.iterations
        2
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(str(recipe), assignments)
    elif assignments:
        raise SettingsError(
            "assignments only change a recipe given by name or file; change the Recipe object"
        )
    outcome = setup.train(
        recipe,
        data=Path(data),
        out=Path(out),
        resume=resume,
        make_validate=make_validate,
        show=report_status(on_progress),
        on_progress=on_progress,
        changed_data=changed_data,
    )
    return TrainResult(
        sum(number for _, number in outcome.stages) or outcome.iteration,
        outcome.seconds,
        outcome.best,
        outcome.best_iteration,
        outcome.last,
        outcome.interrupted,
        Path(out),
        outcome.stages,
    )


def require_finite_scores(segmenter: Segmenter) -> None:
    """Refuse a network that cannot score a photo of noise: then no photo of its data is at fault.

    Raises:
        WorkError: its scores are not finite.
    """
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    try:
        segmenter.predict(noise)
    except RunError as error:
        raise WorkError(
            "the training diverges: the network's scores are not finite any more (NaN or "
            "infinity); try a lower rate, --set optim.lr=NUMBER, or --set precision=fp32"
        ) from error


def make_validate(split: Split, input_spec: InputSpec, runtime: Runtime) -> Validate:
    """The validation of a training: the network on whole photos of ``split``, scored.

    This is the only place where training meets evaluation.

    Returns:
        A function of the network and a number of photos (None for all) that gives their scores. It
        raises DataError where a photo cannot be read, and WorkError where the training diverged.
    """

    def validate(model: nn.Module, limit: int | None) -> Validation:
        part = split if limit is None else split.spread(limit)
        start = time.monotonic()
        segmenter = WholeImage(model, split.labels, input_spec, runtime)
        result = evaluate(segmenter.predict, part)
        if result.failures:
            require_finite_scores(segmenter)
            raise DataError(f"validation failed: {result.failures[0].message}")
        scores = result.confusion.scores()
        seconds = time.monotonic() - start
        return Validation(scores.miou, scores.pixel_accuracy, seconds, len(part))

    return validate
