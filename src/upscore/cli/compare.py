"""``upscore compare``."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from tyro.conf import Positional, arg

from upscore.cli.scored_stages import ScoredStages
from upscore.cli.segmenter_options import SEGMENTER_DEFAULTS, SegmenterOptions
from upscore.core.failures import tell_failures
from upscore.errors import SettingsError, UpscoreError, WorkError

if TYPE_CHECKING:
    from rich.table import Table

    from upscore.core.labels import LabelMap, RGBImage
    from upscore.data.dataset import Split
    from upscore.metrics.comparison import Comparison, Labelled, PackedLabels
    from upscore.metrics.comparison_files import Row

Item = TypeVar("Item")
Result = TypeVar("Result")


def compare(
    contenders: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN|PIPELINE[:STAGE]...")],
    /,
    *,
    data: Path,
    split: str = "val",
    out: Annotated[Path | None, arg(metavar="PATH")] = None,
    sizes: Literal["coco", "relative"] = "coco",
    pictures: int = 10,
    seed: int = 0,
    options: Annotated[SegmenterOptions, arg(name="")] = SEGMENTER_DEFAULTS,
) -> None:
    """Score several networks or pipelines on the same images, and tell how sure a difference is.

    Each labels the split in a process of its own, which gives its time and memory. The first one is
    what the others are measured against.

    Args:
        contenders: Run folders, model folders or pipeline files (.yaml), two or more; a stage of a
            pipeline as in edeconvnet-crf.yaml:deconvnet.
        data: The data set: a folder of a known layout, or a dataset.yaml.
        split: Which of its splits.
        out: Where tables, figures and pictures go; without it, only the screen.
        sizes: Small, medium and large objects as COCO has them (32^2 and 96^2 pixels), or by their
            share of the image (0.5 % and 5 %).
        pictures: How many of the images with the largest differences are drawn into --out.
        seed: Draws the images of the bootstrap.
    """
    from upscore.cli.console import console, progress
    from upscore.core.files import make_folder
    from upscore.data import open_data
    from upscore.inference.pipeline.settings import is_pipeline
    from upscore.metrics import comparison as room
    from upscore.metrics.object_size import COCO_SIZES, RELATIVE_SIZES

    if len(contenders) < 2:
        raise SettingsError(
            f"a comparison needs two or more runs or pipelines, found {len(contenders)}, as in: "
            "upscore compare runs/first runs/second --data PATH"
        )
    if pictures < 0:
        raise SettingsError(f"--pictures is {pictures}; allowed: 0 or more")
    if seed < 0:
        raise SettingsError(f"--seed is {seed}; allowed: 0 or more")
    dataset = open_data(data, max_pixels=options.max_pixels)
    part = dataset.split(split)
    sources = [_source(text) for text in contenders]
    names = _names(sources)
    of_pipelines = _for_pipelines(options, [path for path, _ in sources])
    jobs = [
        _Job(path, stage, data, split, of_pipelines if is_pipeline(path) else options)
        for path, stage in sources
    ]
    with progress("opening") as update:
        for done, _ in enumerate(_run(_opens, jobs, "opening them"), 1):
            update(done, len(jobs))
    if out is not None:
        make_folder(out)
    labelled = []
    for place, (name, job) in enumerate(zip(names, jobs, strict=True), 1):
        with progress(f"labelling {split} by {name} ({place} of {len(jobs)})") as update:
            labelled.append(_label(name, job, part, update))
    with progress("scoring") as update:
        result = room.compare(
            labelled,
            part,
            instances=dataset.instances,
            bins=COCO_SIZES if sizes == "coco" else RELATIVE_SIZES,
            seed=seed,
            progress=update,
        )
    _print(result)
    if out is not None:
        about = _about(jobs, dataset.layout, dataset.fingerprint())
        _write(result, labelled, part, out, pictures=pictures, about=about)
        console.print(f"Tables, figures and pictures: {out}", markup=False)
    if result.failures:
        begin = f"{len(result.failures)} of {len(part)} images count for none; all others do:"
        rest = "see compare.json" if out else ""
        raise WorkError(tell_failures(begin, [f.message for f in result.failures], rest=rest))


def _source(text: str) -> tuple[Path, str | None]:
    """Path of a run or pipeline, and the stage that is named after it."""
    path = Path(text)
    head, colon, stage = text.rpartition(":")
    if not path.exists() and colon and Path(head).is_file():
        return Path(head), stage
    return path, None


def _for_pipelines(options: SegmenterOptions, paths: Sequence[Path]) -> SegmenterOptions:
    """Runs take ``--tile`` and the like, pipelines say them in their file.

    Where there is no run to take them, they are left for the pipeline to refuse.
    """
    from upscore.inference.pipeline.settings import is_pipeline

    if all(map(is_pipeline, paths)):
        return options
    return SegmenterOptions(
        device=options.device, precision=options.precision, max_pixels=options.max_pixels
    )


def _names(sources: Sequence[tuple[Path, str | None]]) -> list[str]:
    from upscore.core.run_folder import unique_names

    return unique_names([path if stage is None else path / stage for path, stage in sources])


@dataclass(frozen=True)
class _Answer:
    """What came of one photo: labels or a message, seconds, and memory so far."""

    labels: PackedLabels | str
    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class _Job:
    """Labels photos by place; goes to a process, which opens it once."""

    path: Path
    stage: str | None
    data: Path
    split: str
    options: SegmenterOptions

    def open(self) -> tuple[Callable[[RGBImage], LabelMap], Split, dict[str, Any]]:
        """A prediction in the classes of the data, the split, and the settings.

        Raises:
            UpscoreError: of whatever cannot be loaded, or has other classes.
        """
        from upscore.core.memory import bound_shape_caches, keep_freed_memory

        bound_shape_caches()  # before torch comes in
        keep_freed_memory()
        from upscore.data import open_data
        from upscore.inference.pipeline.settings import is_pipeline, read_pipeline

        if is_pipeline(self.path):
            name = self.stage or read_pipeline(self.path).answer
            scored = ScoredStages.of_pipeline(self.path, (name,), self.options)
        elif self.stage is None:
            scored = ScoredStages.of_run(self.path, self.options)
            name = scored.answer
        else:
            raise SettingsError(f"{self.path}:{self.stage}: only pipeline files have stages")
        dataset = open_data(self.data, max_pixels=self.options.max_pixels)
        predict = scored.predict_as(dataset.labels, run=self.path, data=self.data)
        part = dataset.split(self.split)
        return lambda image: predict(image, [name])[name], part, scored.settings

    def __call__(self, place: int) -> _Answer:
        from upscore.core.runtime import peak_memory_bytes
        from upscore.metrics.comparison import PackedLabels

        predict, part = _opened(self)
        try:
            photo = part.read(place).image
            begin = time.perf_counter()
            labels = predict(photo)
            seconds = time.perf_counter() - begin
        except UpscoreError as error:
            return _Answer(str(error), 0.0, peak_memory_bytes())
        return _Answer(PackedLabels.of(labels), seconds, peak_memory_bytes())


@functools.cache
def _opened(job: _Job) -> tuple[Callable[[RGBImage], LabelMap], Split]:
    predict, part, _ = job.open()
    return predict, part


def _opens(job: _Job) -> None:
    """Whether all is there and fits, before the first one works for an hour."""
    job.open()


def _run(
    work: Callable[[Item], Result], items: Iterable[Item], what: str
) -> Iterator[tuple[Item, Result]]:
    """One item after another in a new process, so that this one stays small.

    Raises:
        WorkError: the process died. And what ``work`` raises.
    """
    from upscore.core.parallel.processes import in_processes

    try:
        yield from in_processes(work, items, processes=1)
    except WorkError as error:
        raise WorkError(
            f"{what}: the process died, most likely of too little memory; try a smaller --tile"
        ) from error


def _label(name: str, job: _Job, part: Split, update: Callable[[int, int], None]) -> Labelled:
    """All photos of the split, in a new process."""
    from upscore.metrics.comparison import Labelled

    answers: dict[int, _Answer] = {}
    update(0, len(part))
    for place, answer in _run(job, range(len(part)), f"labelling by {name}"):
        answers[place] = answer
        update(len(answers), len(part))
    in_order = [answers[place] for place in range(len(part))]
    return Labelled(
        name=name,
        maps=tuple(answer.labels for answer in in_order),
        seconds=tuple(a.seconds for a in in_order if not isinstance(a.labels, str)),
        peak_bytes=max(answer.peak_bytes for answer in in_order),
    )


def _about(jobs: Sequence[_Job], layout: str, fingerprint: str) -> dict[str, Any]:
    import shlex
    import sys
    from datetime import UTC, datetime

    from upscore.core.runtime import cpu_name, installed_version

    first = jobs[0]
    return {
        "contenders": [
            {"path": str(job.path), "stage": job.stage, "options": job.options.about()}
            for job in jobs
        ],
        "data": {"path": str(first.data), "layout": layout, "fingerprint": fingerprint},
        "command": shlex.join(["upscore", *sys.argv[1:]]),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "upscore": installed_version("upscore"),
        "machine": cpu_name(),
    }


def _write(
    result: Comparison,
    labelled: Sequence[Labelled],
    part: Split,
    out: Path,
    *,
    pictures: int,
    about: dict[str, Any],
) -> None:
    from upscore.metrics.comparison_files import write_comparison
    from upscore.report.figures.comparison import (
        class_differences,
        sizes_figure,
        trimap_figure,
        write_pictures,
    )
    from upscore.report.figures.scores import write_png

    drawn = write_pictures(result, labelled, part, out, num=pictures)
    write_comparison(result, out, pictures=drawn, about=about)
    write_png(out / "per_class.png", class_differences(result))
    write_png(out / "trimap.png", trimap_figure(result))
    write_png(out / "sizes.png", sizes_figure(result))


def _print(result: Comparison) -> None:
    from upscore.cli.console import console
    from upscore.metrics.comparison_files import class_rows, size_rows, sizes_note

    first = result.contenders[0].name
    console.print(difference_table(result))
    console.print()
    for line in verdict(result):
        console.print(line, markup=False)
    console.print()
    console.print(cost_table(result))
    console.print()
    console.print(rows_table(class_rows(result)))
    console.print()
    console.print(rows_table(size_rows(result)))
    console.print(f"{result.objects_from}; {sizes_note(result)}", markup=False)
    num = len(result.images)
    console.print(
        f"{num} {'image' if num == 1 else 'images'}; differences are against {first}", markup=False
    )


def difference_table(result: Comparison) -> Table:
    """One row each: mIoU, and its difference to the first one's."""
    table = _named("mIoU", "of", "difference", "95 % interval", "classes better:worse")
    for one, d in zip(result.contenders, [None, *result.differences], strict=True):
        row = ["", "", ""]
        if d is not None:
            interval = f"{d.low:+.4f} to {d.high:+.4f}"
            row = [_show(d.miou, signed=True), interval, f"{d.better}:{d.worse}"]
        num = one.scores.classes_averaged
        _add(table, one.name, _show(one.scores.miou), f"{num} classes", *row)
    return table


