"""Numbers of crops and drawn samples of DeconvNet's stages, beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from upscore.core.run_folder import RunFolder
from upscore.errors import UpscoreError
from upscore.report.document import Cell, Table
from upscore.reproduce.context import Context
from upscore.reproduce.deconvnet_stages import DECONVNET, NO_NORM, ONE_STAGE
from upscore.reproduce.published import PAPER_STAGES
from upscore.reproduce.trainings import PlannedTraining


def samples_table(context: Context, plans: Sequence[PlannedTraining]) -> Table:
    """One row a stage; dashes for runs of an upscore that did not record this yet."""
    published: list[tuple[Cell, ...]] = [
        ("the paper", stage.crops_of, None, stage.crops, None, stage.iterations * stage.batch)
        for stage in PAPER_STAGES
    ]
    ours: list[tuple[Cell, ...]] = []
    for plan in plans:
        if plan.name not in (DECONVNET, NO_NORM, ONE_STAGE):
            continue
        run = context.folder.run(plan.name)
        stages = plan.recipe.stage_recipes() or [plan.recipe]
        folders = [run / "stages" / stage.name for stage in plan.recipe.stages[:-1]]
        for stage, folder in zip(stages, [*folders, run], strict=True):
            ours.append((plan.title, stage.crops.kind, *_samples(folder)))
    return Table(
        "samples",
        "Photos and crops of each stage, crops with the repeats of rare classes (an epoch), and "
        "the samples that the training drew of them. The paper gives round numbers of crops; its "
        "samples are its iterations (20,000 and 40,000) times its batch of 64.",
        ("training", "crops of", "photos", "crops", "with repeats", "samples drawn"),
        (*published, *ours),
        published=frozenset(range(len(published))),
    )


def _samples(run: Path) -> tuple[int | None, ...]:
    """Photos, crops, crops with repeats and samples drawn, by a run folder's manifest."""
    try:
        samples = RunFolder(run).read_manifest().get("samples", {})
    except UpscoreError:
        samples = {}
    return tuple(samples.get(key) for key in ("photos", "crops", "epoch", "drawn"))
