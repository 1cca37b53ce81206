"""The trainings of the history, which share one budget, and the pipeline of its systems."""

from __future__ import annotations

from typing import Any

import yaml

from upscore.core.files import write_text
from upscore.errors import SettingsError
from upscore.reproduce.context import Context
from upscore.reproduce.history_methods import history
from upscore.reproduce.pipeline_stages import with_inputs
from upscore.reproduce.trainings import PlannedTraining

PIPELINE = "pipeline.yaml"


def trainings(context: Context) -> list[PlannedTraining]:
    """Plan the trainings that the chosen systems need.

    Raises:
        SettingsError: the budget ``papers``, one that is too small, an unknown system, or settings
            that do not fit.
    """
    if context.budget.papers:
        raise SettingsError(
            "--budget is papers, but a history trains small networks under one budget; give "
            "minutes=N or iterations=N, as in minutes=30"
        )
    table = history()
    chosen = {name: table.trainings[name] for name in table.needed(table.choose(context.methods))}
    shares = context.budget.share({name: one.share for name, one in chosen.items()})
    height, width = context.crop()
    crop = (f"augment.crop=[{height}, {width}]",)
    return [
        context.plan_training(
            name,
            one.title,
            one.recipe,
            [*one.set, *(crop if one.whole else ())],
            budget=shares[name],
            published=None,
        )
        for name, one in chosen.items()
    ]


def write_stages(context: Context) -> dict[str, dict[str, Any]]:
    """``pipeline.yaml`` of every chosen system whose trainings have finished; its stages."""
    table = history()
    done = {plan.name for plan in context.done}
    wanted: set[str] = set()
    for step in table.choose(context.methods):
        for stage in (*step.parts, step.stage):
            if table.runs(stage) <= done:
                wanted.update(with_inputs(stage, table.stages))
    stages = {name: content for name, content in table.stages.items() if name in wanted}
    if stages:
        content = {"answer": [*stages][-1], "stages": stages}
        text = yaml.safe_dump(content, sort_keys=False)
        write_text(context.folder.path / PIPELINE, "# Written by upscore reproduce.\n" + text)
    return stages
