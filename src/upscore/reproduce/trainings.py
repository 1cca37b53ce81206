"""The trainings of a reproduction, one after another, each a run folder that can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upscore.core.run_folder import RunFolder
from upscore.errors import InterruptedWorkError, SettingsError, UpscoreError
from upscore.reproduce.folder import Folder
from upscore.training.recipe import Recipe, load_recipe
from upscore.training.setup import MakeValidate, is_finished, train
from upscore.training.trainer import Status


@dataclass(frozen=True)
class Planned:
    """A training: the name of its run folder, what tables call it, and all of its settings.

    Attributes:
        published: shipped recipe of the source's own training; None where the source has none.
        setting: what it shares with the trainings of other seeds; by default its name.
        seed: where several seeds are trained.
    """

    name: str
    title: str
    recipe: Recipe
    published: str | None = None
    setting: str = ""
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self.setting:
            object.__setattr__(self, "setting", self.name)


def planned(
    name: str,
    title: str,
    recipe: str,
    assignments: Sequence[str],
    *,
    budget: str | None,
    split: str,
    published: str | None = None,
) -> Planned:
    """A training by a shipped recipe with settings of it changed.

    Args:
        budget: in place of the recipe's own, as in ``minutes=0.8``, or None.
        split: what it validates on.
        published: see :class:`Planned`.

    Raises:
        SettingsError: settings that cannot be.
    """
    if any(text.startswith("processes=") for text in assignments):
        raise SettingsError(
            "--set processes: a reproduction trains in one process; for several, train the run "
            "folders below --out by `upscore train` and run this again"
        )
    own = any(text.startswith("budget.") for text in assignments)
    given = [] if budget is None or own else [f"budget.{budget}"]
    return Planned(
        name,
        title,
        load_recipe(recipe, [*given, f"data.val_split={split}", *assignments]),
        published,
    )


def train_missing(
    plans: Sequence[Planned],
    folder: Folder,
    *,
    data: Path,
    make_validate: MakeValidate,
    begin: Callable[[Planned], Callable[[Status], None]],
) -> dict[str, str]:
    """Train what is not finished; one that fails does not keep the others from their turn.

    Args:
        begin: called before each training; what it returns is called as that goes on.

    Returns:
        What went wrong, by the name of the training; empty when all are finished.

    Raises:
        InterruptedWorkError: Ctrl-C or SIGTERM; everything is saved.
    """
    failures: dict[str, str] = {}
    for plan in plans:
        path = folder.run(plan.name)
        if is_finished(RunFolder(path)):
            continue
        try:
            outcome = train(
                plan.recipe,
                data=data,
                out=path,
                resume=True,
                make_validate=make_validate,
                show=begin(plan),
            )
        except UpscoreError as error:
            failures[plan.name] = str(error)
            continue
        if outcome.interrupted:
            raise InterruptedWorkError(
                f"stopped in {plan.title} at iteration {outcome.iteration}; everything is saved. "
                "Go on with the same command"
            )
    return failures


def recipes_of(plans: Sequence[Planned]) -> dict[str, Any]:
    """Every setting of every training, as JSON values."""
    return {plan.name: plan.recipe.model_dump(mode="json", by_alias=True) for plan in plans}
