"""``upscore info``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from upscore.cli.console import console, keep_result
from upscore.cli.options import announced
from upscore.core.printable import one_line
from upscore.core.quoting import join

if TYPE_CHECKING:
    from upscore.core.run_folder import RunFolder


def info(model: Annotated[Positional[Path | None], arg(metavar="[RUN|NAME]")] = None, /) -> None:
    """Show the classes, input and size of a network, and how it was trained.

    Args:
        model: Run folder, model folder or name of a network; by default the last run in runs/.
    """
    from upscore.core.model_folder import NETWORKS, WEIGHTS, find_model
    from upscore.core.run_folder import RunFolder
    from upscore.core.runs_folder import require_last_run

    model = model or announced(require_last_run())
    folder = find_model(model)
    from upscore.models.checkpoint import read_config, read_weights  # not before: torch

    config = read_config(folder, task=None)
    read_weights(folder, config)  # refuses those that are damaged or of another network
    trained: dict[str, Any] = config.get("trained") or {}
    classes = [str(one.get("name")) for one in config.get("classes", []) if isinstance(one, dict)]
    facts: dict[str, Any] = {
        "folder": str(folder),
        "network": config.get("architecture"),
        "backbone": (config.get("options") or {}).get("backbone"),
        "parameters": config.get("num_parameters"),
        "weights_mb": round((folder / WEIGHTS).stat().st_size / 1e6, 3),
        "classes": classes,
        **trained,
    }
    if folder == RunFolder(model).model:
        facts |= _of_run(RunFolder(model), best_iteration=trained.get("iterations"))
    if folder.parent == NETWORKS:
        facts |= {"licence_file": str(NETWORKS / "LICENSE.md"), "card": str(folder / "CARD.md")}
    keep_result(facts)
    names = {"weights_mb": "weights in MB"}
    width = max(len(names.get(key, key)) for key in facts)
    for key, value in facts.items():
        if value is not None:  # whole lines, so that paths can be copied
            console.print(f"{names.get(key, key):<{width}}  {_shown(value)}")
    if not trained:
        console.print("The folder does not say what it was trained on.")


def _of_run(run: RunFolder, *, best_iteration: Any) -> dict[str, Any]:
    """How a run was trained, as its manifest, recipe and log say."""
    from upscore.core.settings import load_yaml

    manifest = run.read_manifest()
    budget = load_yaml(run.recipe).get("budget") if run.recipe.exists() else None
    given = budget.items() if isinstance(budget, dict) else ()
    return {
        "recipe": str(run.recipe),
        "command": manifest.get("command"),
        "budget": next((f"{value} {unit}" for unit, value in given if value is not None), None),
        "num_photos": _entry(manifest, "samples", "photos"),
        "iterations": _entry(manifest, "progress", "iterations"),
        "best_iteration": best_iteration,
        "minutes": _minutes(run.log),
    }


def _minutes(log: Path) -> float | None:
    """Time that a training took so far, in the last row of its log."""
    from upscore.core.tables import read_csv

    header, *rows = (read_csv(log, "remove it") if log.exists() else []) or [[]]
    try:
        return round(float(dict(zip(header, rows[-1], strict=False))["seconds"]) / 60, 2)
    except (LookupError, ValueError):  # no row, or a damaged one
        return None


def _entry(manifest: dict[str, Any], part: str, key: str) -> Any:
    found = manifest.get(part)
    return found.get(key) if isinstance(found, dict) else None


def _shown(value: Any) -> str:
    """A fact for people: thousands apart, four digits of a score."""
    if isinstance(value, list):
        return join(value, most=20)
    if isinstance(value, float):
        return f"{value:.4g}"
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if is_number else one_line(str(value))
