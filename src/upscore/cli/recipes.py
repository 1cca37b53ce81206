"""``upscore recipes``."""

from __future__ import annotations

from typing import Annotated

from tyro.conf import Positional, arg

from upscore.cli.console import console, keep_result
from upscore.core.tables import Table

GROUPS = {
    "start here": ("quick",),
    "small, from random weights, minutes on a laptop": (
        "deconvnet-quick", "deconvnet-whole-quick", "deeplab-largefov-quick", "fcn8s-quick",
        "fcn8s-toy", "hypercolumn-quick", "patch-cnn", "segnet-quick", "unet-quick",
    ),
    "as in the papers, days on a GPU": None,
}  # fmt: skip
"""Titles, and the recipes below each; None for all others."""

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
    keys = ("recipe", "network", "budget", "description")
    every = []
    for title, wanted in GROUPS.items():
        rows = []
        for shipped in (n for n in found if wanted is None or n in wanted):
            recipe = found[shipped]
            if wanted is None and any(shipped in (others or ()) for others in GROUPS.values()):
                continue
            budget = recipe.budget.model_dump(exclude_none=True)
            amount = ", ".join(f"{value:,g} {unit}" for unit, value in budget.items())
            rows.append((shipped, recipe.model.name, amount, recipe.description))
        every += [dict(zip(keys, row, strict=True)) | {"group": title} for row in rows]
        console.print(title)
        if console.width >= WIDE:
            console.print(Table(keys, rows).screen(), "")
        else:
            console.print(Table(keys[::3], [row[::3] for row in rows]).screen(), "")
    keep_result({"recipes": every})
