"""Pipelines that ship with upscore, as templates for runs of the user."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from upscore.core.builtin_configs import shipped_names, shipped_text
from upscore.core.files import write_text
from upscore.core.model_folder import included, is_pipeline
from upscore.core.settings import build
from upscore.core.yaml_text import parse_yaml
from upscore.errors import SettingsError
from upscore.inference.pipeline.builder import PipelineBuilder
from upscore.inference.pipeline.settings import PipelineSettings

BOXES = "{source: edge-boxes}"
"""The source of boxes in a template, which a store replaces."""

FOLDER = "pipelines"
"""In the package."""

PLAIN = re.compile(r"[A-Za-z0-9_./-]+")


def shipped_pipelines() -> list[str]:
    """Names of the pipelines inside the package."""
    return shipped_names(FOLDER)


def write_pipeline(
    name: str, out: Path, *, runs: Mapping[str, Path], store: Path | None = None
) -> PipelineSettings:
    """Write a shipped pipeline, with its comments, for runs of the user.

    Args:
        name: of the pipeline.
        out: the file to make, .yaml; paths in it will begin at its folder.
        runs: a run or model folder for each network, by the name of its stage.
        store: boxes of ``upscore proposals make``; None computes them for each photo.

    Raises:
        SettingsError: no such pipeline, a network without a run or a run without a network, a file
            that is there already or has another suffix, or runs of other classes.
        NotFoundError, RunError, DataError: a run or store that is missing or damaged.
        OutputError: cannot write.
    """
    text = shipped_text(FOLDER, name, what="pipeline")
    template = build(PipelineSettings, parse_yaml(text, f"pipeline {name}"), f"pipeline {name}")
    if not is_pipeline(out):
        raise SettingsError(
            f"{out}: expected a file name that ends in .yaml, for example {name}.yaml"
        )
    if out.exists():
        raise SettingsError(f"{out}: is there already; remove it, or choose another --out")
    networks = [stage for stage, settings in template.stages.items() if settings.run is not None]
    _require_runs(name, networks, runs)
    # as they were typed, so that a message shows them so
    typed = _filled(text, template, runs, store)
    settings = build(PipelineSettings, parse_yaml(typed, name), name)
    PipelineBuilder(settings, Path(f"{name}.yaml")).check(settings.order(settings.stages))
    near = {
        stage: path_from(run, out.parent) if included(run) is None else run
        for stage, run in runs.items()
    }
    near_store = None if store is None else path_from(store, out.parent)
    write_text(out, _filled(text, template, near, near_store))
    return settings


def _require_runs(name: str, networks: list[str], runs: Mapping[str, Path]) -> None:
    missing = [stage for stage in networks if stage not in runs]
    unknown = [stage for stage in runs if stage not in networks]
    if missing or unknown:
        found = f"no --run for {', '.join(missing)}" if missing else f"--run for {unknown[0]!r}"
        wanted = " ".join(f"--run {stage}=RUN" for stage in networks)
        raise SettingsError(f"{name} needs {wanted}; found {found}")


def _filled(
    text: str, template: PipelineSettings, runs: Mapping[str, Path], store: Path | None
) -> str:
    for stage, run in runs.items():
        line = f"run: {template.stages[stage].run}\n"
        assert text.count(line) == 1
        text = text.replace(line, f"run: {_quoted(run)}\n")
    if store is not None:
        assert BOXES in text
        text = text.replace(BOXES, f"{{store: {_quoted(store)}}}")
    return text


def _quoted(path: Path) -> str:
    """A path as YAML: plain, or where it must be in quotes, as JSON has them."""
    text = path.as_posix()
    is_plain = PLAIN.fullmatch(text) and parse_yaml(text, text) == text  # not a number, no null
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def path_from(path: Path, folder: Path) -> Path:
    """``path`` relative to ``folder``, or absolute if they have only the root in common."""
    path, folder = path.resolve(), folder.resolve()
    common = os.path.commonpath([path, folder])
    return path if common == path.anchor else Path(os.path.relpath(path, folder))
