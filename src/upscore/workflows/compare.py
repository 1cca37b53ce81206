"""Compare several networks, pipelines or folders of label maps on the same images."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

from upscore.core.choices import chosen
from upscore.core.failures import Failure, failure_message
from upscore.core.files import make_folder, write_text
from upscore.core.memory import limit_onednn_cache, tune_malloc
from upscore.core.model_folder import is_pipeline
from upscore.core.option_values import FIGURE_FORMATS, require_at_least, require_several
from upscore.core.parallel.processes import in_processes
from upscore.core.plural import plural
from upscore.core.progress import OnProgress, Progress, count_items, ignore_progress
from upscore.core.run_folder import told_guess, unique_names
from upscore.core.runtime import cpu_name, describe_result, peak_memory_bytes
from upscore.data import open_dataset
from upscore.data.dataset import Split
from upscore.data.notices import tell_listing, tell_meaning
from upscore.errors import SettingsError
from upscore.metrics import comparison
from upscore.metrics.comparison import Comparison, PackedLabels, PredictedMaps
from upscore.metrics.comparison_files import to_json, write_comparison
from upscore.report.compared_page import compared_page
from upscore.report.figures.comparison import (
    class_differences,
    sizes_figure,
    trimap_figure,
    write_pictures,
)
from upscore.report.figures.scores import write_figure
from upscore.report.score_tables import difference_table, verdict
from upscore.workflows.evaluate import SIZES, Sizes
from upscore.workflows.options import DEFAULTS, SegmenterOptions
from upscore.workflows.predictions import (
    Predictions,
    is_label_folder,
    open_predictions,
    require_same_classes,
)

IF_DIED = "try a smaller --tile"


@dataclass(frozen=True, repr=False)
class CompareResult:
    """Scores of every model and their differences to the first one.

    Attributes:
        folder: of tables, figures and pictures; None if none were written.
    """

    comparison: Comparison
    folder: Path | None

    def __repr__(self) -> str:
        found = ", ".join(
            f"{one.name} {'none' if one.scores.miou is None else f'{one.scores.miou:.4f}'}"
            for one in self.comparison.models
        )
        return f"<CompareResult on {plural(len(self.comparison.images), 'image')}: {found}>"

    def _repr_html_(self) -> str:
        """Scores and differences to the first model with their intervals, for notebooks."""
        said = "".join(f"<p>{escape(line)}</p>" for line in verdict(self.comparison))
        return difference_table(self.comparison).html() + said

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Images that are left out for all models."""
        return self.comparison.failures

    def to_dict(self) -> dict[str, Any]:
        """Scores, differences, images and failures as JSON values."""
        return to_json(self.comparison, {}, {})


def compare(
    sources: Sequence[str | Path],
    *,
    data: str | Path,
    split: str = "val",
    out: str | Path | None = None,
    sizes: Sizes = "coco",
    pictures: int = 10,
    seed: int = 0,
    figures: Sequence[str] = ("png",),
    options: SegmenterOptions = DEFAULTS,
    on_progress: OnProgress = ignore_progress,
) -> CompareResult:
    """Score two or more sources of predictions on the same images.

    Each source segments the split in its own process, which measures time and memory.

    Args:
        sources: run folders, model folders, pipeline files (``pipeline.yaml:STAGE`` for one of its
            stages) or folders of label maps. The first is the baseline.
        out: folder for tables, figures and pictures; None writes nothing.
        pictures: number of images with the largest differences to draw.
        seed: random seed for the bootstrap.
        figures: any of png, pdf, svg.

    Raises:
        SettingsError: fewer than two sources, or options out of range.
        WorkError: the process of a source died.
        UpscoreError: something cannot be opened.

    Example:
        >>> result = upscore.compare([run, run], data=toy)
        >>> result.comparison.differences[0].miou
        0.0
    """
    chosen("figures", figures, FIGURE_FORMATS)
    data = Path(data)
    require_several(sources)
    require_at_least(0, pictures=pictures, seed=seed)
    dataset = open_dataset(data, max_pixels=options.max_pixels)
    tell_listing(dataset)
    part = dataset.split(split)
    parsed = [_parse(str(source)) for source in sources]
    for path, _ in parsed:
        require_same_classes(path, dataset, data=data)
    told = next((guess for path, _ in parsed if (guess := told_guess(path))), None)
    tell_meaning(dataset, part.pairs, told=told)
    names = unique_names([path if stage is None else path / stage for path, stage in parsed])
    without_network = options
    if not all(_has_no_network(path) for path, _ in parsed):  # else they are refused
        without_network = replace(
            DEFAULTS,
            device=options.device,
            precision=options.precision,
            max_pixels=options.max_pixels,
        )
    jobs = [
        _Job(path, stage, data, split, without_network if _has_no_network(path) else options)
        for path, stage in parsed
    ]
    opening = in_processes(_check, jobs, processes=1, if_died=IF_DIED)
    for done, _ in enumerate(opening, 1):
        on_progress(Progress("opening", done, len(jobs)))
    if out is not None:
        make_folder(Path(out))
    labelled = []
    for place, (name, job) in enumerate(zip(names, jobs, strict=True), 1):
        stage = f"segmenting {split} with {name} ({place} of {len(jobs)})"
        labelled.append(_label(name, job, part, count_items(on_progress, stage)))
    result = comparison.compare(
        labelled,
        part,
        instances=dataset.instances,
        bins=SIZES[sizes],
        seed=seed,
        progress=count_items(on_progress, "scoring"),
    )
    if out is None:
        return CompareResult(result, None)
    out = Path(out)
    about = {
        "contenders": [
            {"path": str(job.path), "stage": job.stage, "options": job.options.to_dict()}
            for job in jobs
        ],
        "data": dataset.describe(data),
        "machine": cpu_name(),
        **describe_result(),
    }
    drawn = write_pictures(result, labelled, part, out, num=pictures)
    write_comparison(result, out, pictures=drawn, about=about)
    write_figure(out / "per_class.png", class_differences(result), figures)
    write_figure(out / "trimap.png", trimap_figure(result), figures)
    write_figure(out / "sizes.png", sizes_figure(result), figures)
    write_text(out / "page.html", compared_page(result))
    return CompareResult(result, out)


