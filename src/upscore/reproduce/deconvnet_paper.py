"""The DeconvNet paper: its table, its figures, and the experiments that its text speaks of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from upscore.core.labels import LabelMap, RGBImage
from upscore.inference.pipeline.run import Pipeline, load_pipeline
from upscore.inference.segmenter import Scores
from upscore.report.document import Document, Item, Section
from upscore.reproduce.common_sections import facts, missing, recipes
from upscore.reproduce.context import Job
from upscore.reproduce.deconvnet_checks import checks
from upscore.reproduce.deconvnet_pictures import analysis_items, ensemble_items, proposal_items
from upscore.reproduce.deconvnet_stages import (
    COUNTS,
    DECONVNET,
    FCN,
    METHODS,
    NO_NORM,
    ONE_STAGE,
    TITLES,
    identity,
    write_stages,
)
from upscore.reproduce.deconvnet_tables import (
    ablation_table,
    class_tables,
    overall_table,
    size_items,
    trimap_items,
)
from upscore.reproduce.differences import score_text
from upscore.reproduce.repairs import repairs
from upscore.reproduce.scores import by_stage, measured, score_stages
from upscore.reproduce.trainings import Planned

TITLE = "The DeconvNet paper, reproduced"
ABLATIONS = (
    DECONVNET, NO_NORM, ONE_STAGE, "deconvnet-sum", "deconvnet-crf", "edeconvnet", "edeconvnet-crf",
    FCN, "fcn8s-crf",
)  # fmt: skip


def document(job: Job, plans: Sequence[Planned]) -> tuple[Document, dict[str, Any]]:
    """Measure what is not measured, and put it together.

    Returns:
        What the page shows; and the scores, as JSON values.

    Raises:
        WorkError: FCN-8s or DeconvNet, of which nearly all is made, has not finished.
        DataError: no photo that all stages have labelled.
    """
    done = [plan for plan in job.finished(plans) if plan.name in TITLES]
    job.require_networks(plans, needed=(FCN, DECONVNET))
    stages = write_stages(job, done)
    weights = {plan.name: job.weights(plan) for plan in done}
    identities = {name: identity(name, stages, weights) for name in stages}
    pipeline = _Loaded(job)
    job.label_all(identities, pipeline.predict, "labelling photos")
    steps = {f"boxes-{count:03d}": count for count in COUNTS}
    identities |= {name: {**identities[DECONVNET], "boxes": count} for name, count in steps.items()}
    job.label_all({name: identities[name] for name in steps}, pipeline.steps, "adding proposals")

    def score(name: str, titles: Mapping[str, str]) -> dict[str, Any]:
        with job.progress(f"scoring: {name}") as update:
            return score_stages(
                job.folder.measurement(name),
                job.store,
                titles,
                identities=identities,
                dataset=job.dataset,
                failures=job.unlabelled,
                bins=job.bins(),
                progress=update,
            )

    methods = score("methods", {name: TITLES[name] for name in METHODS})
    ablations = score("ablations", {name: TITLES[name] for name in ABLATIONS if name in stages})
    proposals = score("proposals", {name: f"{count} proposals" for name, count in steps.items()})
    mended = measured(
        job.folder.measurement("repairs"),
        {"identities": {name: identities[name] for name in (FCN, DECONVNET, "edeconvnet")},
         "data": job.dataset.fingerprint(), "split": job.split.name},
        lambda: repairs(job.store, FCN, DECONVNET, "edeconvnet"),
    )  # fmt: skip
    of = by_stage(methods)
    return (
        Document(
            TITLE,
            f"FCN-8s, DeconvNet, their ensemble and the CRF after them, on {job.data.name}: our "
            "measured numbers beside the published ones.",
            (
                Section(
                    "What the paper says, and what came out here",
                    (
                        "Of differences in mIoU over the whole split, those count whose 95 % "
                        "interval of a paired bootstrap over the photos leaves out 0.",
                    ),
                    checks=tuple(checks(of, by_stage(ablations), proposals, mended)),
                ),
                Section(
                    "Scores", _about(job), (*class_tables(job, methods), overall_table(methods))
                ),
                Section("What the decoder does", *_looked_into(job, plans)),
                Section("Proposals", items=proposal_items(job, proposals, steps)),
                Section(
                    "Two networks and their ensemble", items=ensemble_items(job, methods, mended)
                ),
                Section("Objects by size", items=size_items(methods)),
                Section("Near boundaries", items=trimap_items(methods)),
                Section("Ablations", _about_ablations(job), (ablation_table(ablations),)),
            ),
            missing=tuple(missing(job, plans)),
            facts=tuple(facts(job)),
            recipes=tuple(recipes(job, plans)),
            tiles=tuple(
                (score_text(one["scores"]["miou"]), f"mIoU of {one['name']}")
                for one in methods["contenders"]
            ),
        ),
        {"methods": methods, "ablations": ablations, "proposals": proposals, "repairs": mended},
    )  # fmt: skip


class _Loaded:
    """Networks of the pipeline, loaded when there is a photo to label."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._pipelines: dict[tuple[str, ...] | None, Pipeline] = {}

    def _pipeline(self, stages: tuple[str, ...] | None) -> Pipeline:
        if stages not in self._pipelines:
            self._pipelines.clear()  # one at a time, for memory's sake
            self._pipelines[stages] = load_pipeline(
                self._job.folder.path / "pipeline.yaml",
                device=self._job.runtime.device,
                precision=self._job.runtime.precision,
                stages=stages,
            )
        return self._pipelines[stages]

    def predict(self, image: RGBImage, stages: Sequence[str]) -> Mapping[str, LabelMap]:
        return self._pipeline(None).predict_of(image, stages)

    def steps(self, image: RGBImage, stages: Sequence[str]) -> Mapping[str, LabelMap]:
        """Labels of DeconvNet after so many boxes, for stages called boxes-NNN."""
        counts = {int(name.removeprefix("boxes-")): name for name in stages}
        found: dict[str, LabelMap] = {}

        def keep(_stage: str, count: int, probabilities: Scores) -> None:
            found[counts[count]] = probabilities.argmax(axis=0).astype(np.uint8)

        self._pipeline((DECONVNET,)).probabilities_in_steps(image, list(counts), keep)
        return found


def _looked_into(job: Job, plans: Sequence[Planned]) -> tuple[tuple[str, ...], tuple[Item, ...]]:
    """Text and figures of the decoder's layers."""
    items = analysis_items(job, plans)
    told = f"No photo of {job.split.name} shows an object, so there is no figure of its layers."
    return ((), items) if items else ((told,), ())


def _about(job: Job) -> tuple[str, ...]:
    told = [
        f"Ours are on {job.data.name} ({len(job.split)} photos of {job.split.name}), the published "
        "ones on VOC 2012 test: their order can be compared, not their height."
    ]
    if job.budget.minutes is not None:
        told.append(
            f"The budget, {job.budget}, is shared among the trainings; networks are small "
            "and begin from random weights. The three DeconvNets have twice the time of FCN-8s."
        )
    if job.background is None:
        told.append(
            "The data has no class called background, so DeconvNet also looks at the photo as a "
            "whole: no pixel is without an answer."
        )
    return tuple(told)


def _about_ablations(job: Job) -> tuple[str, ...]:
    told = "All are DeconvNet with one thing changed, measured against DeconvNet as it is."
    if job.budget.minutes is not None:
        told += " Networks of the ablations were trained for the same time as DeconvNet."
    return (told,)
