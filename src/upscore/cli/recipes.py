"""``upscore recipes``."""

from __future__ import annotations

from typing import Annotated

from tyro.conf import Positional, arg


def recipes(name: Annotated[Positional[str | None], arg(metavar="[NAME]")] = None, /) -> None:
    """List the shipped recipes, or print one with every setting.

    Args:
        name: A shipped recipe to print as YAML; save it, change it, give it to `upscore train`.
    """
    from rich.table import Table

    from upscore.cli.console import console
    from upscore.training.recipe import load_recipe, shipped_recipes

    if name is not None:
        console.print(load_recipe(name).to_yaml(), markup=False, end="")
        return
    table = Table("recipe", "network", "budget", "what it is", box=None, header_style="bold")
    for shipped in shipped_recipes():
        recipe = load_recipe(shipped)
        budget = recipe.budget.model_dump(exclude_none=True)
        amount = ", ".join(f"{value:,g} {unit}" for unit, value in budget.items())
        table.add_row(shipped, recipe.model.name, amount, recipe.description)
    console.print(table)
