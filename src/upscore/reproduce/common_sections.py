"""Parts of a page that both reproductions share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from upscore.core.labels import RGBImage
from upscore.core.parallel.processes import num_cores
from upscore.core.plural import plural
from upscore.core.runtime import command_line, cpu_name, installed_version
from upscore.report.document import Document, Row, Section, Table
from upscore.report.page_words import WORDS, Language
from upscore.report.score_tables import absent_note
from upscore.reproduce.context import Context, read_log
from upscore.training.shown import overlap_warning

LISTED = 5
"""Largest number of unlabelled photos that are named one by one."""


def class_table(context: Context, contenders: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """IoU by class, one column a network; the caption names classes without a pixel."""
    columns = [
        [*(item["iou"] for item in one["per_class"]), one["scores"]["miou"]] for one in contenders
    ]
    pixels = [item["pixels"] for item in contenders[0]["per_class"]]
    names = (*context.dataset.labels.names, "mean")
    return Table(
        "classes",
        caption + absent_classes(context, contenders),
        ("class", *(one["name"] for one in contenders), "pixels"),
        tuple(zip(names, *columns, [*pixels, sum(pixels)], strict=True)),
    )


def absent_classes(context: Context, contenders: Sequence[Mapping[str, Any]]) -> str:
    """What is said of classes without a pixel, for the end of a caption; empty where all occur."""
    pixels = (item["pixels"] for item in contenders[0]["per_class"])
    note = absent_note(context.dataset.labels.names, pixels)
    return f" {note}" if note else ""


def picture_row(
    context: Context, place: int, stages: Mapping[str, str], language: Language = "en"
) -> Row:
    """Photo, truth, and the label maps of stages under their titles."""
    words = WORDS[language]
    sample, colorize = context.split.read(place), context.dataset.labels.colorize
    shots: list[tuple[str, RGBImage | None]] = [
        (words["photo"], sample.image),
        (words["truth"], colorize(sample.labels)),
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
    budget: str | None = None,
    language: Language = "en",
) -> Document:
    """The page, with what every page says of missing parts, and of how it was made.

    Args:
        missing: further sentences on what is missing.
        budget: the first line; None: what the trainings were given and used, in English; empty:
            none, as the lead says it.
        language: of all the text.
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
        missing=(*_missing(context, WORDS[language]), *missing),
        facts=tuple(_facts(context, WORDS[language])),
        recipes=tuple(recipes),
        tiles=tuple(tiles),
        budget=_budget(context) if budget is None else budget,
        language=language,
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
        for recipe, folder in context.stage_runs(plan):
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


def _missing(context: Context, words: Mapping[str, str]) -> Iterator[str]:
    """Sentences on missing trainings and photos."""
    titles = {plan.name: plan.title for plan in context.plans}
    for name, text in context.failures.items():
        yield words["missing training"].format(title=titles[name], error=text)
    for place, text in list(context.unlabelled.items())[:LISTED]:
        yield words["missing photo"].format(name=context.split.pairs[place].name, error=text)
    if len(context.unlabelled) > LISTED:
        yield words["missing photos"].format(num=len(context.unlabelled) - LISTED)


def _facts(context: Context, words: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Command, data, budget, machine and versions, for the end of the page."""
    splits = ", ".join(f"{name} {len(pairs)}" for name, pairs in context.dataset.splits.items())
    if (command := command_line()) is not None:
        yield words["command"], command
    yield words["data"], f"{context.data} ({context.dataset.layout}; {splits})"
    yield words["fingerprint"], context.dataset.fingerprint()
    yield words["classes"], str(len(context.dataset.labels))
    for name, split, of in (
        ("trained", context.train_split, context.train),
        ("measured", context.split.name, context.split),
    ):
        yield words[name], words["photos"].format(split=split, num=len(of))
    warning = overlap_warning(context.train, context.split)
    if warning is not None:
        yield words["unfair"], warning
    yield words["budget"], str(context.budget)
    yield words["machine"], f"{cpu_name()}, {context.runtime.device}, {context.runtime.precision}"
    yield (
        words["versions"],
        f"upscore {installed_version('upscore')}, torch {installed_version('torch')}",
    )
