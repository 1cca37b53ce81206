"""``upscore train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from upscore.errors import InterruptedWorkError


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
    from upscore.cli.console import console
    from upscore.cli.progress import ProgressDisplay
    from upscore.workflows.train import train as run_training

    with ProgressDisplay() as on_progress:
        result = run_training(
            recipe,
            data=data,
            out=out,
            assignments=[assignment for group in set for assignment in group],
            resume=resume,
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
        f"Trained {result.iterations} iterations in {result.seconds / 60:.1f} minutes. "
        f"Best validation mIoU {best} at iteration {result.best_iteration}."
    )
    console.print(f"Run folder: {out}")
    console.print(f"Next: upscore evaluate {out} --data {data}", markup=False)
