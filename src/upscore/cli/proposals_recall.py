"""``upscore proposals recall``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

from tyro.conf import arg

from upscore.cli.proposal_options import EdgesName, make_edges, make_source
from upscore.cli.segmenter_options import MAX_PIXELS
from upscore.core.failures import tell_failures
from upscore.errors import SettingsError, WorkError

if TYPE_CHECKING:
    from rich.table import Table

    from upscore.data import DataSet
    from upscore.proposals.base import ProposalSource
    from upscore.proposals.recall import Recall

SOURCES = (
    "edge-boxes:learned", "edge-boxes:gradient", "opencv-edge-boxes:gradient",
    "selective-search:fast", "grid",
)  # fmt: skip
PARAMETERS = ("alpha", "beta", "eta", "min_score", "min_box_area", "max_aspect_ratio")
"""Of both EdgeBoxes, that a word of ``--sources`` may set."""
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
        sources: edge-boxes:EDGES, opencv-edge-boxes:EDGES (learned, gradient or
            structured-forest), selective-search:MODE (fast or quality), grid, ground-truth, or the
            path of a store, of COCO json, or of a folder of DeconvNet's .mat files. Parameters
            follow EDGES, as in edge-boxes:learned,beta=0.9.
        out: Where recall.json, recall.csv and recall.png go; by default nothing is written.
        counts: Numbers of boxes; sources are asked for the largest.
        min_area: Objects with fewer pixels are left out.
        model: File of the structured forest.
        workers: Processes of one core each; by default one a core.
        max_pixels: Photos with more pixels are refused.
    """
    from upscore.cli.console import console, progress, show_messages
    from upscore.core.files import make_folder
    from upscore.core.parallel.processes import num_cores
    from upscore.data import open_data
    from upscore.proposals.recall import measure_recall

    if workers is not None and workers < 1:
        raise SettingsError(f"--workers is {workers}; allowed: 1 or more")
    if not counts or min(counts) < 1:
        raise SettingsError(f"--counts are {counts}; want one or more numbers of 1 or more boxes")
    if model is not None and not any(word.endswith(":structured-forest") for word in sources):
        raise SettingsError(
            f"--model {model}: no source needs it; name one, as edge-boxes:structured-forest"
        )
    dataset = open_data(data, max_pixels=max_pixels)
    chosen = {
        word: source_of(word, max_boxes=max(counts), model=model, data=dataset) for word in sources
    }
    if out is not None:
        make_folder(out)  # before the work: an --out that cannot be written is told at once
    show_messages("upscore.compiled")  # that the first use compiles, which takes its time
    with progress("finding objects") as update:
        result = measure_recall(
            dataset,
            split,
            chosen,
            counts=counts,
            min_area=min_area,
            processes=workers or num_cores(),
            progress=update,
        )
    _print(result)
    if out is not None:
        _write(result, out, data=data, split=split, fingerprint=dataset.fingerprint())
        console.print(f"recall.json, recall.csv and recall.png: {out}", markup=False)
    if result.failures:
        raise WorkError(_complaint(result))


def source_of(
    word: str, *, max_boxes: int, model: Path | None = None, data: DataSet | None = None
) -> ProposalSource:
    """The source that a word of ``--sources`` names.

    Raises:
        SettingsError: no such source, or an argument that it does not know.
    """
    if Path(word).exists():
        return make_source("file", max_boxes=max_boxes, file=Path(word))
    name, _, rest = word.partition(":")
    detail, *more = rest.split(",")
    if name in ("edge-boxes", "opencv-edge-boxes"):
        edges = cast("EdgesName", _one_of(word, detail or "learned", get_args(EdgesName)))
        forest = model if edges == "structured-forest" else None
        own = _numbers(word, more)
        if name == "edge-boxes":
            return make_source("edge-boxes", max_boxes=max_boxes, edges=edges, model=forest, **own)
        from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxesParameters
        from upscore.proposals.opencv_edge_boxes import OpenCVEdgeBoxes

        parameters = EdgeBoxesParameters(max_boxes=max_boxes, **own)
        return OpenCVEdgeBoxes(make_edges(edges, model=forest), parameters)
    if name == "selective-search" and not more:
        mode = _one_of(word, detail or "fast", ("fast", "quality"))
        return make_source("selective-search", max_boxes=max_boxes, mode=mode)
    if word == "grid":
        return make_source("grid", max_boxes=max_boxes)
    if word == "ground-truth":
        return make_source("ground-truth", max_boxes=max_boxes, data=data)
    raise SettingsError(
        f"no source {word!r}, and no such file; allowed: edge-boxes:EDGES, "
        "opencv-edge-boxes:EDGES, selective-search:MODE, grid, ground-truth, or a path. After "
        "EDGES stand parameters, as in edge-boxes:learned,beta=0.9,eta=0.9996"
    )


def _one_of(word: str, detail: str, allowed: tuple[str, ...]) -> str:
    if detail not in allowed:
        name = word.partition(":")[0]
        options = ", ".join(f"{name}:{option}" for option in allowed)
        raise SettingsError(f"no source {word!r}; allowed: {options}")
    return detail


def _numbers(word: str, assignments: list[str]) -> dict[str, Any]:
    """Parameters of EdgeBoxes, as ``beta=0.9``."""
    numbers: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        name = key.strip().replace("-", "_")
        if not equals or name not in PARAMETERS:
            raise SettingsError(
                f"{word!r}: {text!r} is no parameter; allowed: {', '.join(PARAMETERS)}, as in "
                "edge-boxes:learned,beta=0.9"
            )
        try:
            numbers[name] = float(value)
        except ValueError as error:
            raise SettingsError(f"{word!r}: {name} is {value!r}; want a number") from error
    return numbers


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


def _write(result: Recall, out: Path, *, data: Path, split: str, fingerprint: str) -> None:
    import shlex
    import sys

    from upscore.core.files import write_json, write_text
    from upscore.core.runtime import installed_version
    from upscore.report.figures.proposals import recall_figure
    from upscore.report.figures.scores import write_png

    about = {
        "command": shlex.join(["upscore", *sys.argv[1:]]),
        "upscore": installed_version("upscore"),
        "data": {"path": str(data), "split": split, "fingerprint": fingerprint},
    }
    write_json(out / "recall.json", {**about, **result.to_json()})
    write_text(out / "recall.csv", result.to_csv())
    write_png(out / "recall.png", recall_figure(result))


def _complaint(result: Recall) -> str:
    num = len(result.failures)
    begin = f"{num} of {result.num_photos} photos failed and count for no source:"
    return tell_failures(begin, result.failures, rest="see recall.json with --out")
