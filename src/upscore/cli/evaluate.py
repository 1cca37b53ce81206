"""``upscore evaluate``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from upscore.cli.scored_stages import ScoredStages, stage_names
from upscore.cli.segmenter_options import SEGMENTER_DEFAULTS, SegmenterOptions
from upscore.core.failures import tell_failures
from upscore.errors import SettingsError, WorkError

if TYPE_CHECKING:
    from rich.table import Table

    from upscore.core.labels import Labels
    from upscore.metrics import Evaluation, Failure, Scores


def evaluate(
    run: Annotated[Positional[Path], arg(metavar="RUN|PIPELINE")],
    /,
    *,
    data: Path,
    split: str = "val",
    out: Annotated[Path | None, arg(metavar="PATH")] = None,
    stages: Annotated[str | None, arg(metavar="NAMES")] = None,
    sizes: Literal["coco", "relative"] = "coco",
    workers: int = 2,
    options: Annotated[SegmenterOptions, arg(name="")] = SEGMENTER_DEFAULTS,
) -> None:
    """Score a trained network, or every stage of a pipeline, on a split of a data set.

    Args:
        run: Run folder (or model folder) of the network, or a pipeline file (.yaml).
        data: The data set: a folder of a known layout, or a dataset.yaml.
        split: Which of its splits.
        out: Where scores, tables, figures and example pictures go; by default into the run folder,
            under evaluation/SPLIT, or beside the pipeline file, as NAME-evaluation/SPLIT.
        stages: Of a pipeline, the stages to score, joined by commas; by default all, in one pass.
        sizes: Small, medium and large objects as COCO has them (32^2 and 96^2 pixels), or by their
            share of the image (0.5 % and 5 %).
        workers: Threads that decode photos ahead.
    """
    from upscore.core.memory import bound_shape_caches, keep_freed_memory

    bound_shape_caches()  # before torch comes in
    keep_freed_memory()
    from upscore.cli.console import console, progress
    from upscore.core.files import make_folder
    from upscore.core.run_folder import RunFolder
    from upscore.data import open_data
    from upscore.inference.pipeline.settings import is_pipeline
    from upscore.metrics.evaluate import evaluate_stages
    from upscore.metrics.object_size import COCO_SIZES, RELATIVE_SIZES
    from upscore.metrics.score_files import write_results
    from upscore.metrics.stage_files import write_stages
    from upscore.report.examples import write_examples
    from upscore.report.figures.scores import confusion_heat_map, per_class_bars, write_png

    if workers < 1:
        raise SettingsError(f"--workers is {workers}; allowed: 1 or more")
    dataset = open_data(data, max_pixels=options.max_pixels)
    part = dataset.split(split)
    if is_pipeline(run):
        names = None if stages is None else stage_names(stages)
        scored = ScoredStages.of_pipeline(run, names, options)
    elif stages is None:
        scored = ScoredStages.of_run(run, options)
    else:
        raise SettingsError(f"--stages {stages}: {run} is no pipeline file; leave it out")
    predict = scored.predict_as(dataset.labels, run=run, data=data)

    folder = out or scored.folder / split
    make_folder(folder)  # before the work: an --out that cannot be written is told at once
    with progress(f"evaluating {split}") as update:
        results = evaluate_stages(
            lambda image: predict(image, scored.names),
            scored.names,
            part,
            progress=update,
            workers=workers,
            details=True,
            instances=dataset.instances,
            bins=COCO_SIZES if sizes == "coco" else RELATIVE_SIZES,
        )
    about = _about(run, data, dataset.layout, dataset.fingerprint(), scored.settings)
    own_seconds = dict(scored.seconds)  # before the examples
    for name, one in results.items():
        write_results(one, folder / name, about=about | ({"stage": name} if name else {}))
        matrix = one.confusion.matrix
        write_png(folder / name / "confusion.png", confusion_heat_map(matrix, part.labels))
        bars = per_class_bars(one.confusion.scores(), part.labels)
        write_png(folder / name / "per_class.png", bars)
    answer, result = scored.answer, results[scored.answer]
    write_examples(
        lambda image: predict(image, [answer])[answer],
        part,
        result.images,
        folder / answer / "examples",
    )

    scores = result.confusion.scores()
    console.print(per_class_table(scores, part.labels))
    console.print(overall_table(scores, result))
    if is_pipeline(run):
        write_stages(results, folder, answer=answer, seconds=own_seconds, about=about)
        console.print()
        console.print(stages_table(results, answer, own_seconds))
    console.print(f"Scores, tables, figures and examples: {folder}", markup=False)
    if out is None and RunFolder(run).manifest.exists():  # a model folder has no report
        console.print(f"Next: upscore report {run}", markup=False)
    if result.failures:
        raise WorkError(_complaint(result.failures, len(part)))


def _about(
    run: Path, data: Path, layout: str, fingerprint: str, settings: dict[str, Any]
) -> dict[str, Any]:
    import shlex
    import sys
    from datetime import UTC, datetime

    from upscore.core.runtime import installed_version, peak_memory_bytes

    return {
        "run": str(run),
        "data": {"path": str(data), "layout": layout, "fingerprint": fingerprint},
        "settings": settings,
        "command": shlex.join(["upscore", *sys.argv[1:]]),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "upscore": installed_version("upscore"),
        "peak_memory_mib": round(peak_memory_bytes() / 2**20),
    }


def per_class_table(scores: Scores, labels: Labels) -> Table:
    """IoU, precision, recall and pixels, one row a class."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("class")
    for name in ("IoU", "precision", "recall", "pixels"):
        table.add_column(name, justify="right")
    for name, item in zip(labels.names, scores.per_class, strict=True):
        table.add_row(  # Text: a class may be called [red]
            Text(name),
            _show(item.iou),
            _show(item.precision),
            _show(item.recall),
            f"{item.pixels:,}",
        )
    return table


