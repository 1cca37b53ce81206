"""``upscore proposals recall``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from upscore.core.failures import format_failures
from upscore.core.limits import MAX_PIXELS
from upscore.errors import WorkError

if TYPE_CHECKING:
    from rich.table import Table

    from upscore.proposals.recall import Recall

SOURCES = ("edge-boxes:learned", "edge-boxes:gradient", "grid")
COUNTS = (10, 20, 50, 100, 200, 500, 1000, 2000)
"""The same as ``upscore.proposals.recall.COUNTS``, which would import numpy (a test compares)."""


def recall(
    *,
    data: Annotated[Path, arg(metavar="PATH")],
    split: Annotated[str, arg(metavar="NAME")] = "val",
    sources: Annotated[tuple[str, ...], arg(metavar="SOURCE...")] = SOURCES,
    out: Annotated[Path | None, arg(metavar="DIR")] = None,
    counts: Annotated[tuple[int, ...], arg(metavar="INT...")] = COUNTS,
    min_area: int = 100,
    model: Annotated[Path | None, arg(metavar="FILE")] = None,
    workers: Annotated[int | None, arg(metavar="INT")] = None,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Measure how many annotated objects the boxes of several sources find.

    Recall at IoU 0.5, 0.7 and 0.9, and average recall (over IoU 0.5 to 1), by number of boxes and
    by object size. Objects are those of instance masks, or the connected regions of each class.

    Args:
        data: The data set: a folder of a known layout, or a dataset.yaml.
        split: Which of its splits.
        sources: edge-boxes:EDGES (learned or gradient), grid, ground-truth, or the path of a
            store, of COCO json, or of a folder of DeconvNet's .mat files. Parameters follow EDGES,
            as in edge-boxes:learned,beta=0.9.
        out: Where recall.json, recall.csv and recall.png go; by default nothing is written.
        counts: Numbers of boxes; sources are asked for the largest.
        min_area: Objects with fewer pixels are left out.
        model: Other weights of the edge network, of `upscore edges train`.
        workers: Processes of one core each; by default one a core.
        max_pixels: Photos with more pixels are refused.
    """
    from upscore.cli.console import console
    from upscore.cli.progress import ProgressDisplay
    from upscore.workflows.proposals import measure_recall

    with ProgressDisplay() as on_progress:
        result = measure_recall(
            data,
            sources,
            split=split,
            out=out,
            counts=counts,
            min_area=min_area,
            model=model,
            workers=workers,
            max_pixels=max_pixels,
            on_progress=on_progress,
        ).recall
    _print(result)
    if out is not None:
        console.print(f"recall.json, recall.csv and recall.png: {out}", markup=False)
    if result.failures:
        raise WorkError(_complaint(result))


def _print(result: Recall) -> None:
    from upscore.cli.console import console
    from upscore.proposals.recall import SIZES

    num = result.num_objects()
    sizes = ", ".join(f"{result.num_objects(size)} {size}" for size in SIZES if size != "all")
    console.print(
        f"{num} {'object' if num == 1 else 'objects'} ({result.objects_from}; {sizes}) in "
        f"{len(result.photos)} of {result.num_photos} photos; {result.left_out} below "
        f"{result.min_area} pixels were left out\n"
    )
    for table in tables(result):
        console.print(table, "")


def tables(result: Recall) -> list[Table]:
    """Average recall, recall at each IoU, average recall by object size, and what it took."""
    from upscore.proposals.recall import SIZES, THRESHOLDS

    found = [_scores(result, "average recall", "all", None)]
    for place, threshold in enumerate(THRESHOLDS):
        found.append(_scores(result, f"recall at IoU {threshold:g}", "all", place))
    for size in SIZES:
        if size != "all":
            title = f"average recall, {size}"
            found.append(_scores(result, title, size, None))
    found.append(_cost(result))
    return found


def _scores(result: Recall, title: str, size: str, threshold: int | None) -> Table:
    """One row a source, one column a number of boxes."""
    from rich.text import Text

    rows = {(row.source, row.boxes): row for row in result.rows(size)}
    table = _table(title, *(str(count) for count in result.counts))
    for source in result.sources:
        shown = []
        for count in result.counts:
            row = rows[source, count]
            score = row.average_recall if threshold is None else row.recall[threshold]
            shown.append("-" if score is None else f"{score:.3f}")
        table.add_row(Text(source), *shown)  # Text: a file may be called [red]
    return table


def _cost(result: Recall) -> Table:
    from rich.text import Text

    table = _table("a photo", "boxes", "seconds")
    for source in result.sources:
        boxes, seconds = result.boxes_a_photo(source), result.seconds_a_photo(source)
        table.add_row(Text(source), f"{boxes:.0f}", f"{seconds:.2f}")
    return table


def _table(first: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column(first, min_width=26, overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _complaint(result: Recall) -> str:
    num = len(result.failures)
    begin = f"{num} of {result.num_photos} photos failed and count for no source:"
    return format_failures(begin, result.failures, rest="see recall.json with --out")
