"""``upscore data``: check, count, make or fetch a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from upscore.core.limits import MAX_PIXELS

if TYPE_CHECKING:
    from upscore.data.stats import DataStats

OptionalFile = Annotated[Path | None, arg(metavar="FILE")]


def check(
    data: Annotated[Positional[Path], arg(metavar="DATA")],
    /,
    *,
    json: OptionalFile = None,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Read every pair of a data set once and list all that is wrong with it.

    Exits 1 if anything is.

    Args:
        data: Folder of the data set, or a dataset.yaml.
        json: Write the problems to this file as well.
        max_pixels: Photos above this many pixels count as wrong.
    """
    from rich.markup import escape

    from upscore.cli.console import console
    from upscore.cli.progress import ProgressDisplay
    from upscore.errors import WorkError
    from upscore.workflows.data import check_data

    with ProgressDisplay() as on_progress:
        result = check_data(data, json=json, max_pixels=max_pixels, on_progress=on_progress)
    splits = ", ".join(f"{name} {count}" for name, count in result.splits.items())
    console.print(
        f"{escape(str(result.root))}: layout {result.layout}, {result.num_classes} classes, "
        f"{escape(splits)} pairs"
    )
    for problem in result.problems:
        console.print(f"[red]{problem.kind}[/red]  {escape(problem.message)}")
    if result.problems:
        count = len(result.problems)
        raise WorkError(f"{data}: {count} problem{'s' if count > 1 else ''}")
    console.print(f"{result.pairs} pairs read, nothing wrong")


def stats(
    data: Annotated[Positional[Path], arg(metavar="DATA")],
    /,
    *,
    json: OptionalFile = None,
    figure: OptionalFile = None,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Count classes, photo sizes and object sizes of every split.

    Args:
        data: Folder of the data set, or a dataset.yaml.
        json: Write the numbers to this file as well.
        figure: Draw them, with example photos, to this PNG file.
        max_pixels: Photos above this many pixels are refused.
    """
    from upscore.cli.console import console
    from upscore.cli.progress import ProgressDisplay
    from upscore.workflows.data import measure_data

    with ProgressDisplay() as on_progress:
        result = measure_data(
            data, json=json, figure=figure, max_pixels=max_pixels, on_progress=on_progress
        )
    _print_stats(result)
    if json is not None:
        console.print(f"numbers: {json}", markup=False)
    if figure is not None:
        console.print(f"figure: {figure}", markup=False)


def _print_stats(result: DataStats) -> None:
    from rich.markup import escape
    from rich.table import Table

    from upscore.cli.console import console

    for split in result.splits:
        sizes = ", ".join(f"{w}x{h} ({n})" for h, w, n in split.image_sizes[:3])
        more = f" and {len(split.image_sizes) - 3} more" if len(split.image_sizes) > 3 else ""
        table = Table(
            title=escape(
                f"{split.name}: {split.images} photos of {sizes}{more}; "
                f"{100 * split.void_share:.1f} % void"
            ),
            title_justify="left",
        )
        table.add_column("class")
        for column in ("pixels %", "photos", "objects", "size 5 %", "median", "95 %"):
            table.add_column(column, justify="right")
        for item in split.classes:
            quantiles = [item.object_sizes[i] for i in (0, 2, 4)] if item.object_sizes else []
            table.add_row(
                escape(item.name),
                f"{100 * item.share:.2f}",
                str(item.images),
                str(item.objects),
                *([f"{100 * q:.0f}" for q in quantiles] or ["-", "-", "-"]),
            )
        console.print(table)
    console.print(
        f"Objects from {result.objects_from}; size: longer side of the box in % of the photo's side"
    )


def toy(
    *,
    out: Path,
    num: int = 120,
    seed: int = 0,
    size: tuple[int, int] = (128, 160),
) -> None:
    """Make the toy set: textured shapes of seven classes on textured ground, laid out like VOC.

    Args:
        out: Folder to make.
        num: How many photos; every fourth is for validation.
        seed: The same seed gives the same photos.
        size: Largest height and width in pixels.
    """
    from upscore.cli.console import console
    from upscore.cli.progress import ProgressDisplay
    from upscore.workflows.data import make_toy_data

    with ProgressDisplay() as on_progress:
        make_toy_data(out, num=num, seed=seed, size=size, on_progress=on_progress)
    console.print(f"{num} photos in {out}", markup=False)


def get(
    name: Positional[Literal["voc2012", "sbd", "camvid"]],
    /,
    *,
    to: Path,
    from_: Annotated[Path | None, arg(name="from", metavar="FILE")] = None,
) -> None:
    """Fetch and unpack a public data set.

    An interrupted download goes on where it stopped. Mind the licence of each set.

    Args:
        name: Which one.
        to: Folder to unpack into.
        from_: Archive at hand, instead of a download.
    """
    from upscore.cli.console import console
    from upscore.cli.progress import ProgressDisplay
    from upscore.workflows.data import get_data

    with ProgressDisplay() as on_progress:
        result = get_data(name, to, archive=from_, on_progress=on_progress)
    console.print(f"{result.folder}\nnow: upscore data check {to}", markup=False)