def overall_table(scores: Scores, result: Evaluation) -> Table:
    """The four scores, over what, and how long it took."""
    from rich.table import Table

    num = scores.classes_averaged
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row()
    table.add_row("mIoU", _show(scores.miou), f"mean over {num} of {len(result.labels)} classes")
    table.add_row("pixel accuracy", _show(scores.pixel_accuracy))
    table.add_row("mean accuracy", _show(scores.mean_accuracy))
    table.add_row("frequency weighted IoU", _show(scores.frequency_weighted_iou))
    if (details := result.details) is not None:
        f, iou = details.boundary_f, details.boundary_iou
        rims = f"rims of {iou.ratio:.0%} of the diagonal"
        table.add_row("boundary IoU", _show(iou.miou()), rims)
        table.add_row("boundary F", _show(f.mean_f()), f"within {f.tolerance:.2%} of the diagonal")
    seconds = f"{result.seconds:.1f} s"
    overhead = "" if result.overhead is None else f", {result.overhead:.1%} of it not the network"
    table.add_row("images", str(len(result.images)), f"in {seconds}{overhead}")
    return table


def stages_table(
    results: Mapping[str, Evaluation], answer: str, own_seconds: Mapping[str, float]
) -> Table:
    """The scores of each stage of a pipeline, and how long it took beside those that it is of."""
    from rich.table import Table

    from upscore.metrics.stage_files import boundary_scores

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("stage", no_wrap=True)
    for name in ("mIoU", "classes", "pixel accuracy", "mean accuracy", "boundary IoU", "boundary F",
                 "own s/image"):  # fmt: skip
        table.add_column(name, justify="right")
    for name, result in results.items():
        scores = result.confusion.scores()
        num = len(result.images)
        table.add_row(
            f"{name} (answer)" if name == answer else name,
            _show(scores.miou),
            str(scores.classes_averaged),
            _show(scores.pixel_accuracy),
            _show(scores.mean_accuracy),
            *map(_show, boundary_scores(result)),
            f"{own_seconds[name] / num:.2f}" if num else "-",
        )
    return table


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _complaint(failures: tuple[Failure, ...], num_images: int) -> str:
    begin = f"{len(failures)} of {num_images} images could not be scored; all others are:"
    return tell_failures(begin, [failure.message for failure in failures], rest="see scores.json")
