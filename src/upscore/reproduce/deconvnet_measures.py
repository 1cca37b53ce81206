"""All measurements of the DeconvNet paper's networks, each made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from upscore.core.labels import LabelMap, RGBImage
from upscore.core.progress import count_items
from upscore.inference.instance_wise import Order
from upscore.inference.pipeline.run import Pipeline, load_pipeline
from upscore.inference.segmenter import ScoreMap
from upscore.models.checkpoint import SavedModel, find_model, load_model
from upscore.reproduce.class_groups import group_boundaries
from upscore.reproduce.context import Context
from upscore.reproduce.deconvnet_proposals import BY_SCORE, BY_SIZE
from upscore.reproduce.deconvnet_stages import (
    DECONVNET,
    FCN,
    METHODS,
    NO_NORM,
    ONE_STAGE,
    TITLES,
    identity,
    write_stages,
)
from upscore.reproduce.example_selection import pairs_of_objects
from upscore.reproduce.gains import gains
from upscore.reproduce.objects import CropSettings, ObjectCrop, crop_object
from upscore.reproduce.repairs import repairs
from upscore.reproduce.scores import by_stage, measured, score_stages
from upscore.reproduce.switches import PAIRS, measure_pairs
from upscore.reproduce.trainings import PlannedTraining

ABLATIONS = (
    DECONVNET, NO_NORM, ONE_STAGE, "deconvnet-sum", "deconvnet-crf", "edeconvnet", "edeconvnet-crf",
    FCN, "fcn8s-crf",
)  # fmt: skip


@dataclass(frozen=True)
class Measures:
    """JSON values, as results.json holds them.

    Attributes:
        methods, ablations: of :func:`score_stages`; differences are to FCN-8s and to DeconvNet.
        by_score, by_size: the same of DeconvNet after so many proposals, the best or the largest
            first; differences are to one proposal.
        mended: of :func:`upscore.reproduce.repairs.repairs`.
        gained: of :func:`upscore.reproduce.gains.gains`, over the better of the two networks.
        boundaries: of :func:`upscore.reproduce.class_groups.group_boundaries`.
        exchanged: of :func:`upscore.reproduce.switches.measure_pairs`.
    """

    methods: dict[str, Any]
    ablations: dict[str, Any]
    by_score: dict[str, Any]
    by_size: dict[str, Any]
    mended: dict[str, Any]
    gained: dict[str, Any]
    boundaries: dict[str, Any]
    exchanged: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "methods": self.methods,
            "ablations": self.ablations,
            "proposals": self.by_score,
            "proposals-by-size": self.by_size,
            "repairs": self.mended,
            "gains": self.gained,
            "boundaries": self.boundaries,
            "switches": self.exchanged,
        }


def measure(context: Context, plans: Sequence[PlannedTraining]) -> Measures:
    """Label every photo by every stage, and score; finished parts are not repeated.

    Args:
        plans: all trainings; FCN-8s and DeconvNet have finished.

    Raises:
        DataError: no photo that all stages have labelled.
    """
    done = [plan for plan in context.finished(plans) if plan.name in TITLES]
    stages = write_stages(context, done)
    weights = {plan.name: context.weights(plan) for plan in done}
    identities = {name: identity(name, stages, weights) for name in stages}
    pipeline = _Loaded(context)
    context.label_all(identities, pipeline.predict, "labelling photos")
    for name, count in (BY_SCORE | BY_SIZE).items():
        order = {} if name in BY_SCORE else {"order": "size"}
        identities[name] = {**identities[DECONVNET], "boxes": count, **order}
    orders: tuple[tuple[Mapping[str, int], Order], ...] = ((BY_SCORE, "score"), (BY_SIZE, "size"))
    for steps, by in orders:
        of_steps = {name: identities[name] for name in steps}
        context.label_all(of_steps, partial(pipeline.steps, order=by), f"adding proposals by {by}")

    def score(name: str, titles: Mapping[str, str]) -> dict[str, Any]:
        return score_stages(
            context.folder.measurement(name),
            context.store,
            titles,
            identities=identities,
            dataset=context.dataset,
            failures=context.unlabelled,
            bins=context.bins(),
            progress=count_items(context.on_progress, f"scoring: {name}"),
        )

    def once(
        name: str, of_stages: Sequence[str], make: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        about = {
            "identities": {stage: identities[stage] for stage in of_stages},
            "data": context.dataset.fingerprint(),
            "split": context.split.name,
            "failures": {str(place): text for place, text in context.unlabelled.items()},
        }
        return measured(context.folder.measurement(name), about, make)

    methods = score("methods", {name: TITLES[name] for name in METHODS})
    of = by_stage(methods)
    better = max((FCN, DECONVNET), key=lambda name: of[name]["scores"]["miou"] or 0.0)
    crf, ensemble = f"{better}-crf", "edeconvnet"
    three = (FCN, DECONVNET, ensemble)
    by_score, by_size = (
        score(name, {stage: f"{count} proposals" for stage, count in steps.items()})
        for name, steps in (("proposals", BY_SCORE), ("proposals-by-size", BY_SIZE))
    )
    return Measures(
        methods=methods,
        ablations=score("ablations", {name: TITLES[name] for name in ABLATIONS if name in stages}),
        by_score=by_score,
        by_size=by_size,
        mended=once("repairs", three, lambda: repairs(context.store, *three)),
        gained=once(
            "gains",
            (better, crf, ensemble),
            lambda: gains(context.store, network=better, crf=crf, ensemble=ensemble),
        ),
        boundaries=once("boundaries", METHODS, lambda: group_boundaries(context.store, METHODS)),
        exchanged=once("switches", (DECONVNET,), lambda: _exchanged(context, plans)),
    )


def crop_settings(plans: Sequence[PlannedTraining]) -> CropSettings:
    """Crop settings of DeconvNet's training."""
    plan = next(plan for plan in plans if plan.name == DECONVNET)
    return CropSettings.of_recipe(plan.recipe.model_dump(mode="json", by_alias=True))


