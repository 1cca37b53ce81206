"""``upscore evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from upscore.cli.segmenter_options import SEGMENTER_DEFAULTS, SegmenterOptions
from upscore.core.failures import tell_failures
from upscore.errors import SettingsError, WorkError

if TYPE_CHECKING:
    from rich.table import Table

    from upscore.core.labels import Labels
    from upscore.evaluation import Evaluation, Failure, Scores


def evaluate(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    *,
    data: Path,
    split: str = "val",
    out: Annotated[Path | None, arg(metavar="PATH")] = None,
    workers: int = 2,
    options: Annotated[SegmenterOptions, arg(name="")] = SEGMENTER_DEFAULTS,
) -> None:
    """Score a trained network on a split of a data set.

    Args:
        run: Run folder (or model folder) of the network.
        data: The data set: a folder of a known layout, or a dataset.yaml.
        split: Which of its splits.
        out: Where scores, tables, figures and example pictures go; by default into the run folder,
            under evaluation/SPLIT.
        workers: Threads that decode photos ahead.
    """
    from upscore.core.memory import bound_shape_caches, keep_freed_memory

    bound_shape_caches()  # before torch comes in
    keep_freed_memory()
    from upscore.cli.console import console, progress
    from upscore.core.files import make_folder
    from upscore.core.labels import LabelMap, RGBImage
    from upscore.core.run_folder import RunFolder
    from upscore.data import open_data
    from upscore.evaluation.classes import match_classes
    from upscore.evaluation.evaluate import evaluate as run_evaluation
    from upscore.evaluation.examples import write_examples
    from upscore.evaluation.results import write_results
    from upscore.report.figures import confusion_heat_map, per_class_bars, write_png

    if workers < 1:
        raise SettingsError(f"--workers is {workers}; allowed: 1 or more")
    dataset = open_data(data, max_pixels=options.max_pixels)
    part = dataset.split(split)
    segmenter = options.load(run)
    table = match_classes(segmenter.labels, dataset.labels, run=str(run), data=str(data))
    same_order = segmenter.labels.names == dataset.labels.names

    def predict(image: RGBImage) -> LabelMap:
        labels = segmenter.predict(image)
        return labels if same_order else table[labels]

    folder = out or run / "evaluation" / split
    make_folder(folder)  # before the work: an --out that cannot be written is told at once
    with progress(f"evaluating {split}") as update:
        result = run_evaluation(predict, part, progress=update, workers=workers)
    about = _about(run, data, dataset.layout, dataset.fingerprint(), options.about())
    write_results(result, folder, about=about)
    scores = result.confusion.scores()
    write_png(folder / "confusion.png", confusion_heat_map(result.confusion.matrix, part.labels))
    write_png(folder / "per_class.png", per_class_bars(scores, part.labels))
    write_examples(predict, part, result.images, folder / "examples")

    console.print(per_class_table(scores, part.labels))
    console.print(overall_table(scores, result))
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
    seconds = f"{result.seconds:.1f} s"
    overhead = "" if result.overhead is None else f", {result.overhead:.1%} of it not the network"
    table.add_row("images", str(len(result.images)), f"in {seconds}{overhead}")
    return table


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _complaint(failures: tuple[Failure, ...], num_images: int) -> str:
    begin = f"{len(failures)} of {num_images} images could not be scored; all others are:"
    return tell_failures(begin, [failure.message for failure in failures], rest="see scores.json")
