"""A whole reproduction: check, train, measure, write. What is there already is not done again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from upscore.core.failures import tell_failures
from upscore.core.files import write_json, write_text
from upscore.core.runtime import describe_start, select_runtime
from upscore.core.settings import parse_assignment
from upscore.data import open_data
from upscore.errors import DataError, WorkError
from upscore.report.document import Chart, Document, Sheet, Table, without_data
from upscore.report.document_files import write_document
from upscore.report.page import document_page
from upscore.reproduce import deconvnet_paper, deconvnet_stages, fcn_report, fcn_trainings
from upscore.reproduce.budget import Budget
from upscore.reproduce.context import Job, Progress
from upscore.reproduce.folder import Folder
from upscore.reproduce.trainings import Planned, recipes_of, train_missing
from upscore.training.setup import MakeValidate
from upscore.training.trainer import Status

FORMAT_VERSION = 1
LARGEST_PAGE = 15_000_000
"""Bytes."""

SourceName = Literal["fcn-report", "deconvnet-paper"]


@dataclass(frozen=True)
class Source:
    """What is reproduced.

    Attributes:
        trainings: every one of them, with all settings.
        prepare: makes what they need beside the data.
        document: measures what they have made, and says what the page shows.
    """

    trainings: Callable[[Job], list[Planned]]
    prepare: Callable[[Job], None]
    document: Callable[[Job, Sequence[Planned]], tuple[Document, dict[str, Any]]]


SOURCES: Mapping[str, Source] = {
    "fcn-report": Source(fcn_trainings.trainings, lambda _job: None, fcn_report.document),
    "deconvnet-paper": Source(
        deconvnet_stages.trainings, deconvnet_stages.prepare, deconvnet_paper.document
    ),
}


@dataclass(frozen=True)
class Hooks:
    """What comes from outside: training imports no metric, and no room prints.

    Attributes:
        make_validate: as :func:`upscore.training.setup.train` takes it.
        begin: called before each training; what it returns is called as that goes on.
        progress: a bar with a description.
    """

    make_validate: MakeValidate
    begin: Callable[[Planned], Callable[[Status], None]]
    progress: Progress


@dataclass(frozen=True)
class Made:
    """What came of it.

    Attributes:
        page: the page.
        missing: what it lacks; empty when all is there.
    """

    page: Path
    missing: tuple[str, ...]


def reproduce(
    source: SourceName,
    *,
    data: Path,
    out: Path,
    budget: str,
    hooks: Hooks,
    split: str = "val",
    assignments: Sequence[str] = (),
    photo: str | None = None,
    class_name: str | None = None,
    show_data: bool = True,
    seeds: Sequence[int] = (),
    ablate: bool = False,
) -> Made:
    """Train, measure and write tables, figures, page and results.json below ``out``.

    Args:
        budget: ``papers``, or ``minutes=N`` or ``iterations=N`` for all trainings together.
        split: what is validated and measured on.
        assignments: ``KEY=VALUE`` settings of people's own for every training.
        photo, class_name: what figures show; None chooses by the truth.
        show_data: whether page and figures hold photos and true masks.
        seeds: of fcn-report: every setting is trained with each of them.
        ablate: of fcn-report: train the networks between the plain one and FCN-8s as well.

    Raises:
        SettingsError: settings that cannot be, a data set of one class or without the splits, or
            ``out`` is of something else.
        InterruptedWorkError: a training was stopped; the same call goes on with it.
        WorkError: too few trainings have finished for any table.
        OutputError: ``out`` cannot be written.
    """
    given = Budget.parse(budget)
    dataset = open_data(data)
    if len(dataset.labels) < 2:
        raise DataError(
            f"{dataset.root}: has one class, {dataset.labels.names[0]!r}, so that there is nothing "
            "to tell apart; a reproduction wants two or more"
        )
    job = Job(
        data=data,
        dataset=dataset,
        split=dataset.split(split),
        folder=Folder(out),
        budget=given,
        assignments=tuple(assignments),
        runtime=select_runtime(*_device(assignments)),
        progress=hooks.progress,
        train_split=_train_split(assignments),
        seeds=tuple(seeds),
        ablate=ablate,
    )
    dataset.split(job.train_split)
    chosen = SOURCES[source]
    plans = chosen.trainings(job)
    plan = {
        "source": source,
        "budget": str(given),
        "split": split,
        "data": {"layout": dataset.layout, "fingerprint": dataset.fingerprint()},
        "recipes": recipes_of(plans),
    }
    job.folder.refuse_other(plan)
    job.choose(photo, class_name)
    job.folder.begin(plan)
    chosen.prepare(job)
    job.failures = train_missing(
        plans, job.folder, data=data, make_validate=hooks.make_validate, begin=hooks.begin
    )
    document, scores = chosen.document(job, plans)
    if not show_data:
        document = without_data(document)
    write_document(document, out)
    page = out / "page.html"
    text = document_page(document)
    if len(text.encode()) > LARGEST_PAGE:
        raise WorkError(f"{page}: would have {len(text.encode()):,} bytes, a fault of upscore")
    write_text(page, text)
    write_json(out / "results.json", _results(source, job, plans, document, scores))
    return Made(page, document.missing)


def check_complete(made: Made) -> None:
    """Raise WorkError that says what the page lacks, if it lacks anything."""
    if made.missing:
        raise WorkError(
            tell_failures(f"{made.page} is written, but not complete:", list(made.missing), rest="")
        )


def _train_split(assignments: Sequence[str]) -> str:
    """What the settings say is trained on, or train."""
    name = "train"
    for key, value in map(parse_assignment, assignments):
        if key == "data.train_split":
            name = str(value)
        elif key == "data" and isinstance(value, dict):
            name = str(value.get("train_split", name))
    return name


def _device(assignments: Sequence[str]) -> tuple[Any, Any]:
    """Device and precision among the settings, for what comes after training."""
    given = {key: value for key, _, value in (text.partition("=") for text in assignments)}
    return given.get("device", "auto"), given.get("precision", "auto")


def _results(
    source: str,
    job: Job,
    plans: Sequence[Planned],
    document: Document,
    scores: Mapping[str, Any],
) -> dict[str, Any]:
    kinds = {Table: "table", Chart: "chart", Sheet: "sheet"}
    return {
        "format_version": FORMAT_VERSION,
        "source": source,
        "title": document.title,
        "missing": list(document.missing),
        "checks": [
            {"sentence": check.sentence, "found": check.found, "agrees": check.agrees}
            for section in document.sections
            for check in section.checks
        ],
        "tables": [
            {"number": number, **item.to_json()}
            for number, item in document.numbered()
            if isinstance(item, Table)
        ],
        "figures": [
            {
                "number": number,
                "kind": kinds[type(item)],
                "name": item.name,
                "caption": item.caption,
                "files": [f"figures/{item.name}.png", f"figures/{item.name}.svg"],
            }
            for number, item in document.numbered()
            if not isinstance(item, Table)
        ],
        "scores": dict(scores),
        "manifest": {
            **describe_start(),
            "device": job.runtime.device,
            "precision": job.runtime.precision,
            "budget": str(job.budget),
            "settings": list(job.assignments),
            "seeds": list(job.seeds),
            "data": {
                "path": str(job.data),
                "layout": job.dataset.layout,
                "fingerprint": job.dataset.fingerprint(),
                "splits": {name: len(pairs) for name, pairs in job.dataset.splits.items()},
                "classes": list(job.dataset.labels.names),
            },
            "split": job.split.name,
            "recipes": recipes_of(plans),
        },
    }
