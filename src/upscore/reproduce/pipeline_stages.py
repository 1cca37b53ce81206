"""The stages of a reproduction's pipeline file: their inputs, and what identifies their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

Stages = Mapping[str, Mapping[str, Any]]
"""Stages as in a pipeline file, by name."""


def inputs_of(stage: Mapping[str, Any]) -> Sequence[str]:
    """Names of the stages whose outputs a CRF or an ensemble takes; none for a network."""
    ((kind, settings),) = stage.items()
    if kind in ("whole_image", "instance_wise"):
        return ()
    return [settings["of"]] if kind == "refine" else list(settings["of"])


def with_inputs(stage: str, stages: Stages) -> list[str]:
    """A stage and all stages that it depends on, each once."""
    found = [stage]
    for source in inputs_of(stages[stage]):
        found += with_inputs(source, stages)
    return [*dict.fromkeys(found)]


def runs_of(stage: str, stages: Stages) -> set[str]:
    """Names of the runs whose networks a stage is made of."""
    names = (name for name in with_inputs(stage, stages) if not inputs_of(stages[name]))
    return {
        PurePosixPath(settings["run"]).name for name in names for settings in stages[name].values()
    }


def identity(stage: str, stages: Stages, weights: Mapping[str, str]) -> dict[str, Any]:
    """Settings and weights of a stage and of all its inputs, JSON values.

    Args:
        weights: digest of the weights by the name of the run.
    """
    return {
        "settings": {name: stages[name] for name in with_inputs(stage, stages)},
        "weights": {run: weights[run] for run in sorted(runs_of(stage, stages))},
    }