def saved_deconvnet(context: Context) -> SavedModel:
    """DeconvNet on the CPU, in training mode. Raises NotFoundError, RunError."""
    return load_model(find_model(context.folder.run(DECONVNET)))


def see_pairs(
    context: Context, plans: Sequence[PlannedTraining], pairs: Sequence[tuple[int, int, int]]
) -> list[tuple[ObjectCrop, ObjectCrop]]:
    """Crops of two objects of one class, for each class and two photos."""
    settings = crop_settings(plans)
    found = []
    for label, *places in pairs:
        first, second = (
            crop_object(context.split.read(place), label, settings) for place in places
        )
        found.append((first, second))
    return found


def _exchanged(context: Context, plans: Sequence[PlannedTraining]) -> dict[str, Any]:
    pairs = pairs_of_objects(context.shares(), PAIRS, background=context.background)
    return measure_pairs(saved_deconvnet(context), see_pairs(context, plans, pairs))


class _Loaded:
    """Networks of the pipeline, loaded when there is a photo to label."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pipelines: dict[tuple[str, ...] | None, Pipeline] = {}

    def _pipeline(self, stages: tuple[str, ...] | None) -> Pipeline:
        if stages not in self._pipelines:
            self._pipelines.clear()  # one at a time, for memory's sake
            self._pipelines[stages] = load_pipeline(
                self._context.folder.path / "pipeline.yaml",
                device=self._context.runtime.device,
                precision=self._context.runtime.precision,
                stages=stages,
            )
        return self._pipelines[stages]

    def predict(self, image: RGBImage, stages: Sequence[str]) -> Mapping[str, LabelMap]:
        return self._pipeline(None).predict_of(image, stages)

    def steps(
        self, image: RGBImage, stages: Sequence[str], *, order: Order
    ) -> Mapping[str, LabelMap]:
        """Labels of DeconvNet after so many boxes, for stages of ``BY_SCORE`` or ``BY_SIZE``."""
        counts = {(BY_SCORE | BY_SIZE)[name]: name for name in stages}
        found: dict[str, LabelMap] = {}

        def keep(_stage: str, count: int, probabilities: ScoreMap) -> None:
            found[counts[count]] = probabilities.argmax(axis=0).astype(np.uint8)

        pipeline = self._pipeline((DECONVNET,))
        pipeline.probabilities_in_steps(image, list(counts), keep, order=order)
        return found
