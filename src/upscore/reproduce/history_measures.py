"""Scores, gains and costs of the history's systems, each measured once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Any

import numpy as np
import torch

from upscore.core.labels import LabelMap, RGBImage
from upscore.core.progress import count_items
from upscore.core.run_folder import RunFolder
from upscore.errors import WorkError
from upscore.inference.pipeline.run import Pipeline, load_pipeline
from upscore.metrics.bootstrap import overlaps
from upscore.metrics.confusion import count
from upscore.models.base import count_parameters
from upscore.models.checkpoint import load_model
from upscore.models.patch_cnn import PatchCNN
from upscore.report.run_data import read_curve
from upscore.reproduce.context import Context
from upscore.reproduce.differences import boundary_overlaps, by_stage, paired_difference
from upscore.reproduce.history_methods import Step, history
from upscore.reproduce.history_trainings import PIPELINE, write_stages
from upscore.reproduce.pipeline_stages import Stages, identity, inputs_of, runs_of, with_inputs
from upscore.reproduce.trainings import PlannedTraining

TIMED = 5
"""Largest number of photos, evenly spread over the split, whose prediction is timed."""


@dataclass(frozen=True)
class Measures:
    """JSON values.

    Attributes:
        stages: by name what ``upscore compare`` writes of each, with the ``costs`` beside it:
            ``parameters`` of its networks, ``iterations`` and ``training`` seconds of all of them,
            ``prediction`` seconds of a photo, and of a patch classifier ``sliding``, those of a
            photo by ``patches`` and as a ``whole``.
        gains: by the names of a stage and of the one before it: ``miou`` and ``boundary_iou``, each
            with its interval, in the form that :mod:`upscore.reproduce.differences` reads.
        photos: number of photos that count.
        timed: number of photos that were timed.
        missing: messages of systems that could not label a single photo.
    """

    stages: dict[str, dict[str, Any]]
    gains: dict[tuple[str, str], dict[str, Any]]
    photos: int
    timed: int
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        gains = [{"of": of, "to": to, **found} for (of, to), found in self.gains.items()]
        return {"stages": self.stages, "gains": gains, "photos": self.photos, "timed": self.timed}


def measure(context: Context) -> Measures:
    """Label every photo by every system, score, and time; finished parts are not repeated.

    A system that can label no photo is left out and named in ``missing``.

    Raises:
        WorkError: fewer than two systems are left.
        DataError: no photo that all systems have labelled.
    """
    stages = write_stages(context)
    weights = {plan.name: context.weights(plan) for plan in context.done}
    identities = {name: identity(name, stages, weights) for name in stages}
    missing: list[str] = []
    costs: dict[str, dict[str, Any]] = {}
    for group in groups_of(stages):
        if (error := _label(context, group, identities)) is not None:
            missing.append(f"{', '.join(group)}: no photo could be labelled: {error}")
            continue
        costs |= _costs(context, group, stages, identities)
    steps = history().choose(context.methods)
    shown = {
        stage: title
        for step in steps
        if step.stage in costs
        for stage, title in step.stages.items()
    }
    if len(shown) < 2:
        lines = [*context.failures.values(), *missing]
        raise WorkError(
            f"{context.folder.path}: {len(shown)} of {len(steps)} systems have finished, too few "
            "for a comparison. The same command tries the others again:\n" + "\n".join(lines)
        )
    scores = context.score_stages("scores", shown, identities, what="scoring")
    pairs = pairs_of([step for step in steps if step.stage in shown])
    found = context.folder.measured(
        "gains",
        {"pairs": [list(pair) for pair in pairs], **context.of_stages(identities, shown)},
        lambda: _gains(context, [*shown], pairs),
    )
    return Measures(
        {name: {**one, "costs": costs[name]} for name, one in by_stage(scores).items()},
        dict(zip(pairs, found["gains"], strict=True)),
        len(scores["images"]),
        len(_timed(context)),
        tuple(missing),
    )


def groups_of(stages: Stages) -> list[list[str]]:
    """Stages in groups that share no network, in their order."""
    groups: list[tuple[set[str], list[str]]] = []
    for name in stages:
        runs = runs_of(name, stages)
        joined = [group for group in groups if group[0] & runs]
        names = [one for _, of in joined for one in of]
        groups = [group for group in groups if group not in joined]
        groups.append((runs.union(*(of for of, _ in joined)), [*names, name]))
    return [names for _, names in groups]


def pairs_of(steps: Sequence[Step]) -> list[tuple[str, str]]:
    """What is compared: a system with the one before it, and a CRF with what it refines.

    Where a system's own predecessor is not there, it is the last one before it that is.
    """
    pairs: list[tuple[str, str]] = []
    for place, step in enumerate(steps):
        before = [one.stage for one in steps[:place]]
        if before:
            pairs.append((step.stage, step.after if step.after in before else before[-1]))
        if step.parts:
            pairs.append((step.stage, step.parts[-1]))
    return pairs


def _label(
    context: Context, group: Sequence[str], identities: Mapping[str, Mapping[str, Any]]
) -> str | None:
    """Label the split by a group of stages; the first message where no photo could be labelled."""
    pipeline = cache(lambda: _pipeline(context, group))  # loaded for the first photo

    def predict(image: RGBImage, stages: Sequence[str]) -> Mapping[str, LabelMap]:
        return pipeline().predict_of(image, stages)

    before = dict(context.unlabelled)
    of = {name: identities[name] for name in group}
    context.label_all(of, predict, f"labelling photos: {group[-1]}")
    if len(context.store.missing(group[-1])) < len(context.split):
        return None
    errors = [text for place, text in context.unlabelled.items() if place not in before]
    context.unlabelled = before
    return errors[0] if errors else "their files cannot be read"


def _pipeline(context: Context, stages: Sequence[str]) -> Pipeline:
    return load_pipeline(
        context.folder.path / PIPELINE,
        device=context.runtime.device,
        precision=context.runtime.precision,
        stages=stages,
    )


def _timed(context: Context) -> list[int]:
    """Places of the photos that are timed; none where every photo failed somewhere."""
    labelled = [place for place in range(len(context.split)) if place not in context.unlabelled]
    return labelled[:: max(1, -(-len(labelled) // TIMED))]


def _costs(
    context: Context, group: Sequence[str], stages: Stages, identities: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Parameters and times of each stage of a group, those of its inputs included."""
    plans = {plan.name: plan for plan in context.done}
    runs = {run for name in group for run in history().runs(name)}
    lengths = {run: _length(context, plans[run]) for run in runs}
    found = context.folder.measured(
        f"costs-{group[-1]}",
        {**context.of_stages(identities, group), "device": context.runtime.device},
        lambda: {
            "parameters": {
                run: count_parameters(load_model(context.model(plans[run])).model)
                for run in sorted(runs)
            },
            "seconds": _seconds(context, group),
            "sliding": {run: _sliding(context, plans[run]) for run in sorted(runs)},
        },
    )
    costs: dict[str, dict[str, Any]] = {}
    for name in group:
        of = sorted(history().runs(name))
        times = [lengths[run][1] for run in of]
        costs[name] = {
            "parameters": sum(found["parameters"][run] for run in of),
            "iterations": sum(lengths[run][0] for run in of),
            "training": None if None in times else sum(time or 0.0 for time in times),
            "prediction": _whole(name, found["seconds"], stages),
            "sliding": None if inputs_of(stages[name]) else found["sliding"][of[0]],
        }
    return costs


