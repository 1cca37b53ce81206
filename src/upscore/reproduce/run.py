"""A whole reproduction: check, train, measure, write. Finished parts are not repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from upscore.core.failures import format_failures
from upscore.core.files import write_json, write_text
from upscore.core.lock import claim
from upscore.core.progress import OnProgress, ignore_progress
from upscore.core.runtime import describe_start, select_runtime
from upscore.core.settings import set_dotted
from upscore.data import open_dataset
from upscore.data.record import DataRecord
from upscore.errors import DataError, WorkError
from upscore.report.document import Document, Table, without_data
from upscore.report.document_files import write_document
from upscore.report.page import document_page
from upscore.report.page_words import page_file
from upscore.reproduce import (
    deconvnet_paper,
    deconvnet_stages,
    fcn_report,
    fcn_trainings,
    history,
    history_trainings,
)
from upscore.reproduce.budget import Budget
from upscore.reproduce.context import Context
from upscore.reproduce.folder import Folder
from upscore.reproduce.history_methods import check_systems
from upscore.reproduce.other_methods import check_methods
from upscore.reproduce.trainings import PlannedTraining, recipes_of, train_missing

FORMAT_VERSION = 1
LARGEST_PAGE = 15_000_000
"""Largest size of a page in bytes."""

SourceName = Literal["fcn-report", "deconvnet-paper", "history"]


@dataclass(frozen=True)
class Source:
    """A report or paper to reproduce.

    Attributes:
        trainings: plans all trainings.
        prepare: makes the files that they need beside the data.
        document: measures the trained networks; returns the content of the page, and scores.
        check_methods: names of ``--methods`` in order. Raises SettingsError.
    """

    trainings: Callable[[Context], list[PlannedTraining]]
    prepare: Callable[[Context], None]
    document: Callable[[Context], tuple[Document, dict[str, Any]]]
    check_methods: Callable[[Sequence[str]], tuple[str, ...]] = tuple


SOURCES: Mapping[str, Source] = {
    "fcn-report": Source(fcn_trainings.trainings, lambda _context: None, fcn_report.document),
    "deconvnet-paper": Source(
        deconvnet_stages.trainings,
        deconvnet_stages.prepare,
        deconvnet_paper.document,
        check_methods,
    ),
    "history": Source(
        history_trainings.trainings, lambda _context: None, history.document, check_systems
    ),
}


@dataclass(frozen=True)
class ReproduceResult:
    """The page of a reproduction, and what it lacks.

    Attributes:
        folder: where page, tables, figures, results.json and the runs are.
        page: the HTML page in it.
        translations: the same page in other languages.
        missing: sentences on trainings and photos that the page lacks; empty when it is complete.
        scores: the measured scores, as in results.json, JSON values.
    """

    folder: Path
    page: Path
    missing: tuple[str, ...]
    scores: Mapping[str, Any]
    translations: tuple[Path, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Every field as JSON values."""
        return {
            "folder": str(self.folder),
            "page": str(self.page),
            "translations": list(map(str, self.translations)),
            "missing": list(self.missing),
            "scores": dict(self.scores),
        }


