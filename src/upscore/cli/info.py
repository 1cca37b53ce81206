"""``upscore info``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from upscore.cli.console import console, keep_result
from upscore.cli.options import announced
from upscore.core.quoting import join
from upscore.core.tables import Table


def info(model: Annotated[Positional[Path | None], arg(metavar="[RUN|NAME]")] = None, /) -> None:
    """Show the classes, input and size of a network, and how it was trained.

    Args:
        model: Run folder, model folder or name of a network; by default the last run in runs/.
    """
    from upscore.core.model_folder import WEIGHTS, find_model
    from upscore.core.runs_folder import require_last_run

    folder = find_model(model or announced(require_last_run()))
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
    keep_result(facts)
    names = {"weights_mb": "weights in MB"}
    rows = [
        (names.get(key, key), _shown(value)) for key, value in facts.items() if value is not None
    ]
    console.print(Table((), rows).screen())
    if not trained:
        console.print("The folder does not say what it was trained on.")


def _shown(value: Any) -> str:
    """A fact for people: thousands apart, four digits of a score."""
    if isinstance(value, list):
        return join(value, most=20)
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
