"""``upscore train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, UseAppendAction, arg

from upscore.errors import DataError, InterruptedWorkError

if TYPE_CHECKING:
    from torch import nn

    from upscore.core.images import InputSpec
    from upscore.core.runtime import Runtime
    from upscore.data import Split
    from upscore.training.trainer import Validate, Validation


def train(
    recipe: Annotated[Positional[str], arg(metavar="RECIPE")],
    /,
    *,
    data: Path,
    out: Path,
    set: Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="KEY=VALUE")] = (),
    resume: bool = False,
) -> None:
    """Train a network on a folder of labelled photos.

    Args:
        recipe: Name of a shipped recipe (`upscore recipes` lists them) or a YAML file.
        data: The data set: a folder of a known layout, or a dataset.yaml.
        out: Run folder to write: weights, settings, log, state.
        set: Change settings of the recipe, as in --set budget.minutes=12 optim.lr=0.001.
        resume: Go on with the run in --out where it stopped (or begin it).
    """
    from upscore.cli.console import console, show_messages
    from upscore.cli.training_display import TrainingDisplay
    from upscore.core.memory import keep_freed_memory
    from upscore.training.recipe import load_recipe
    from upscore.training.setup import train as run_training

    keep_freed_memory()
    show_messages("upscore.training")  # how many samples there are, and whether scores are fair
    settings = load_recipe(recipe, [assignment for group in set for assignment in group])
    with TrainingDisplay() as display:
        if not display.silent:
            show_messages("upscore.models.pretrained")  # that a first layer is converted
        outcome = run_training(
            settings,
            data=data,
            out=out,
            resume=resume,
            make_validate=make_validate,
            show=display.update,
        )
    if display.silent:  # a further process of the same training
        return
    if outcome.interrupted:
        raise InterruptedWorkError(
            f"stopped at iteration {outcome.iteration}; everything is saved. Go on with the same "
            "command and --resume"
        )
    best = "none" if outcome.best is None else f"{outcome.best:.4f}"
    console.print(
        f"Trained {outcome.iteration} iterations in {outcome.seconds / 60:.1f} minutes. "
        f"Best validation mIoU {best} at iteration {outcome.best_iteration}."
    )
    console.print(f"Run folder: {out}")
    console.print(f"Next: upscore evaluate {out} --data {data}", markup=False)


def make_validate(split: Split, input_spec: InputSpec, runtime: Runtime) -> Validate:
    """The validation that training calls: the evaluation room around the inference room."""
    import time

    from upscore.inference.whole_image import WholeImage
    from upscore.metrics.evaluate import evaluate
    from upscore.training.trainer import Validation

    def validate(model: nn.Module, limit: int | None) -> Validation:
        part = split if limit is None else split.spread(limit)
        start = time.monotonic()
        segmenter = WholeImage(model, split.labels, input_spec, runtime)
        result = evaluate(segmenter.predict, part)
        if result.failures:
            raise DataError(f"validation failed: {result.failures[0].message}")
        scores = result.confusion.scores()
        seconds = time.monotonic() - start
        return Validation(scores.miou, scores.pixel_accuracy, seconds, len(part))

    return validate
