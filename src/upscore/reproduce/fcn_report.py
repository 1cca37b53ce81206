"""The FCN-8s report: three settings of one network, and a plain one beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from upscore.core.labels import LabelMap, RGBImage
from upscore.inference.segmenter import Segmenter
from upscore.report.document import Chart, Document, Item, Section, Sheet, Table
from upscore.report.figures.reproduction import Line, at, loss_curves
from upscore.reproduce.common_sections import (
    class_table,
    facts,
    missing,
    picture_row,
    recipes,
)
from upscore.reproduce.context import Job
from upscore.reproduce.differences import interval, score_text
from upscore.reproduce.example_selection import large_objects, spread
from upscore.reproduce.fcn_checks import checks
from upscore.reproduce.fcn_trainings import NAMES, PLAIN, SMALL_LR
from upscore.reproduce.published import EARLY_SHARE, REPORT
from upscore.reproduce.scores import by_stage, score_stages
from upscore.reproduce.trainings import Planned

TITLE = "The FCN-8s report, reproduced"
PHOTOS = 4
"""In figure 2."""
LARGE_PHOTOS = 2
"""In figure 3."""


def document(job: Job, plans: Sequence[Planned]) -> tuple[Document, dict[str, Any]]:
    """Measure what is not measured, and put it together.

    Returns:
        What the page shows; and the scores, as JSON values.

    Raises:
        WorkError: fewer than two trainings have finished.
        DataError: no photo that all networks have labelled.
    """
    job.require_networks(plans, least=2)
    done = job.finished(plans)
    identities = {plan.name: {"weights": job.weights(plan), "tile": "default"} for plan in done}
    networks: dict[str, Segmenter] = {}

    def predict(image: RGBImage, stages: Sequence[str]) -> dict[str, LabelMap]:
        for plan in done:
            if plan.name in stages and plan.name not in networks:
                networks[plan.name] = job.network(plan)
        return {name: networks[name].predict(image) for name in stages}

    job.label_all(identities, predict, "labelling photos")
    with job.progress("scoring") as update:
        content = score_stages(
            job.folder.measurement("scores"),
            job.store,
            {plan.name: plan.title for plan in done},
            identities=identities,
            dataset=job.dataset,
            failures=job.unlabelled,
            bins=job.bins(),
            progress=update,
        )
    scores = by_stage(content)
    lines = {plan.name: _line(job, plan) for plan in done if plan.name in NAMES}
    mark = _mark(job, plans, lines)
    trained = Section(
        "Settings and scores",
        _about(job),
        (_table1(job, plans), _table2(job, plans, scores, lines, mark)),
    )
    sections = [
        Section(
            "What the report says, and what came out here",
            (
                "A difference in mIoU counts where the 95 % interval of a paired bootstrap over "
                "the photos leaves out 0.",
            ),
            checks=tuple(checks(scores, lines, mark, timed=job.budget.minutes is not None)),
        ),
        trained,
        Section("Training", items=(_figure1(lines, mark),)),
        Section("Predictions", items=tuple(_pictures(job, plans, done))),
        Section(
            "Class by class",
            items=(class_table(job, content, "IoU of each class on the validation split."),),
        ),
    ]
    tiles = tuple((_score(scores, plan.name), f"mIoU of {plan.title}") for plan in plans)
    return (
        Document(
            TITLE,
            f"FCN-8s in the report's three settings and a plain model, on {job.data.name}: "
            "our measured numbers beside the published ones.",
            tuple(sections),
            missing=(*missing(job, plans), *_without_losses(job, done)),
            facts=tuple(facts(job)),
            recipes=tuple(recipes(job, plans)),
            tiles=tiles,
        ),
        content,
    )


def _without_losses(job: Job, done: Sequence[Planned]) -> list[str]:
    """A sentence on those that figure 1 lacks."""
    short = [plan.title for plan in done if not job.curve(plan).iterations]
    if not short:
        return []
    return [
        f"{', '.join(short)}: no training loss was logged, as the training was shorter than the "
        "interval of its log. Give a larger --budget."
    ]


def _score(scores: Mapping[str, Any], name: str) -> str:
    return score_text(scores[name]["scores"]["miou"] if name in scores else None)


def _about(job: Job) -> tuple[str, ...]:
    ours = f"{job.data.name} ({job.dataset.layout}, {len(job.split)} photos of {job.split.name})"
    told = [
        f"Published scores are on VOC 2012, ours on {ours}: their order can be compared, not their "
        "height."
    ]
    if job.budget.minutes is not None:
        told.append(
            f"The budget, {job.budget}, is shared among the four trainings in the ratio of "
            "the report's iterations, Exp. 3 twice as long as the others. Networks are small and "
            f"begin from random weights, so the learning rate is {SMALL_LR:g} instead of 1e-5, "
            "with a cosine schedule that each training finishes; the weight decays are the "
            "report's."
        )
    return tuple(told)


def _line(job: Job, plan: Planned) -> Line:
    curve = job.curve(plan)
    return Line(plan.title, curve.iterations, curve.hundred_iteration_mean())


def _mark(job: Job, plans: Sequence[Planned], lines: Mapping[str, Line]) -> int:
    """Iteration of the early look at the loss: 500 of 20,000, or as large a part."""
    ends = [line.x[-1] for line in lines.values() if line.x]
    step = plans[0].recipe.log_every
    share = round(EARLY_SHARE * min(ends, default=0))
    if job.budget.minutes is None and not share:
        return 500
    return max(step, step * round(share / step))


def _table1(job: Job, plans: Sequence[Planned]) -> Table:
    published = dict(zip(NAMES, REPORT, strict=True))
    rows: list[tuple[Any, ...]] = []
    for plan in plans:
        e, curve = published.get(plan.name), job.curve(plan)
        rows.append(
            (
                plan.title,
                None if e is None else f"{e.lr:g}",
                None if e is None else f"{e.weight_decay:g}",
                None if e is None else e.iterations,
                f"{plan.recipe.optim.lr:g}",
                f"{plan.recipe.optim.weight_decay:g}",
                curve.last_iteration or None,
                None if curve.seconds is None else curve.seconds / 60,
            )
        )
    return Table(
        "table1-settings",
        "Settings of the experiments: the report's Table 1, and what was trained here. The report "
        "gives none for its plain model.",
        ("experiment", "lr, report", "weight decay, report", "iterations, report", "lr",
         "weight decay", "iterations", "minutes"),
        tuple(rows),
        digits=1,
    )  # fmt: skip


def _table2(
    job: Job,
    plans: Sequence[Planned],
    scores: Mapping[str, Any],
    lines: Mapping[str, Line],
    mark: int,
) -> Table:
    published = dict(zip(NAMES, REPORT, strict=True))
    rows: list[tuple[Any, ...]] = []
    for plan in plans:
        e, found, line = published.get(plan.name), scores.get(plan.name), lines.get(plan.name)
        known = found["scores"] if found else {}
        rows.append(
            (
                plan.title,
                None if e is None else e.miou,
                known.get("miou"),
                interval(found),
                known.get("pixel_accuracy"),
                known.get("mean_accuracy"),
                None if line is None else at(line, mark),
                None if e is None else e.last,
                None if line is None or not line.y else line.y[-1],
            )
        )
    return Table(
        "table2-scores",
        f"Validation mIoU of the report on VOC 2012 beside ours on {job.data.name}; difference of "
        "ours to the first row with its 95 % interval; training loss (mean of 100 iterations) "
        f"after {mark:,} iterations and at the end.",
        ("model", "mIoU, report", "mIoU", "difference", "pixel accuracy", "mean accuracy",
         f"loss at {mark:,}", "last loss, report", "last loss"),
        tuple(rows),
        digits=4,
        best=frozenset({2, 4, 5}),
    )  # fmt: skip


def _figure1(lines: Mapping[str, Line], mark: int) -> Chart:
    drawn = list(lines.values())
    return Chart(
        "figure1-loss",
        "Training loss of the three experiments, mean over 100 iterations. The dotted line marks "
        f"where the text looks at the first descent ({mark:,} iterations, where the report has "
        "500 of 20,000); the last symbols are the final level.",
        lambda theme: loss_curves(drawn, mark=mark, theme=theme),
    )


def _pictures(job: Job, plans: Sequence[Planned], done: Sequence[Planned]) -> list[Item]:
    shares = job.shares()
    items: list[Item] = []
    places = spread(shares, PHOTOS)
    if job.photo is not None:
        places = [job.photo, *[place for place in places if place != job.photo]][:PHOTOS]
    three = [plan for plan in plans if plan.name in NAMES]
    items.append(
        Sheet(
            "figure2-predictions",
            "Photo, truth and the predictions of the three experiments. The photos stand evenly "
            "spread in the split, among those with two classes or more.",
            tuple(
                picture_row(job, place, {plan.name: plan.title for plan in three})
                for place in places
            ),
            job.dataset.labels,
        )
    )
    wanted = _cat(job, shares) if job.label is None else job.label
    large = large_objects(shares, LARGE_PHOTOS, background=job.background, wanted=wanted)
    if job.photo is not None:
        chosen = job.label
        large = [(job.photo, -1 if chosen is None else chosen)]
    first = next((plan for plan in done if plan.name == "exp3"), None)
    first = first or next((plan for plan in done if plan.name in NAMES), done[0])
    title = f"FCN-8s ({first.title})"
    items.append(
        Sheet(
            "figure3-plain-and-fcn8s",
            f"{PLAIN} above {title}: does the plain model lose the outline? Photos with one large "
            "object, of the truth's largest"
            + (" cats." if _cat(job, shares) is not None and job.label is None else "."),
            tuple(
                picture_row(job, place, {stage: name})
                for place, _ in large
                for stage, name in ((PLAIN, PLAIN), (first.name, title))
            ),
            job.dataset.labels,
        )
    )
    return items


def _cat(job: Job, shares: Sequence[Mapping[str, float]]) -> int | None:
    """The class of the report's own figure 3, where the data has one."""
    names = job.dataset.labels.names
    if "cat" in names and any(str(names.index("cat")) in of for of in shares):
        return names.index("cat")
    return None
