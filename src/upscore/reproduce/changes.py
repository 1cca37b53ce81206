"""Differences between the settings of trainings and the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from upscore.models.factory import model_options
from upscore.report.document import Table
from upscore.report.run_data import flatten
from upscore.reproduce.trainings import PlannedTraining
from upscore.training.recipe import Recipe, load_recipe

NOT_A_SETTING = ("description",)


def changed_settings(published: Recipe, given: Recipe) -> dict[str, tuple[Any, Any]]:
    """Settings that differ: by dotted key, as published and as given; None for one not there.

    Options of the network that a recipe does not name count with their defaults.
    """
    before, after = _flat(published), _flat(given)
    return {
        key: (before.get(key), after.get(key))
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    }


def _flat(recipe: Recipe) -> dict[str, Any]:
    content = recipe.model_dump(mode="json", by_alias=True, exclude=set(NOT_A_SETTING))
    options = {**model_options(recipe.model.name), **recipe.model.options}
    content["model"] = {**content["model"], "options": options}
    content["stages"] = {stage["name"]: stage for stage in content["stages"]}
    return flatten(content)


def changes_table(plans: Sequence[PlannedTraining], caption: str) -> Table | None:
    """Every setting that differs from the published training; None where nothing does.

    Args:
        plans: trainings; those that were not published are skipped.
        caption: of the table.
    """
    known = [plan for plan in plans if plan.published is not None]
    rows: dict[tuple[str, str, str], list[str]] = {}
    for plan in known:
        assert plan.published is not None
        for key, values in changed_settings(load_recipe(plan.published), plan.recipe).items():
            before, after = (_text(value) for value in values)
            rows.setdefault((key, before, after), []).append(plan.title)
    if not rows:
        return None
    order = {key: place for place, key in enumerate(dict.fromkeys(key for key, _, _ in rows))}
    return Table(
        "changes",
        caption,
        ("setting", "published", "here", "trainings"),
        tuple(
            (*row, "all" if len(titles) == len(known) else ", ".join(titles))
            for row, titles in sorted(rows.items(), key=lambda item: order[item[0][0]])
        ),
    )


def _text(value: Any) -> str:
    match value:
        case None:
            return "\u2013"
        case bool():
            return "yes" if value else "no"
        case {}:
            return "none"
        case list():
            return ", ".join(map(_text, value)) or "none"
        case float():
            return f"{value:g}"
        case _:
            return str(value)
