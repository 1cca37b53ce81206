"""Figures of the DeconvNet paper's reproduction that show photos, and the tables beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from upscore.core.draw import error_map
from upscore.core.labels import RGBImage
from upscore.errors import UpscoreError
from upscore.inference.run_model import find_model
from upscore.report.document import Chart, Item, Row, Sheet, Table
from upscore.report.figures.reproduction import Line, lines_chart
from upscore.reproduce.activations import analyse, settings_of
from upscore.reproduce.common_sections import picture_row
from upscore.reproduce.context import Job
from upscore.reproduce.deconvnet_stages import DECONVNET, FCN, METHODS, TITLES
from upscore.reproduce.differences import interval
from upscore.reproduce.example_selection import large_objects, spread
from upscore.reproduce.repairs import KINDS
from upscore.reproduce.scores import by_stage
from upscore.reproduce.trainings import Planned

STEP_PHOTOS = 3
"""In the figure of proposals."""


def analysis_items(job: Job, plans: Sequence[Planned]) -> tuple[Item, ...]:
    """Activations of the decoder for one object; nothing where no photo has one."""
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
            return ()
        ((place, label),) = found
    sample = job.split.read(place)
    recipe = plan.recipe.model_dump(mode="json", by_alias=True)
    growth, square, size = settings_of(recipe)
    name = job.dataset.labels.names[label]
    return (
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
        ),
    )


def proposal_items(
    job: Job, content: Mapping[str, Any], steps: Mapping[str, int]
) -> tuple[Item, ...]:
    """Answers and mIoU as proposals are added; ``steps`` are their numbers by stage."""
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
    return (
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
    )  # fmt: skip


def ensemble_items(
    job: Job, methods: Mapping[str, Any], mended: Mapping[str, Any]
) -> tuple[Item, ...]:
    """Which network is right where, and what their ensemble makes of it."""
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
    names = {name: METHODS.index(name) for name in (FCN, DECONVNET, "edeconvnet")}
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
    return (
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
    )


def _named(row: Row, title: str) -> Row:
    return replace(row, title=f"{title}: {row.title}")


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
    return Row(sample.name, tuple(shots), of_data=frozenset(range(len(shots))))
