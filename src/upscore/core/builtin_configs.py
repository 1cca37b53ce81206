"""YAML files that ship inside the package, by name: recipes, pipelines."""

from __future__ import annotations

from importlib import resources

from upscore.core.choices import unknown_choice
from upscore.errors import SettingsError


def shipped_names(folder: str) -> list[str]:
    """Names, without suffix, of the YAML files in a folder of the package, sorted."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in (resources.files("upscore") / folder).iterdir()
        if entry.name.endswith(".yaml")
    )


def shipped_text(folder: str, name: str, *, what: str, otherwise: str = "") -> str:
    """The text of one of them.

    Args:
        what: one of them, in words.
        otherwise: the end of the message where there is none, as ``; or name a .yaml file``.

    Raises:
        SettingsError: no such name; the message lists all of them, the nearest first.
    """
    known = shipped_names(folder)
    if name not in known:
        raise SettingsError(unknown_choice(f"shipped {what}", name, known) + otherwise)
    return (resources.files("upscore") / folder / f"{name}.yaml").read_text("utf-8")
