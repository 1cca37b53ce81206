"""The stages of a reproduction's pipeline file: their inputs, and what identifies their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def inputs_of(stage: Mapping[str, Any]) -> Sequence[str]:
    """Names of the stages whose outputs a CRF or an ensemble takes; none for a network."""
    ((kind, settings),) = stage.items()
    if kind in ("whole_image", "instance_wise"):
        return ()
    return [settings["of"]] if kind == "refine" else list(settings["of"])


def identity(
    stage: str, stages: Mapping[str, Mapping[str, Any]], weights: Mapping[str, str]
) -> dict[str, Any]:
    """Settings and weights of a stage and of all its inputs, JSON values.

    Args:
        stages: as in a pipeline file, by name.
        weights: digest of the weights by the name of the run.
    """
    content = stages[stage]
    found: dict[str, Any] = {"settings": {stage: content}, "weights": {}}
    sources = inputs_of(content)
    for source in sources:
        part = identity(source, stages, weights)
        found["settings"] |= part["settings"]
        found["weights"] |= part["weights"]
    if not sources:
        (settings,) = content.values()
        run = Path(settings["run"]).name
        found["weights"][run] = weights[run]
    return found
