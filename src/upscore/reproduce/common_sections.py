"""Parts of a page that both reproductions share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from upscore.core.labels import RGBImage
from upscore.core.parallel.processes import num_cores
from upscore.core.plural import plural
from upscore.core.runtime import command_line, cpu_name, installed_version
from upscore.report.document import Document, Row, Section, Table
from upscore.report.score_tables import ABSENT
from upscore.reproduce.context import Context, read_log
from upscore.training.shown import overlap_warning

LISTED = 5
"""Largest number of unlabelled photos that are named one by one."""


def class_table(context: Context, contenders: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """IoU by class, one column a network; the caption names classes without a pixel."""
    columns = [[*map(shown_iou, one["per_class"]), one["scores"]["miou"]] for one in contenders]
    pixels = [item["pixels"] for item in contenders[0]["per_class"]]
    names = (*context.dataset.labels.names, "mean")
    return Table(
        "classes",
        caption + absent_classes(context, contenders),
        ("class", *(one["name"] for one in contenders), "pixels"),
        tuple(zip(names, *columns, [*pixels, sum(pixels)], strict=True)),
    )


def shown_iou(item: Mapping[str, Any]) -> float | None:
    """IoU of one of ``per_class``; None without truth, where 0 says nothing of the class itself."""
    return item["iou"] if item["pixels"] else None


def absent_classes(context: Context, contenders: Sequence[Mapping[str, Any]]) -> str:
    """What is said of classes without a pixel, for the end of a caption; empty where all occur."""
    of = zip(context.dataset.labels.names, contenders[0]["per_class"], strict=True)
    absent = [name for name, item in of if not item["pixels"]]
    return " " + ABSENT.format(", ".join(absent)) if absent else ""


def picture_row(context: Context, place: int, stages: Mapping[str, str]) -> Row:
    """Photo, truth, and the label maps of stages under their titles."""
    sample, colorize = context.split.read(place), context.dataset.labels.colorize
    shots: list[tuple[str, RGBImage | None]] = [
        ("photo", sample.image),
        ("truth", colorize(sample.labels)),
    ]
    for stage, title in stages.items():
        labels = context.label_map(stage, place)
        shots.append((title, None if labels is None else colorize(labels)))
    return Row(sample.name, tuple(shots), of_data=frozenset({0, 1}))


def document(
    context: Context,
    *,
    title: str,
    lead: str,
    sections: Sequence[Section],
    tiles: Sequence[tuple[str, str]],
    missing: Sequence[str] = (),
) -> Document:
    """The page, with what every page says of missing parts, and of how it was made.

    Args:
        missing: further sentences on what is missing.
    """
    recipes = []
    for plan in context.plans:
        path = context.folder.run(plan.name) / "recipe.yaml"
        text = path.read_text("utf-8") if path.exists() else plan.recipe.to_yaml()
        recipes.append((plan.title, text))
    return Document(
        title,
        lead,
        tuple(sections),
        missing=(*_missing(context), *missing),
        facts=tuple(_facts(context)),
        recipes=tuple(recipes),
        tiles=tuple(tiles),
        budget=_budget(context),
    )


def _budget(context: Context) -> str:
    """What the trainings were given and used, and the machine: one sentence."""
    budget, num = context.budget, len(context.plans)
    unit = (budget.unit or "").removesuffix("s" if budget.amount == 1 else "")
    given = (
        f"{context.given_budget} for each of {plural(num, 'training')}"
        if context.given_budget
        else f"the published schedules for {plural(num, 'training')}"
        if budget.papers
        else f"{budget.amount:,g} {unit} for {plural(num, 'training')} together"
    )
    iterations = samples = 0
    seconds = 0.0
    for plan in context.done:
        run = context.folder.run(plan.name)
        stages = plan.recipe.stage_recipes() or [plan.recipe]
        folders = [run / "stages" / stage.name for stage in plan.recipe.stages[:-1]]
        for recipe, folder in zip(stages, [*folders, run], strict=True):
            curve = read_log(folder)
            iterations += curve.last_iteration
            samples += curve.last_iteration * recipe.batch.size * recipe.batch.accumulate
            seconds += curve.seconds or 0.0
    used = (
        f"{plural(iterations, 'iteration')} and {plural(samples, 'sample')} in "
        f"{seconds / 60:,.1f} minutes"
    )
    runtime = context.runtime
    machine = f"{cpu_name()}, {plural(num_cores(), 'core')}, {runtime.device}, {runtime.precision}"
    return f"Budget: {given}, which were {used} ({machine})."


def _missing(context: Context) -> Iterator[str]:
    """Sentences on missing trainings and photos."""
    titles = {plan.name: plan.title for plan in context.plans}
    for name, text in context.failures.items():
        yield f"{titles[name]} is missing: {text}. The same command tries it again."
    for place, text in list(context.unlabelled.items())[:LISTED]:
        yield f"{context.split.pairs[place].name} counts for nothing: {text}"
    if len(context.unlabelled) > LISTED:
        yield f"{len(context.unlabelled) - LISTED} more photos could not be segmented."


def _facts(context: Context) -> Iterator[tuple[str, str]]:
    """Command, data, budget, machine and versions, for the end of the page."""
    splits = ", ".join(f"{name} {len(pairs)}" for name, pairs in context.dataset.splits.items())
    if (command := command_line()) is not None:
        yield "command", command
    yield "data", f"{context.data} ({context.dataset.layout}; {splits})"
    yield "fingerprint of the data", context.dataset.fingerprint()
    yield "classes", str(len(context.dataset.labels))
    yield "trained on", f"{context.train_split}, {len(context.train)} photos"
    yield "measured on", f"{context.split.name}, {len(context.split)} photos"
    warning = overlap_warning(context.train, context.split)
    if warning is not None:
        yield "not fair", warning
    yield "budget", str(context.budget)
    yield "machine", f"{cpu_name()}, {context.runtime.device}, {context.runtime.precision}"
    yield "versions", f"upscore {installed_version('upscore')}, torch {installed_version('torch')}"