def cost_table(result: Comparison) -> Table:
    """One row each: the other scores, time and memory."""
    table = _named("pixel accuracy", "boundary IoU", "boundary F", "s an image", "peak MiB")
    for one in result.contenders:
        _add(
            table,
            one.name,
            _show(one.scores.pixel_accuracy),
            _show(one.boundary_iou.miou()),
            _show(one.boundary_f.mean_f()),
            "-" if one.seconds is None else f"{one.seconds:.3f}",
            f"{one.peak_bytes / 2**20:,.0f}" if one.peak_bytes else "-",
        )
    return table


def _named(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("", min_width=8, overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _add(table: Table, name: str, *cells: str) -> None:
    from rich.text import Text

    table.add_row(Text(name), *cells)  # Text: a folder may be called [red]


def verdict(result: Comparison) -> list[str]:
    """In words, what each difference is worth."""
    first = result.contenders[0].name
    lines = []
    for one, d in zip(result.contenders[1:], result.differences, strict=True):
        if d.miou is None:
            lines.append(f"{one.name}: nothing to score")
        elif d.sure:
            way = "above" if d.miou > 0 else "below"
            lines.append(
                f"{one.name} is {way} {first} by {abs(d.miou):.4f} mIoU, more than the choice of "
                "images explains (the 95 % interval leaves out 0)"
            )
        else:
            lines.append(
                f"{one.name} and {first} cannot be told apart on these images (the 95 % interval "
                "holds 0)"
            )
    return lines


def rows_table(rows: Sequence[Row]) -> Table:
    """A header and rows for the screen; what is no word stands right."""
    from rich.table import Table
    from rich.text import Text

    header, *rest = rows
    table = Table(box=None, padding=(0, 2, 0, 0))
    for place, name in enumerate(header):
        words = all(isinstance(row[place], str) for row in rest)
        table.add_column(Text(str(name)), justify="left" if words else "right")
    for row in rest:
        table.add_row(*(Text(_cell(value)) for value in row))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, float) or value is None:
        return _show(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _show(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "-"
    return f"{value:+.4f}" if signed else f"{value:.4f}"