def _length(context: Context, plan: PlannedTraining) -> tuple[int, float | None]:
    """Iterations and seconds of a training, of all its stages; None where a log lacks the time."""
    logs = [RunFolder(folder).log for _, folder in context.stage_runs(plan)]
    curves = [read_curve(log) for log in logs if log.exists()]
    times = [curve.seconds for curve in curves]
    seconds = None if None in times else sum(time or 0.0 for time in times)
    return sum(curve.last_iteration for curve in curves), seconds


def _seconds(context: Context, group: Sequence[str]) -> dict[str, float]:
    """Median time of each stage without its inputs, after one photo that is not counted."""
    pipeline = _pipeline(context, group)
    places = _timed(context)
    times: dict[str, list[float]] = {name: [] for name in pipeline.stages}
    update = count_items(context.on_progress, f"timing: {group[-1]}")
    for number, place in enumerate([*places[:1], *places]):
        seconds: dict[str, float] = {}
        pipeline.predict_of(context.split.read(place).image, group, seconds=seconds)
        if number:
            for name, value in seconds.items():
                times[name].append(value)
        update(number, len(places))
    return {name: median(values) for name, values in times.items() if values}


def _sliding(context: Context, plan: PlannedTraining) -> dict[str, float] | None:
    """Seconds of the patches of one photo, one by one and as a convolution; None for others."""
    saved = load_model(context.model(plan))
    model = saved.model.to(context.runtime.torch_device).eval()
    places = _timed(context)
    if not isinstance(model, PatchCNN) or not places:
        return None
    photo = torch.from_numpy(np.array(context.split.read(places[0]).image))
    image = photo.to(context.runtime.torch_device).permute(2, 0, 1)[None]
    found: dict[str, float] = {}
    with torch.inference_mode():
        images = saved.input_spec.apply(image.contiguous())
        for name, run in (("whole", model), ("patches", model.slide)):
            for _ in range(2):  # the first one only warms up
                begin = time.perf_counter()
                run(images).sum().item()  # waits for a GPU
                found[name] = time.perf_counter() - begin
    return found


def _whole(stage: str, seconds: Mapping[str, float], stages: Stages) -> float | None:
    """Seconds of a stage with those of its inputs; None where no photo was timed."""
    if not seconds:
        return None
    return sum(seconds[name] for name in with_inputs(stage, stages))


def _gains(
    context: Context, shown: Sequence[str], pairs: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    num = len(context.dataset.labels)
    areas: dict[str, list[Any]] = {name: [] for name in shown}
    rims: dict[str, list[Any]] = {name: [] for name in shown}
    update = count_items(context.on_progress, "comparing")
    for place, truth, maps in context.store.complete(shown):
        for name, labels in zip(shown, maps, strict=True):
            areas[name].append(overlaps(count(truth, labels, num)))
            rims[name].append(boundary_overlaps(truth, labels, num))
        update(place + 1, len(context.split))

    def difference(counts: Mapping[str, list[Any]], of: str, to: str) -> dict[str, Any]:
        return {"difference": paired_difference(np.stack(counts[to]), np.stack(counts[of]))}

    return {
        "gains": [
            {"miou": difference(areas, of, to), "boundary_iou": difference(rims, of, to)}
            for of, to in pairs
        ]
    }
