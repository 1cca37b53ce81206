"""``upscore recipes``."""

from __future__ import annotations

from typing import Annotated

from tyro.conf import Positional, arg

from upscore.cli.console import console, keep_result
from upscore.core.tables import Table


def recipes(name: Annotated[Positional[str | None], arg(metavar="[NAME]")] = None, /) -> None:
    """List the shipped recipes, or print one with every setting.

    Args:
        name: A shipped recipe to print as YAML; save it, change it, give it to `upscore train`.
    """
    from upscore.training.recipe import load_recipe, shipped_recipes

    if name is not None:
        recipe = load_recipe(name)
        keep_result(recipe.model_dump(mode="json"))
        console.print(recipe.to_yaml(), end="")
        return
    rows = []
    for shipped in shipped_recipes():
        recipe = load_recipe(shipped)
        budget = recipe.budget.model_dump(exclude_none=True)
        amount = ", ".join(f"{value:,g} {unit}" for unit, value in budget.items())
        rows.append((shipped, recipe.model.name, amount, recipe.description))
    keys = ("recipe", "network", "budget", "description")
    keep_result({"recipes": [dict(zip(keys, row, strict=True)) for row in rows]})
    console.print(Table(("recipe", "network", "budget", "what it is"), rows).screen())
