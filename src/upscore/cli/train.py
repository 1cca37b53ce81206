"""``upscore train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from upscore.cli.console import console, keep_result
from upscore.cli.options import Assignments, Data, OptionalInt, OptionalPath, Recipe, joined
from upscore.cli.progress import ProgressDisplay
from upscore.core.option_values import require_at_least, require_positive
from upscore.errors import InterruptedWorkError, SettingsError

DEFAULT_RECIPE = "quick"

Amount = Annotated[float | None, arg(metavar="NUMBER")]


def train(
    recipe: Positional[Recipe] = DEFAULT_RECIPE,
    /,
    *,
    data: Data,
    out: OptionalPath = None,
    minutes: Amount = None,
    iterations: OptionalInt = None,
    epochs: Amount = None,
    samples: OptionalInt = None,
    device: Literal["recipe", "auto", "cpu", "cuda"] = "recipe",
    seed: OptionalInt = None,
    set: Assignments = (),
    resume: bool = False,
    changed_data: bool = False,
) -> None:
    """Train a network on a folder of labelled photos.

    Args:
        out: Run folder for weights, settings, log and state. By default runs/RECIPE, then
            runs/RECIPE-2 and so on; with --resume, the last run.
        minutes: Train for this many minutes instead of the recipe's budget.
        iterations: Train for this many optimiser steps.
        epochs: Train for this many passes over the training split.
        samples: Train on this many photos or crops.
        device: Device for the training; auto uses a GPU if there is one, recipe uses the recipe's
            setting.
        seed: Random seed for crops and initial weights.
        set: Change settings of the recipe, for example --set optim.lr=0.001 batch.size=8.
        resume: Resume the run in --out where it stopped (or start it).
        changed_data: With --resume: continue even if classes, mask values or files have changed.
    """
    require_at_least(1, iterations=iterations, samples=samples)
    require_positive(minutes=minutes, epochs=epochs)
    require_at_least(0, seed=seed)
    budget = {"minutes": minutes, "iterations": iterations, "epochs": epochs, "samples": samples}
    typed = [f"--{name}" for name, value in budget.items() if value is not None]
    typed += [one for one in joined(set) if one.startswith("budget")] if typed else []
    if len(typed) > 1:
        raise SettingsError(f"{' and '.join(typed)}: the length of the training; give one")
    given = [f"budget.{name}={value}" for name, value in budget.items() if value is not None]
    given += [] if device == "recipe" else [f"device={device}"]
    given += [] if seed is None else [f"seed={seed}"]
    assignments = (*joined(set), *given)

    from upscore.core.run_folder import RunFolder
    from upscore.core.runs_folder import last_run, new_run
    from upscore.data.detect import require_data
    from upscore.training.recipe import load_recipe

    load_recipe(recipe, assignments)  # its mistakes are found before torch is imported
    require_data(data)
    if out is None:
        out = (resume and last_run()) or new_run(Path(recipe).stem)
    elif not resume:
        RunFolder(out).is_begun(resume=False)

    from upscore.workflows import train as workflow

    if recipe == DEFAULT_RECIPE:
        console.print(f"Recipe {recipe} (`upscore recipes` lists the others).")
    try:
        with ProgressDisplay() as on_progress:
            result = workflow.train(
                recipe,
                data=data,
                out=out,
                assignments=assignments,
                resume=resume,
                changed_data=changed_data,
                on_progress=on_progress,
            )
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(_interrupted(out, resume=resume)) from error
    if on_progress.silent:  # a further process of the same training
        return
    keep_result(result)
    if result.interrupted:
        raise InterruptedWorkError(
            f"stopped after {result.done}; everything is saved. To continue, run the same command "
            "with --resume"
        )
    best = "none" if result.best is None else f"{result.best:.4f}"
    stage = f" of {result.stages[-1][0]}" if result.stages else ""
    console.print(
        f"Trained {result.done} in {result.seconds / 60:.1f} minutes. "
        f"Best validation mIoU {best} at iteration {result.best_iteration}{stage}.\n"
        f"Run folder: {out}\n"
        f"Next: upscore evaluate {out} --data {data}"
    )


def _interrupted(out: Path, *, resume: bool) -> str:
    """The message of a training that was stopped outside its loop, which saves everything."""
    from upscore.core.run_folder import RunFolder

    run = RunFolder(out)
    if run.is_free():
        return "interrupted before the first step; to start it again, run the same command"
    same = "the same command" if resume else "the same command with --resume"
    return f"interrupted; to continue from what is saved in {out}, run {same}"
