"""Parts of a page that both sources have."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from upscore.core.runtime import cpu_name, installed_version
from upscore.report.document import Row, Table
from upscore.reproduce.context import Job
from upscore.reproduce.trainings import Planned
from upscore.training.shown import overlap_warning

TOLD = 5
"""Photos that could not be labelled and are named one by one."""


def class_table(job: Job, content: Mapping[str, Any], caption: str) -> Table:
    """IoU by class, a column a contender; the caption names classes without a pixel."""
    names = job.dataset.labels.names
    contenders = content["contenders"]
    rows: list[tuple[Any, ...]] = []
    absent: list[str] = []
    for index, name in enumerate(names):
        values = [one["per_class"][index]["iou"] for one in contenders]
        if not contenders[0]["per_class"][index]["pixels"]:
            absent.append(name)
        rows.append((name, *values, contenders[0]["per_class"][index]["pixels"]))
    mean = [one["scores"]["miou"] for one in contenders]
    rows.append(("mean", *mean, sum(one["pixels"] for one in contenders[0]["per_class"])))
    if absent:
        caption += f" Not in the truth of this split: {', '.join(absent)}."
    return Table(
        "classes",
        caption,
        ("class", *(one["name"] for one in contenders), "pixels"),
        tuple(rows),
        best=frozenset(),
    )


def picture_row(job: Job, place: int, stages: Mapping[str, str]) -> Row:
    """Photo, truth, and what stages say of it, under what they are called."""
    sample = job.split.read(place)
    truth = job.dataset.labels.colorize(sample.labels)
    said = ((title, job.read_label_map(stage, place)) for stage, title in stages.items())
    shots = (("photo", sample.image), ("truth", truth), *said)
    return Row(sample.name, shots, of_data=frozenset({0, 1}))


def missing(job: Job, plans: Sequence[Planned]) -> Iterator[str]:
    """Sentences on what the page lacks."""
    titles = {plan.name: plan.title for plan in plans}
    for name, text in job.failures.items():
        yield f"{titles.get(name, name)} is missing: {text}. The same command tries it again."
    for place, text in list(job.unlabelled.items())[:TOLD]:
        yield f"{job.split.pairs[place].name} counts for nothing: {text}"
    if len(job.unlabelled) > TOLD:
        yield f"{len(job.unlabelled) - TOLD} more photos could not be labelled."


def facts(job: Job) -> Iterator[tuple[str, str]]:
    """How it was made, for the end of the page."""
    splits = ", ".join(f"{name} {len(pairs)}" for name, pairs in job.dataset.splits.items())
    yield "command", "upscore " + " ".join(sys.argv[1:])
    yield "data", f"{job.data} ({job.dataset.layout}; {splits})"
    yield "fingerprint of the data", job.dataset.fingerprint()
    yield "classes", str(len(job.dataset.labels))
    yield "trained on", f"{job.train_split}, {len(job.train)} photos"
    yield "measured on", f"{job.split.name}, {len(job.split)} photos"
    warning = overlap_warning(job.train, job.split)
    if warning is not None:
        yield "not fair", warning
    yield "budget", str(job.budget)
    yield "machine", f"{cpu_name()}, {job.runtime.device}, {job.runtime.precision}"
    yield "versions", f"upscore {installed_version('upscore')}, torch {installed_version('torch')}"


def recipes(job: Job, plans: Sequence[Planned]) -> Iterator[tuple[str, str]]:
    """Every setting of each training, YAML."""
    for plan in plans:
        path = job.folder.run(plan.name) / "recipe.yaml"
        yield plan.title, path.read_text("utf-8") if path.exists() else plan.recipe.to_yaml()
