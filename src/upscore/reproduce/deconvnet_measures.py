"""All measurements of the DeconvNet paper's networks, each made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from upscore.core.labels import LabelMap, RGBImage
from upscore.core.model_folder import find_model
from upscore.inference.instance_wise import Order
from upscore.inference.pipeline.run import Pipeline, load_pipeline
from upscore.inference.segmenter import ScoreMap
from upscore.models.checkpoint import SavedModel, load_model
from upscore.reproduce.class_groups import group_boundaries
from upscore.reproduce.context import Context
from upscore.reproduce.deconvnet_stages import (
    BY_SCORE,
    BY_SIZE,
    DECONVNET,
    FCN,
    METHODS,
    NO_NORM,
    ONE_STAGE,
    TITLES,
    write_stages,
)
from upscore.reproduce.differences import by_stage
from upscore.reproduce.ensemble_gains import gains, repairs
from upscore.reproduce.example_selection import pairs_of_objects
from upscore.reproduce.objects import ObjectCrop, crop_object
from upscore.reproduce.other_methods import stages_of
from upscore.reproduce.pipeline_stages import identity
from upscore.reproduce.switches import PAIRS, measure_pairs

ABLATIONS = (
    DECONVNET, NO_NORM, ONE_STAGE, "deconvnet-sum", "deconvnet-crf", "edeconvnet", "edeconvnet-crf",
    FCN, "fcn8s-crf",
)  # fmt: skip

Measures = Mapping[str, Any]
"""The result of :func:`measure`."""


def measure(context: Context) -> dict[str, Any]:
    """Label every photo by every stage, and score; finished parts are not repeated.

    FCN-8s and DeconvNet must have finished.

    Returns:
        JSON values: ``methods``, those of the paper and then those that were asked for, and
        ``ablations``, scores with differences to FCN-8s and to DeconvNet; ``proposals`` and
        ``proposals-by-size``, the same of DeconvNet after so many proposals, the best or the
        largest first, with differences to one proposal; ``repairs``;
        ``gains`` over the better of the two networks; ``boundaries`` of :func:`group_boundaries`;
        ``switches`` of :func:`measure_pairs`.

    Raises:
        DataError: no photo that all stages have labelled.
    """
    done = [plan for plan in context.done if plan.name in TITLES]
    stages = write_stages(context)
    weights = {plan.name: context.weights(plan) for plan in done}
    identities = {name: identity(name, stages, weights) for name in stages}
    _label(context, identities)
    for name, count in (BY_SCORE | BY_SIZE).items():
        order = {} if name in BY_SCORE else {"order": "size"}
        identities[name] = {**identities[DECONVNET], "boxes": count, **order}
    _label_in_steps(context, identities)

    def score(name: str, titles: Mapping[str, str]) -> dict[str, Any]:
        return context.score_stages(name, titles, identities, what=f"scoring: {name}")

    def once(
        name: str, of_stages: Sequence[str], make: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        return context.folder.measured(name, context.of_stages(identities, of_stages), make)

    others = [name for name in stages_of(context.methods) if name in stages]
    compared = (*METHODS, *others)
    methods = score("methods", {name: TITLES[name] for name in compared})
    of = by_stage(methods)
    better = max((FCN, DECONVNET), key=lambda name: of[name]["scores"]["miou"] or 0.0)
    crf, ensemble = f"{better}-crf", "edeconvnet"
    three = (FCN, DECONVNET, ensemble)
    by_score, by_size = (
        score(name, {stage: f"{count} proposals" for stage, count in steps.items()})
        for name, steps in (("proposals", BY_SCORE), ("proposals-by-size", BY_SIZE))
    )
    return {
        "methods": methods,
        "ablations": score(
            "ablations", {name: TITLES[name] for name in ABLATIONS if name in stages}
        ),
        "proposals": by_score,
        "proposals-by-size": by_size,
        "repairs": once("repairs", three, lambda: repairs(context.store, *three)),
        "gains": once(
            "gains",
            (better, crf, ensemble),
            lambda: gains(context.store, network=better, crf=crf, ensemble=ensemble),
        ),
        "boundaries": once(
            "boundaries", compared, lambda: group_boundaries(context.store, compared)
        ),
        "switches": once("switches", (DECONVNET,), lambda: _exchanged(context)),
    }


def crop_of(context: Context, place: int, label: int) -> ObjectCrop:
    """The object of a class in a photo, cropped as in DeconvNet's training."""
    (geometry,) = [plan.recipe.crop_geometry for plan in context.plans if plan.name == DECONVNET]
    assert geometry is not None
    return crop_object(context.split.read(place), label, geometry)


def crop_pair(context: Context, pair: tuple[int, int, int]) -> list[ObjectCrop]:
    """Crops of two objects of one class; a pair is the class and two photos."""
    label, *places = pair
    return [crop_of(context, place, label) for place in places]


def saved_deconvnet(context: Context) -> SavedModel:
    """DeconvNet on the CPU, in training mode. Raises NotFoundError, RunError."""
    return load_model(find_model(context.folder.run(DECONVNET)))


def _exchanged(context: Context) -> dict[str, Any]:
    pairs = pairs_of_objects(context.shares(), PAIRS, background=context.background)
    crops = [crop_pair(context, pair) for pair in pairs]
    return measure_pairs(saved_deconvnet(context), crops)


def _pipeline(context: Context, stages: Sequence[str] | None) -> Callable[[], Pipeline]:
    """Loads the pipeline when there is a photo to label, and only once."""
    return cache(
        partial(
            load_pipeline,
            context.folder.path / "pipeline.yaml",
            device=context.runtime.device,
            precision=context.runtime.precision,
            stages=stages,
        )
    )


def _label(context: Context, identities: Mapping[str, Mapping[str, Any]]) -> None:
    pipeline = _pipeline(context, None)

    def predict(image: RGBImage, stages: Sequence[str]) -> Mapping[str, LabelMap]:
        return pipeline().predict_of(image, stages)

    context.label_all(identities, predict, "labelling photos")


def _label_in_steps(context: Context, identities: Mapping[str, Mapping[str, Any]]) -> None:
    """Label photos by DeconvNet after so many boxes, for the stages of both orders."""
    pipeline = _pipeline(context, (DECONVNET,))

    def predict(image: RGBImage, stages: Sequence[str], *, order: Order) -> Mapping[str, LabelMap]:
        counts = {(BY_SCORE | BY_SIZE)[name]: name for name in stages}
        found: dict[str, LabelMap] = {}

        def keep(_stage: str, count: int, probabilities: ScoreMap) -> None:
            found[counts[count]] = probabilities.argmax(axis=0).astype(np.uint8)

        pipeline().probabilities_in_steps(image, list(counts), keep, order=order)
        return found

    orders: tuple[tuple[Mapping[str, int], Order], ...] = ((BY_SCORE, "score"), (BY_SIZE, "size"))
    for steps, by in orders:
        of_steps = {name: identities[name] for name in steps}
        context.label_all(of_steps, partial(predict, order=by), f"adding proposals by {by}")
