"""``upscore recipes``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from upscore.cli.console import console, keep_result
from upscore.core.tables import Table

if TYPE_CHECKING:
    from upscore.training.recipe import Recipe

GROUPS = {
    "start here": ("quick",),
    "small, from random weights, minutes on a laptop": (
        "deconvnet-quick", "deconvnet-whole-quick", "deeplab-largefov-quick", "fcn8s-quick",
        "fcn8s-toy", "hypercolumn-quick", "patch-cnn", "segnet-quick", "unet-quick",
    ),
}  # fmt: skip
"""Titles, and the recipes below each."""
PAPERS = "as in the papers, days on a GPU"
"""Title of all others."""

WIDE = 100
"""Columns from which the network and the budget are shown too."""


def recipes(name: Annotated[Positional[str | None], arg(metavar="[NAME]")] = None, /) -> None:
    """List the shipped recipes, or print one with every setting.

    Args:
        name: The recipe to print as YAML. Save it, change it and pass it to `upscore train`.
    """
    from upscore.training.recipe import load_recipe, shipped_recipes

    if name is not None:
        recipe = load_recipe(name)
        keep_result(recipe.model_dump(mode="json"))
        console.print(recipe.to_yaml(), end="")
        return
    found = {shipped: load_recipe(shipped) for shipped in shipped_recipes()}
    group_of = {one: title for title, names in GROUPS.items() for one in names}
    keys = ("recipe", "network", "budget", "description")
    every = []
    for title in (*GROUPS, PAPERS):
        rows = [
            (shipped, recipe.model.name, _amount(recipe), recipe.description)
            for shipped, recipe in found.items()
            if group_of.get(shipped, PAPERS) == title
        ]
        every += [dict(zip(keys, row, strict=True)) | {"group": title} for row in rows]
        console.print(title)
        if console.width >= WIDE:
            console.print(Table(keys, rows).screen(), "")
        else:
            console.print(Table(keys[::3], [row[::3] for row in rows]).screen(), "")
    keep_result({"recipes": every})


def _amount(recipe: Recipe) -> str:
    """The budget of a recipe in words."""
    budget = recipe.budget.model_dump(exclude_none=True)
    return ", ".join(f"{value:,g} {unit}" for unit, value in budget.items())
