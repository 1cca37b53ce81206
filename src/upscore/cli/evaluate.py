"""``upscore evaluate``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from upscore.cli.segmenter_options import SEGMENTER_DEFAULTS, SegmenterOptions
from upscore.core.failures import failures_begin, format_failures
from upscore.errors import SettingsError, WorkError

if TYPE_CHECKING:
    from rich.table import Table

    from upscore.core.labels import Labels
    from upscore.metrics import Evaluation, Scores
    from upscore.workflows.evaluate import EvaluateResult


def evaluate(
    source: Annotated[Positional[Path], arg(metavar="RUN|PIPELINE|LABELS")],
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
    """Score a network, every stage of a pipeline, or label maps of any tool, on a split.

    Args:
        source: Run folder (or model folder) of a network, a pipeline file (.yaml), or a folder of
            label maps named as the photos (index PNG; npz or npy of labels or probabilities).
        data: The data set: a folder of a known layout, or a dataset.yaml.
        split: Which of its splits.
        out: Where scores, tables, figures and example pictures go; by default into the run folder,
            under evaluation/SPLIT, or beside a pipeline file or folder of label maps, as
            NAME-evaluation/SPLIT.
        stages: Of a pipeline, the stages to score, joined by commas; by default all, in one pass.
        sizes: Small, medium and large objects as COCO has them (32^2 and 96^2 pixels), or by their
            share of the image (0.5 % and 5 %).
        workers: Threads that decode photos ahead.
    """
    from upscore.cli.console import console
    from upscore.cli.progress import ProgressDisplay
    from upscore.core.run_folder import RunFolder
    from upscore.workflows.evaluate import evaluate as run_evaluation

    with ProgressDisplay() as on_progress:
        result = run_evaluation(
            source,
            data=data,
            split=split,
            out=out,
            stages=None if stages is None else stage_names(stages),
            sizes=sizes,
            workers=workers,
            options=options,
            on_progress=on_progress,
        )
    print_result(result)
    console.print(f"Scores, tables, figures and examples: {result.folder}", markup=False)
    if out is None and RunFolder(source).manifest.exists():  # a model folder has no report
        console.print(f"Next: upscore report {source}", markup=False)
    if result.failures:
        num = len(result.failures) + len(result.main.images)
        begin = failures_begin(len(result.failures), num, "images")
        messages = [failure.message for failure in result.failures]
        raise WorkError(format_failures(begin, messages, rest="see scores.json"))


def stage_names(text: str) -> tuple[str, ...]:
    """Names joined by commas, each once. Raises SettingsError when there is none."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise SettingsError("--stages is empty; name stages of the pipeline, joined by commas")
    return names


def print_result(result: EvaluateResult) -> None:
    """Scores by class and overall; for a pipeline, of each stage too."""
    from upscore.cli.console import console

    main = result.main
    scores = main.confusion.scores()
    console.print(per_class_table(scores, main.labels))
    console.print(overall_table(scores, main))
    if result.is_pipeline:
        console.print()
        console.print(stages_table(result.stages, result.output, result.own_seconds))


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
    """Scores over all classes, numbers of classes and images, and seconds."""
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
    results: Mapping[str, Evaluation], output: str, own_seconds: Mapping[str, float]
) -> Table:
    """Scores of each stage of a pipeline, and its seconds without those of its inputs."""
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
            f"{name} (answer)" if name == output else name,
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