def reproduce(
    source: SourceName,
    *,
    data: str | Path,
    out: str | Path,
    budget: str,
    split: str = "val",
    assignments: Sequence[str] = (),
    photo: str | None = None,
    class_name: str | None = None,
    show_data: bool = True,
    seeds: Sequence[int] = (),
    ablate: bool = False,
    methods: Sequence[str] = (),
    on_progress: OnProgress = ignore_progress,
) -> ReproduceResult:
    """Train, measure and write tables, figures, page and results.json below ``out``.

    Trainings and measurements that are in ``out`` already are not repeated.

    Args:
        budget: ``papers``, or ``minutes=N`` or ``iterations=N`` for all trainings together.
        split: name of the split to validate and measure on.
        assignments: ``KEY=VALUE`` settings for every training.
        photo, class_name: photo and class that figures show; None chooses them by the truth.
        show_data: whether page and figures hold photos and true masks.
        seeds: of fcn-report: every setting is trained with each of them.
        ablate: of fcn-report: train the networks between the plain one and FCN-8s as well.
        methods: of deconvnet-paper: other methods of its table to train, names in
            :data:`~upscore.reproduce.other_methods.OTHER_METHODS`; of history: the systems, two or
            more; empty for all.

    Raises:
        SettingsError: settings that do not fit, a data set without the splits, or ``out`` holds
            something else.
        DataError: a data set of one class.
        InterruptedWorkError: a training was stopped; the same call resumes it.
        WorkError: too few trainings have finished for any table.
        OutputError: ``out`` cannot be written.
    """
    data, out = Path(data), Path(out)
    given = Budget.parse(budget)
    chosen = SOURCES[source]
    named = chosen.check_methods(methods)
    settings: dict[str, Any] = {"device": "auto", "precision": "auto", "data": {}}
    for text in assignments:
        set_dotted(settings, text)
    dataset = open_dataset(data)
    if len(dataset.labels) < 2:
        raise DataError(
            f"{dataset.root}: has one class, {dataset.labels.names[0]!r}, so that there is nothing "
            "to distinguish; a reproduction needs two or more"
        )
    context = Context(
        data=data,
        dataset=dataset,
        split=dataset.split(split),
        folder=Folder(out),
        budget=given,
        assignments=tuple(assignments),
        runtime=select_runtime(settings["device"], settings["precision"]),
        on_progress=on_progress,
        train_split=_train_split(settings),
        seeds=tuple(seeds),
        ablate=ablate,
        methods=named,
    )
    splits = [dataset.split(name) for name in dict.fromkeys([context.train_split, split])]
    record = DataRecord.of(dataset, splits, DataRecord.read(context.folder.data))
    context.content = record.digest
    context.plans = plans = chosen.trainings(context)
    plan = {
        "source": source,
        "budget": str(given),
        "split": split,
        "data": {"layout": dataset.layout, "fingerprint": dataset.fingerprint()},
        "recipes": recipes_of(plans),
    }
    context.folder.refuse_other(plan, record)
    context.choose(photo, class_name)
    with claim(out, "a reproduction"):
        context.folder.refuse_other(plan, record)
        context.folder.begin(plan, record)
        chosen.prepare(context)
        context.failures = train_missing(plans, context.folder, data=data, on_progress=on_progress)
        document, scores = chosen.document(context)
        if not show_data:
            document = without_data(document)
        write_document(document, out)
        page, *translations = _write_pages(document, out)
        write_json(out / "results.json", _results(source, context, document, scores))
    return ReproduceResult(out, page, document.missing, scores, tuple(translations))


def check_complete(result: ReproduceResult) -> None:
    """Raises WorkError with all that the page lacks, if it lacks anything."""
    if result.missing:
        begin = f"{result.page} is written, but not complete:"
        raise WorkError(format_failures(begin, list(result.missing)))


def _write_pages(document: Document, out: Path) -> list[Path]:
    """The page and its translations, each with links to the others."""
    documents = [document, *document.translations]
    languages = [one.language for one in documents]
    pages = []
    for one in documents:
        page = out / page_file(one.language)
        text = document_page(one, [other for other in languages if other != one.language])
        if len(text.encode()) > LARGEST_PAGE:
            raise WorkError(f"{page}: would have {len(text.encode()):,} bytes, a fault of upscore")
        write_text(page, text)
        pages.append(page)
    return pages


def _train_split(settings: Mapping[str, Any]) -> str:
    data = settings["data"]
    return str(data.get("train_split", "train")) if isinstance(data, dict) else "train"


def _results(
    source: str,
    context: Context,
    document: Document,
    scores: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "source": source,
        "title": document.title,
        "missing": list(document.missing),
        "checks": [asdict(check) for section in document.sections for check in section.checks],
        "tables": [
            {"number": number, **item.to_json()}
            for number, item in document.numbered()
            if isinstance(item, Table)
        ],
        "figures": [
            {
                "number": number,
                "kind": item.kind,
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
            "device": context.runtime.device,
            "precision": context.runtime.precision,
            "budget": str(context.budget),
            "settings": list(context.assignments),
            "seeds": list(context.seeds),
            "methods": list(context.methods),
            "data": {
                **context.dataset.describe(context.data),
                "splits": {name: len(pairs) for name, pairs in context.dataset.splits.items()},
                "classes": list(context.dataset.labels.names),
            },
            "split": context.split.name,
            "recipes": recipes_of(context.plans),
        },
    }
