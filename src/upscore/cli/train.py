"""``upscore train``."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from upscore.cli.console import console
from upscore.cli.options import Assignments, Data, Recipe, joined
from upscore.cli.progress import ProgressDisplay
from upscore.core.plural import plural
from upscore.errors import InterruptedWorkError

DEFAULT_RECIPE = "quick"


def train(
    recipe: Positional[Recipe] = DEFAULT_RECIPE,
    /,
    *,
    data: Data,
    out: Path,
    set: Assignments = (),
    resume: bool = False,
    changed_data: bool = False,
) -> None:
    """Train a network on a folder of labelled photos.

    Args:
        out: Run folder to write: weights, settings, log, state.
        set: Change settings of the recipe, as in --set budget.minutes=12 optim.lr=0.001.
        resume: Go on with the run in --out where it stopped (or begin it).
        changed_data: With --resume: go on though classes, mask values or files have changed.
    """
    from upscore.workflows import train as workflow

    if recipe == DEFAULT_RECIPE:
        console.print(f"Recipe {recipe} (`upscore recipes` lists the others).")
    with ProgressDisplay() as on_progress:
        result = workflow.train(
            recipe,
            data=data,
            out=out,
            assignments=joined(set),
            resume=resume,
            changed_data=changed_data,
            on_progress=on_progress,
        )
    if on_progress.silent:  # a further process of the same training
        return
    if result.interrupted:
        raise InterruptedWorkError(
            f"stopped at iteration {result.iterations}; everything is saved. Go on with the same "
            "command and --resume"
        )
    best = "none" if result.best is None else f"{result.best:.4f}"
    console.print(
        f"Trained {plural(result.iterations, 'iteration')} in {result.seconds / 60:.1f} minutes. "
        f"Best validation mIoU {best} at iteration {result.best_iteration}.\n"
        f"Run folder: {out}\n"
        f"Next: upscore evaluate {out} --data {data}"
    )
