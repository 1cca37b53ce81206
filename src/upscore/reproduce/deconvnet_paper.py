"""The DeconvNet paper: its table, its figures, and the experiments that its text speaks of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from upscore.core.draw import error_map
from upscore.core.labels import VOC_LABELS, LabelMap, RGBImage
from upscore.errors import UpscoreError
from upscore.inference.pipeline import Pipeline, load_pipeline
from upscore.inference.run_network import find_model
from upscore.inference.segmenter import Scores
from upscore.report.document import Chart, Check, Document, Item, Row, Section, Sheet, Table
from upscore.report.reproduction_figures import Line, bars_chart, lines_chart
from upscore.reproduce.activations import analyse, settings_of
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
from upscore.reproduce.job import Job
from upscore.reproduce.photos import large_objects, spread
from upscore.reproduce.published import PAPER_TABLE, VOC_COLUMNS
from upscore.reproduce.repairs import KINDS, repairs
from upscore.reproduce.scores import by_stage, measured, score_stages
from upscore.reproduce.shared_parts import facts, interval, missing, picture_row, recipes
from upscore.reproduce.trainings import Planned

TITLE = "The DeconvNet paper, reproduced"
COUNTS = (1, 5, 10, 20, 50)
"""Proposals, as in figure 6 of the paper."""
STEP_PHOTOS = 3
NEAR = 5
"""Pixels from a boundary that the text looks at."""
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
                    checks=tuple(_checks(of, by_stage(ablations), proposals, mended)),
                ),
                Section("Scores", _about(job), (*_class_tables(job, methods), _scores(methods))),
                Section("What the decoder does", items=tuple(_analysis(job, plans))),
                Section("Proposals", items=tuple(_proposals(job, proposals, steps))),
                Section("Two networks and their ensemble", items=tuple(_ensemble(job, methods,
                                                                                 mended))),
                Section("Objects by size", items=tuple(_sizes(methods))),
                Section("Near boundaries", items=tuple(_trimap(methods))),
                Section("Ablations", _about_ablations(job), (_ablations(ablations),)),
            ),
            missing=tuple(missing(job, plans)),
            facts=tuple(facts(job)),
            recipes=tuple(recipes(job, plans)),
            tiles=tuple(
                (_text(one["scores"]["miou"]), f"mIoU of {one['name']}")
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


def _class_tables(job: Job, methods: Mapping[str, Any]) -> list[Item]:
    """IoU in per cent by class, one row a method: with the paper's rows where classes are VOC's."""
    voc = job.dataset.labels.names == VOC_LABELS.names
    head = ("method", *(VOC_COLUMNS if voc else job.dataset.labels.names), "mean")
    ours: list[tuple[Any, ...]] = []
    for one in methods["contenders"]:
        cells = [item["iou"] for item in one["per_class"]]
        ours.append((one["name"], *map(_percent, cells), _percent(one["scores"]["miou"])))
    paper: list[tuple[Any, ...]] = [
        (row.name + ("" if row.seen else " *"), *row.cells, row.mean) for row in PAPER_TABLE
    ]
    star = "Cells of rows with * are from memory, and their means have been checked."
    absent = [
        name
        for name, item in zip(
            job.dataset.labels.names, methods["contenders"][0]["per_class"], strict=True
        )
        if not item["pixels"]
    ]
    lost = f" Not in the truth of this split: {', '.join(absent)}." if absent else ""
    best = frozenset(range(1, len(head)))
    if voc:
        return [
            Table(
                "table1-classes",
                "IoU in per cent by class, in the paper's order: its rows as published (VOC 2012 "
                f"test), then ours ({job.split.name}). {star}{lost}",
                head,
                (*paper, *ours),
                published=frozenset(range(len(paper))),
                digits=1,
                best=best,
            )
        ]
    return [
        Table(
            "table1-classes",
            f"IoU in per cent by class, measured here on {job.split.name}.{lost}",
            head,
            tuple(ours),
            digits=1,
            best=best,
        ),
        Table(
            "table1-published",
            "The paper's table 1, IoU in per cent on VOC 2012 test, as published. The classes here "
            f"are others, so its rows stand apart. {star}",
            ("method", *VOC_COLUMNS, "mean"),
            tuple(paper),
            published=frozenset(range(len(paper))),
            digits=1,
        ),
    ]


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _scores(methods: Mapping[str, Any]) -> Table:
    first = methods["contenders"][0]["name"]
    return Table(
        "methods",
        f"Overall scores; difference of mIoU to {first} with its 95 % interval.",
        ("method", "mIoU", "difference", "pixel accuracy", "mean accuracy", "boundary IoU",
         "boundary F"),
        tuple(
            (
                one["name"],
                one["scores"]["miou"],
                interval(one),
                one["scores"]["pixel_accuracy"],
                one["scores"]["mean_accuracy"],
                one["boundary_iou"]["mean"],
                one["boundary_f"]["mean"],
            )
            for one in methods["contenders"]
        ),
        digits=4,
        best=frozenset({1, 3, 4, 5, 6}),
    )  # fmt: skip


def _analysis(job: Job, plans: Sequence[Planned]) -> list[Item]:
    plan = next(plan for plan in plans if plan.name == DECONVNET)
    shares = job.shares()
    if job.photo is not None:
        of = {int(key): share for key, share in shares[job.photo].items()}
        things = {key: share for key, share in of.items() if key != job.background} or of
        label = job.label if job.label is not None else max(things, key=lambda key: things[key])
        place = job.photo
    else:
        found = large_objects(shares, 1, background=job.background, wanted=job.label)
        if not found:
            return []
        ((place, label),) = found
    sample = job.split.read(place)
    recipe = plan.recipe.model_dump(mode="json", by_alias=True)
    growth, square, size = settings_of(recipe)
    name = job.dataset.labels.names[label]
    return [
        Sheet(
            "figure-activations",
            f"Activations of DeconvNet's unpooling and deconvolution layers, coarse to fine, for "
            f"{name} in {sample.name}: of each layer the channel that tells the object best from "
            "what is around it. Unpooling puts values back where they came from and leaves the "
            "rest empty; deconvolution makes them dense. Bright is high.",
            analyse(
                find_model(job.folder.run(DECONVNET)),
                sample.image,
                sample.labels,
                label,
                growth=growth,
                square=square,
                size=size,
            ),
        )
    ]


def _proposals(job: Job, content: Mapping[str, Any], steps: Mapping[str, int]) -> list[Item]:
    of = by_stage(content)
    rows = [
        (count, of[name]["scores"]["miou"], interval(of[name]),
         of[name]["scores"]["pixel_accuracy"])
        for name, count in steps.items()
    ]  # fmt: skip
    line = Line("DeconvNet", tuple(map(float, steps.values())), tuple(row[1] for row in rows))
    places = spread(job.shares(), STEP_PHOTOS)
    if job.photo is not None:
        places = [job.photo, *[place for place in places if place != job.photo]][:STEP_PHOTOS]
    titles = {name: f"{count} proposal{'s' * (count > 1)}" for name, count in steps.items()}
    return [
        Sheet(
            "figure-proposals",
            "DeconvNet's answer as proposals are added, the best ones first.",
            tuple(picture_row(job, place, titles) for place in places),
            job.dataset.labels,
        ),
        Chart(
            "figure-proposals-miou",
            f"mIoU of DeconvNet against the number of proposals, on {job.split.name}. The paper "
            "has no numbers for this; its text finds 50 enough.",
            lambda theme: lines_chart(
                [("", [line])], x_name="proposals of a photo", y_name="mIoU", theme=theme,
                whole=True,
            ),
        ),
        Table(
            "proposals",
            "mIoU after so many of the best proposals, and the difference to one proposal.",
            ("proposals", "mIoU", "difference", "pixel accuracy"),
            tuple(rows),
            digits=4,
        ),
    ]  # fmt: skip


def _ensemble(job: Job, methods: Mapping[str, Any], mended: Mapping[str, Any]) -> list[Item]:
    total = max(1, sum(map(sum, mended["pixels"])))
    kinds = [
        kind.replace("the first", "FCN-8s").replace("the second", "DeconvNet") for kind in KINDS
    ]
    rows = tuple(
        (
            kind,
            100 * (right + wrong) / total,
            100 * right / (right + wrong) if right + wrong else None,
            right + wrong,
        )
        for kind, (right, wrong) in zip(kinds, mended["pixels"], strict=True)
    )
    names = {FCN: 0, DECONVNET: 1, "edeconvnet": 3}
    wins = _wins(methods, names)
    stages = {name: TITLES[name] for name in (FCN, DECONVNET, "edeconvnet")}
    places = {image["name"]: image["miou"] for image in methods["images"]}
    by_name = {pair.name: place for place, pair in enumerate(job.split.pairs)}
    known = [
        (by_name[name], values[0], values[1])
        for name, values in places.items()
        if values[0] is not None and values[1] is not None
    ]
    shown: list[Row] = []
    if known:
        place, _, _ = max(known, key=lambda item: item[2] - item[1])
        shown.append(_named(picture_row(job, place, stages), "DeconvNet wins most"))
        place, _, _ = min(known, key=lambda item: item[2] - item[1])
        shown.append(_named(picture_row(job, place, stages), "FCN-8s wins most"))
    repaired = sorted(
        mended["photos"], key=lambda one: one["spoilt"] - one["mended"]
    )[:2]  # fmt: skip
    return [
        Table(
            "repairs",
            "Pixels by which of the two networks is right, and how many of each kind EDeconvNet "
            "gets right. Those that one network gets wrong and the ensemble right are mended.",
            ("pixels", "% of all", "% right in EDeconvNet", "number"),
            rows,
            digits=1,
        ),
        Table(
            "wins",
            "Photos and classes on which each of the three has the highest score of its own; equal "
            "ones count for nobody.",
            ("method", "photos", "classes"),
            wins,
        ),
        Sheet(
            "figure-wins",
            "The photos with the largest difference between the two networks, either way.",
            tuple(shown),
            job.dataset.labels,
        ),
        Sheet(
            "figure-repairs",
            "The photos of which the ensemble mends most: wrong pixels are orange.",
            tuple(_errors(job, one["place"], stages) for one in repaired),
        ),
    ]


def _named(row: Row, title: str) -> Row:
    return Row(f"{title}: {row.title}", row.shots)


def _wins(methods: Mapping[str, Any], names: Mapping[str, int]) -> tuple[tuple[Any, ...], ...]:
    photos, classes = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    found = [
        (photos, [image["miou"][place] for place in names.values()]) for image in methods["images"]
    ]
    per_class = [methods["contenders"][place]["per_class"] for place in names.values()]
    found += [(classes, [item["iou"] for item in items]) for items in zip(*per_class, strict=True)]
    for counts, values in found:
        known = [-1.0 if value is None else value for value in values]
        if known.count(max(known)) == 1:
            counts[list(names)[known.index(max(known))]] += 1
    return tuple((TITLES[name], photos[name], classes[name]) for name in names)


def _errors(job: Job, place: int, stages: Mapping[str, str]) -> Row:
    sample = job.split.read(place)
    shots: list[tuple[str, RGBImage | None]] = [
        ("photo", sample.image),
        ("truth", job.dataset.labels.colorize(sample.labels)),
    ]
    for stage, title in stages.items():
        picture: RGBImage | None
        try:
            picture = error_map(sample.labels, job.store.read(stage, place))
        except UpscoreError:
            picture = None
        shots.append((f"errors of {title}", picture))
    return Row(sample.name, tuple(shots))


def _sizes(methods: Mapping[str, Any]) -> list[Item]:
    contenders = methods["contenders"]
    groups = contenders[0]["sizes"]["by_group"]
    names = tuple(f"{group['name']} ({group['objects']:,})" for group in groups)
    values = [
        (one["name"], tuple(group["miou"] for group in one["sizes"]["by_group"]))
        for one in contenders
    ]
    about = f"Objects ({methods['objects_from']}) by {contenders[0]['sizes']['groups']}"
    return [
        Table(
            "sizes",
            f"mIoU by the size of objects. {about}; their numbers stand in brackets. Means are "
            "over the classes with objects in the group.",
            ("method", *names),
            tuple((name, *of) for name, of in values),
            best=frozenset(range(1, len(names) + 1)),
        ),
        Chart(
            "figure-sizes",
            "mIoU by the size of objects.",
            lambda theme: bars_chart(names, values, y_name="mIoU", theme=theme),
        ),
    ]


def _trimap(methods: Mapping[str, Any]) -> list[Item]:
    contenders = methods["contenders"]
    widths = tuple(band["width"] for band in contenders[0]["trimap"])

    def lines(key: str) -> list[Line]:
        return [
            Line(one["name"], widths, tuple(band[key] for band in one["trimap"]))
            for one in contenders
        ]

    panels = [("pixel accuracy", lines("pixel_accuracy")), ("mIoU", lines("miou"))]
    return [
        Chart(
            "figure-trimap",
            "Pixel accuracy and mIoU of the pixels within 1 to 40 pixels of a true boundary "
            "(trimap), for every method.",
            lambda theme: lines_chart(
                panels, x_name="pixels from a true boundary, at most", y_name="", theme=theme,
                every=5,
            ),
        ),
        Table(
            "trimap",
            "Pixel accuracy within so many pixels of a true boundary.",
            ("pixels", *(one["name"] for one in contenders)),
            tuple(
                (width, *(one["trimap"][row]["pixel_accuracy"] for one in contenders))
                for row, width in enumerate(widths)
            ),
            digits=4,
        ),
    ]  # fmt: skip


def _about_ablations(job: Job) -> tuple[str, ...]:
    told = "All are DeconvNet with one thing changed, measured against DeconvNet as it is."
    if job.budget.minutes is not None:
        told += " Networks of the ablations were trained for the same time as DeconvNet."
    return (told,)


def _ablations(content: Mapping[str, Any]) -> Table:
    return Table(
        "ablations",
        "mIoU of ablations, and of the CRF on and off after each method; difference to DeconvNet "
        "with its 95 % interval.",
        ("method", "mIoU", "difference", "pixel accuracy", "boundary IoU"),
        tuple(
            (
                one["name"],
                one["scores"]["miou"],
                interval(one),
                one["scores"]["pixel_accuracy"],
                one["boundary_iou"]["mean"],
            )
            for one in content["contenders"]
        ),
        digits=4,
    )


def _checks(
    of: Mapping[str, Any],
    ablations: Mapping[str, Any],
    proposals: Mapping[str, Any],
    mended: Mapping[str, Any],
) -> list[Check]:
    steps = [one["scores"]["miou"] for one in proposals["contenders"]]
    small = {name: of[name]["sizes"]["by_group"][0]["miou"] for name in (FCN, DECONVNET)}
    near = {name: of[name]["trimap"][NEAR - 1]["miou"] for name in (FCN, DECONVNET)}
    one_wrong = [mended["pixels"][kind] for kind in (1, 2)]
    right, wrong = (sum(part[k] for part in one_wrong) for k in (0, 1))
    share = right / (right + wrong) if right + wrong else None
    return [
        Check(
            "DeconvNet is better than FCN-8s (69.6 against 62.2 on VOC 2012 test).",
            f"DeconvNet against FCN-8s: {interval(of[DECONVNET])}",
            _surely(of[DECONVNET], above=True),
        ),
        Check(
            "The ensemble is better than each of its members (71.7 against 69.6 and 62.2).",
            f"EDeconvNet against FCN-8s: {interval(of['edeconvnet'])}; against DeconvNet: "
            f"{interval(ablations['edeconvnet'])}",
            _both(
                _surely(of["edeconvnet"], above=True),
                _surely(ablations["edeconvnet"], above=True),
            ),
        ),
        Check(
            "The gain comes from networks that are wrong in different places.",
            f"of the pixels that one of the two gets wrong, {_text(share)} are right in the "
            "ensemble",
            None if share is None else share > 0.5,
        ),
        Check(
            "The CRF adds a little (0.9 points to DeconvNet).",
            f"DeconvNet+CRF against DeconvNet: {interval(ablations['deconvnet-crf'])}",
            _surely(ablations["deconvnet-crf"], above=True),
        ),
        Check(
            "Results improve as proposals are added.",
            "mIoU after " + ", ".join(
                f"{count}: {_text(value)}" for count, value in zip(COUNTS, steps, strict=True)
            ),
            _surely(proposals["contenders"][-1], above=True),
        ),
        Check(
            "Instance-wise prediction helps small objects.",
            f"mIoU of small objects: DeconvNet {_text(small[DECONVNET])}, FCN-8s "
            f"{_text(small[FCN])}",
            _greater(small[DECONVNET], small[FCN]),
        ),
        Check(
            "DeconvNet keeps boundaries that FCN-8s blurs.",
            f"mIoU within {NEAR} pixels of a boundary: DeconvNet {_text(near[DECONVNET])}, FCN-8s "
            f"{_text(near[FCN])}",
            _greater(near[DECONVNET], near[FCN]),
        ),
        Check(
            "Without batch normalisation it hardly trains.",
            f"without it against DeconvNet: {_told(ablations.get(NO_NORM))}",
            _surely(ablations.get(NO_NORM), above=False),
        ),
        Check(
            "Training in two stages helps.",
            f"stage 2 only against DeconvNet: {_told(ablations.get(ONE_STAGE))}",
            _surely(ablations.get(ONE_STAGE), above=False),
        ),
    ]  # fmt: skip


def _surely(contender: Mapping[str, Any] | None, *, above: bool) -> bool | None:
    """Whether a difference to the first is above (or below) 0; None where that is not sure."""
    difference = None if contender is None else contender["difference"]
    if difference is None or difference["low"] >= difference["high"]:
        return None
    if difference["low"] <= 0 <= difference["high"]:
        return None
    return bool((difference["low"] > 0) == above)


def _both(first: bool | None, second: bool | None) -> bool | None:
    if first is False or second is False:
        return False
    return None if first is None or second is None else True


def _greater(value: float | None, other: float | None) -> bool | None:
    return None if value is None or other is None or value == other else value > other


def _told(contender: Mapping[str, Any] | None) -> str:
    return (interval(contender) if contender else None) or "missing"


def _text(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.3f}"
