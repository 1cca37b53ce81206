"""``upscore proposals recall``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from upscore.cli.console import console, keep_result
from upscore.cli.options import Data, EdgeModel, MaxPixels, OptionalDir, OptionalInt, Split
from upscore.cli.progress import ProgressDisplay
from upscore.core.failures import check_failures
from upscore.core.limits import MAX_PIXELS
from upscore.core.plural import plural
from upscore.core.tables import Row, Table

if TYPE_CHECKING:
    from upscore.proposals.recall import Recall

SOURCES = ("edge-boxes:learned", "edge-boxes:gradient", "grid")
COUNTS = (10, 20, 50, 100, 200, 500, 1000, 2000)
"""The same as ``upscore.proposals.recall.COUNTS``, which would import numpy (a test compares)."""


def recall(
    *,
    data: Data,
    split: Split = "val",
    sources: Annotated[tuple[str, ...], arg(metavar="SOURCE...")] = SOURCES,
    out: OptionalDir = None,
    counts: Annotated[tuple[int, ...], arg(metavar="INT...")] = COUNTS,
    min_area: int = 100,
    model: EdgeModel = None,
    workers: OptionalInt = None,
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Measure how many annotated objects the boxes of several sources find.

    Recall at IoU 0.5, 0.7 and 0.9, and average recall (over IoU 0.5 to 1), by number of boxes and
    by object size. Objects are those of instance masks, or the connected regions of each class.

    Args:
        sources: edge-boxes:EDGES (learned or gradient), grid, ground-truth, or the path of
            a store, a COCO json file, or a folder of DeconvNet's .mat files. Parameters
            follow EDGES, for example edge-boxes:learned,beta=0.9.
        out: Folder for recall.json, recall.csv and recall.png; by default nothing is written.
        counts: Numbers of boxes at which recall is measured.
        min_area: Leave out objects with fewer pixels than this.
        workers: Number of processes; by default one for each core.
    """
    from upscore.workflows.proposals import measure_recall

    with ProgressDisplay() as on_progress:
        measured = measure_recall(
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
        )
    keep_result(measured)
    result = measured.recall
    _print(result)
    if out is not None:
        console.print(f"recall.json, recall.csv and recall.png: {out}")
    check_failures(
        result.failures,
        result.num_photos - len(result.failures),
        "photos failed and are left out for all sources",
        rest="see recall.json with --out",
    )


def _print(result: Recall) -> None:
    from upscore.proposals.recall import SIZES

    sizes = ", ".join(f"{result.num_objects(size)} {size}" for size in SIZES if size != "all")
    console.print(
        f"{plural(result.num_objects(), 'object')} ({result.objects_from}; {sizes}) in "
        f"{len(result.photos)} of {result.num_photos} photos; {result.left_out} below "
        f"{result.min_area} pixels were left out\n"
    )
    for table in tables(result):
        console.print(table.screen(left=(0,)), "")


def tables(result: Recall) -> list[Table]:
    """Average recall, recall at each IoU, average recall by object size, and what it took."""
    from upscore.proposals.recall import SIZES, THRESHOLDS

    found = [_scores(result, "average recall", "all", None)]
    for place, threshold in enumerate(THRESHOLDS):
        found.append(_scores(result, f"recall at IoU {threshold:g}", "all", place))
    for size in SIZES:
        if size != "all":
            found.append(_scores(result, f"average recall, {size}", size, None))
    cost = [
        (s, f"{result.boxes_a_photo(s):.0f}", f"{result.seconds_a_photo(s):.2f}")
        for s in result.sources
    ]
    found.append(Table(("a photo", "boxes", "seconds"), cost))
    return found


def _scores(result: Recall, title: str, size: str, threshold: int | None) -> Table:
    """One row a source, one column a number of boxes."""
    scores = {
        (row.source, row.boxes): row.average_recall if threshold is None else row.recall[threshold]
        for row in result.rows(size)
    }
    rows: list[Row] = [
        (source, *(scores[source, count] for count in result.counts)) for source in result.sources
    ]
    return Table((title, *result.counts), rows, digits=3)
