"""``upscore compare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from upscore.cli.segmenter_options import SEGMENTER_DEFAULTS, SegmenterOptions
from upscore.core.failures import format_failures
from upscore.errors import WorkError

if TYPE_CHECKING:
    from rich.table import Table

    from upscore.metrics.comparison import Comparison
    from upscore.metrics.comparison_files import Row


def compare(
    sources: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN|PIPELINE[:STAGE]|LABELS...")],
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
    """Score several networks, pipelines or label maps on the same images, with intervals.

    Each labels the split in a process of its own, which measures its time and memory. Differences
    are against the first one.

    Args:
        sources: Two or more run folders, model folders, pipeline files (.yaml; a stage of one as
            in edeconvnet-crf.yaml:deconvnet) or folders of label maps.
        data: The data set: a folder of a known layout, or a dataset.yaml.
        split: Which of its splits.
        out: Where tables, figures and pictures go; without it, only the screen.
        sizes: Small, medium and large objects as COCO has them (32^2 and 96^2 pixels), or by their
            share of the image (0.5 % and 5 %).
        pictures: How many of the images with the largest differences are drawn into --out.
        seed: Draws the images of the bootstrap.
    """
    from upscore.cli.console import console
    from upscore.cli.progress import ProgressDisplay
    from upscore.workflows.compare import compare as run_comparison

    with ProgressDisplay() as on_progress:
        result = run_comparison(
            sources,
            data=data,
            split=split,
            out=out,
            sizes=sizes,
            pictures=pictures,
            seed=seed,
            options=options,
            on_progress=on_progress,
        )
    _print(result.comparison)
    if out is not None:
        console.print(f"Tables, figures and pictures: {out}", markup=False)
    if result.failures:
        num = len(result.failures) + len(result.comparison.images)
        begin = f"{len(result.failures)} of {num} images count for none; all others do:"
        rest = "see compare.json" if out else ""
        raise WorkError(format_failures(begin, [f.message for f in result.failures], rest=rest))


def _print(result: Comparison) -> None:
    from upscore.cli.console import console
    from upscore.metrics.comparison_files import class_rows, size_rows, sizes_note

    first = result.models[0].name
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
    """One row a network: mIoU, and its difference to the first."""
    table = _named("mIoU", "of", "difference", "95 % interval", "classes better:worse")
    for one, d in zip(result.models, [None, *result.differences], strict=True):
        row = ["", "", ""]
        if d is not None:
            interval = f"{d.low:+.4f} to {d.high:+.4f}"
            row = [_show(d.miou, signed=True), interval, f"{d.better}:{d.worse}"]
        num = one.scores.classes_averaged
        _add(table, one.name, _show(one.scores.miou), f"{num} classes", *row)
    return table


def cost_table(result: Comparison) -> Table:
    """One row a network: the other scores, time and memory."""
    table = _named("pixel accuracy", "boundary IoU", "boundary F", "s an image", "peak MiB")
    for one in result.models:
        _add(
            table,
            one.name,
            _show(one.scores.pixel_accuracy),
            _show(one.details.boundary_iou.miou()),
            _show(one.details.boundary_f.mean_f()),
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
    """Sentences on the size and significance of each difference."""
    first = result.models[0].name
    lines = []
    for one, d in zip(result.models[1:], result.differences, strict=True):
        if d.miou is None:
            lines.append(f"{one.name}: nothing to score")
        elif d.significant:
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
    """A header and rows for the screen; numbers are aligned to the right."""
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
