"""``upscore edges train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import UseAppendAction, arg

from upscore.errors import InterruptedWorkError


def train(
    *,
    data: Path,
    out: Path,
    recipe: Path | None = None,
    set: Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="KEY=VALUE")] = (),
    resume: bool = False,
) -> None:
    """Train the edge network on BSDS500, from random weights.

    Args:
        data: BSDS500: train/ and val/ with photos and boundaries.
        out: Run folder to write; its model.safetensors is what --model takes elsewhere.
        recipe: YAML file of settings; without it those of the shipped weights.
        set: Change settings, as in --set splits=[train] iterations=3000.
        resume: Go on with the run in --out where it stopped (or begin it).
    """
    from upscore.cli.console import console
    from upscore.cli.training_display import TrainingDisplay
    from upscore.core.memory import keep_freed_memory
    from upscore.workflows.edge_training import load_edge_recipe, train_edges

    keep_freed_memory()
    settings = load_edge_recipe(recipe, tuple(word for group in set for word in group))
    with TrainingDisplay() as display:
        outcome = train_edges(settings, data=data, out=out, resume=resume, show=display.update)
    if outcome.interrupted:
        raise InterruptedWorkError(
            f"stopped at iteration {outcome.iteration}; everything is saved. Go on with the same "
            "command and --resume"
        )
    console.print(
        f"Trained {outcome.iteration} iterations in {outcome.seconds / 60:.1f} minutes.\n"
        f"Weights: {out / 'model.safetensors'}"
    )
    console.print(
        f"Next: upscore edges evaluate --data {data} --model {out / 'model.safetensors'}",
        markup=False,
    )
