"""The trainings of a reproduction, one after another, each a run folder that can be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from upscore.core.failures import failure_message
from upscore.core.progress import Notice, OnProgress, Progress
from upscore.core.run_folder import RunFolder
from upscore.errors import InterruptedWorkError
from upscore.reproduce.folder import Folder
from upscore.training.recipe import Recipe
from upscore.training.setup import is_finished
from upscore.workflows.train import train


@dataclass(frozen=True)
class PlannedTraining:
    """A training: the name of its run folder, its title in tables, and all of its settings.

    Attributes:
        published: shipped recipe of the source's own training; None where the source has none.
        setting: name that the trainings of all seeds share.
        seed: None where one seed is trained.
    """

    name: str
    title: str
    recipe: Recipe
    published: str | None
    setting: str
    seed: int | None


def train_missing(
    plans: Sequence[PlannedTraining], folder: Folder, *, data: Path, on_progress: OnProgress
) -> dict[str, str]:
    """Train what is not finished; one that fails does not keep the others from being trained.

    Returns:
        Error messages by the name of the training; empty when all are finished.

    Raises:
        InterruptedWorkError: Ctrl-C or SIGTERM; everything is saved.
        OutputError, WorkError: the disk is full, or the like: the others would fail, too.
    """
    failures: dict[str, str] = {}
    for plan in plans:
        path = folder.run(plan.name)
        if is_finished(RunFolder(path)):
            continue
        named = _named(on_progress, plan)
        budget = plan.recipe.budget.model_dump(exclude_none=True)
        amount = ", ".join(f"{amount:,g} {unit}" for unit, amount in budget.items())
        named(Progress("training", 0, notices=(Notice(f"Training {plan.title} ({amount})"),)))
        try:
            result = train(plan.recipe, data=data, out=path, resume=True, on_progress=named)
        except InterruptedWorkError:
            raise
        except Exception as error:
            hint = "try a smaller batch.size or augment.crop (--set)"
            text = failure_message(str(path), error, doing="train it", memory_hint=hint)
            failures[plan.name] = text
            continue
        if result.interrupted:
            raise InterruptedWorkError(
                f"stopped in {plan.title} at iteration {result.iterations}; everything is saved. "
                "To continue, run the same command"
            )
    return failures


def _named(on_progress: OnProgress, plan: PlannedTraining) -> OnProgress:
    """Names the stages of a training after it, so that those of different trainings differ.

    Advice is left out: it is for `upscore train`, which has other options.
    """

    def show(event: Progress) -> None:
        notices = tuple(replace(notice, advice="") for notice in event.notices)
        on_progress(replace(event, stage=f"{plan.name}: {event.stage}", notices=notices))

    return show


def recipes_of(plans: Sequence[PlannedTraining]) -> dict[str, Any]:
    """Every setting of every training, as JSON values."""
    return {plan.name: plan.recipe.model_dump(mode="json", by_alias=True) for plan in plans}