def _parse(text: str) -> tuple[Path, str | None]:
    """The path of a source, and the stage of a pipeline that is named after it."""
    path = Path(text)
    head, colon, stage = text.rpartition(":")
    if not path.exists() and colon and Path(head).is_file():
        return Path(head), stage
    return path, None


def _has_no_network(path: Path) -> bool:
    """Whether options of a network (tile, flip, ...) do not apply: a pipeline sets its own."""
    return is_pipeline(path) or is_label_folder(path)


@dataclass(frozen=True)
class _Labels:
    """Labels of one image or an error message, seconds, and peak memory so far."""

    labels: PackedLabels | str
    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class _Job:
    """Segments images of a split by their index, in a process that opens the source once."""

    path: Path
    stage: str | None
    data: Path
    split: str
    options: SegmenterOptions

    def open(self) -> tuple[Predictions, Split]:
        """The predictions and the split. Raises UpscoreError if they do not fit."""
        if self.stage is not None and not is_pipeline(self.path):
            raise SettingsError(f"{self.path}:{self.stage}: only pipeline files have stages")
        dataset = open_dataset(self.data, max_pixels=self.options.max_pixels)
        stages = None
        if is_pipeline(self.path):
            stages = () if self.stage is None else (self.stage,)
        found = open_predictions(
            self.path, dataset, data=self.data, stages=stages, options=self.options
        )
        return found, found.photos_of(dataset.split(self.split))

    def __call__(self, place: int) -> _Labels:
        found, part = _open_once(self)
        try:
            sample = part.read(place)
            begin = time.perf_counter()
            labels = found.predict(sample, found.stages)[found.stages[0]]
            seconds = time.perf_counter() - begin
            packed = PackedLabels.of(labels)
        except Exception as error:
            text = failure_message(part.pairs[place].name, error, doing="segment it")
            return _Labels(text, 0.0, peak_memory_bytes())
        return _Labels(packed, seconds, peak_memory_bytes())


@functools.cache
def _open_once(job: _Job) -> tuple[Predictions, Split]:
    limit_onednn_cache()
    tune_malloc()
    return job.open()


def _check(job: _Job) -> None:
    """Open a source, so that a missing one is reported before an hour of work on others."""
    job.open()


def _label(
    name: str, job: _Job, part: Split, progress: Callable[[int, int], None]
) -> PredictedMaps:
    """All images of the split, in a new process."""
    found: dict[int, _Labels] = {}
    progress(0, len(part))
    # in a process of its own, so that memory of this one stays small
    several = in_processes(
        job, range(len(part)), processes=1, if_died=f"it segmented with {name}; {IF_DIED}"
    )
    for place, labels in several:
        found[place] = labels
        progress(len(found), len(part))
    in_order = [found[place] for place in range(len(part))]
    return PredictedMaps(
        name=name,
        maps=tuple(item.labels for item in in_order),
        seconds=tuple(item.seconds for item in in_order if not isinstance(item.labels, str)),
        peak_bytes=max(item.peak_bytes for item in in_order),
    )
