"""``upscore data``: check, count, make or fetch a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from upscore.cli.console import console, keep_result
from upscore.cli.options import MaxPixels, OptionalFile
from upscore.cli.progress import ProgressDisplay
from upscore.core.failures import check_failures
from upscore.core.limits import MAX_PIXELS
from upscore.core.plural import plural
from upscore.core.quoting import join
from upscore.core.tables import Table
from upscore.errors import WorkError

if TYPE_CHECKING:
    from upscore.data.stats import DataStats


def check(
    data: Annotated[Positional[Path], arg(metavar="DATA")],
    /,
    *,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Read every pair of a data set once and list all problems.

    Exits with status 1 if there are any.

    Args:
        data: Folder of the data set, or a dataset.yaml.
        max_pixels: Report photos with more pixels than this as problems.
    """
    from rich.text import Text

    from upscore.workflows.data import check_data

    with ProgressDisplay() as on_progress:
        result = check_data(data, max_pixels=max_pixels, on_progress=on_progress)
    keep_result(result)
    splits = ", ".join(f"{name} {count}" for name, count in result.splits.items())
    classes = "1 class" if result.num_classes == 1 else f"{result.num_classes} classes"
    console.print(f"{result.root}: layout {result.layout}, {classes}, {splits} pairs")
    if result.guess is not None:
        console.print(result.guess.title())
        table = result.guess.table()
        console.print(table.screen(left=range(len(table.header) - 2)))
        if naming := result.guess.naming(result.root):
            console.print(naming)
    if result.unlabelled:
        num = len(result.unlabelled)
        names = join([path.name for path in result.unlabelled], most=3)
        console.print(f"{plural(num, 'photo')} without a mask, not used: {names}")
    for problem in result.problems:
        console.print(Text(problem.kind, "red"), "", problem.message)
    if result.problems:
        raise WorkError(f"{data}: {plural(len(result.problems), 'problem')}")
    console.print(f"{result.pairs} pairs read, nothing wrong: {classes} ({join(result.classes)})")


def stats(
    data: Annotated[Positional[Path], arg(metavar="DATA")],
    /,
    *,
    figure: OptionalFile = None,
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Count classes, photo sizes and object sizes of every split.

    Args:
        data: Folder of the data set, or a dataset.yaml.
        figure: Also write a figure with example photos to this PNG file.
    """
    from upscore.workflows.data import measure_data

    with ProgressDisplay() as on_progress:
        result = measure_data(data, figure=figure, max_pixels=max_pixels, on_progress=on_progress)
    keep_result(result)
    _print_stats(result)
    if figure is not None:
        console.print(f"figure: {figure}")
    num = sum(split.images for split in result.splits)
    check_failures(result.failures, num, "masks could not be counted", others="all others are")


def _print_stats(result: DataStats) -> None:
    for split in result.splits:
        sizes = ", ".join(f"{w}x{h} ({n})" for h, w, n in split.image_sizes[:3])
        more = f" and {len(split.image_sizes) - 3} more" if len(split.image_sizes) > 3 else ""
        void = f"{100 * split.void_share:.1f} % void"
        console.print(f"{split.name}: {split.images} photos of {sizes}{more}; {void}")
        rows = []
        for item in split.classes:
            quantiles: list[str | None] = [None] * 3
            if item.object_sizes:
                quantiles = [f"{100 * item.object_sizes[i]:.0f}" for i in (0, 2, 4)]
            share = f"{100 * item.share:.2f}"
            rows.append((item.name, share, item.images, item.objects, *quantiles))
        header = ("class", "pixels %", "photos", "objects", "size 5 %", "median", "95 %")
        console.print(Table(header, rows).screen(left=(0,)), "")
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
    """Make the toy set: textured shapes of seven classes on a textured background, as VOC folders.

    Args:
        out: Output folder.
        num: Number of photos; every fourth is for validation.
        seed: The same seed gives the same photos.
        size: Largest height and width in pixels.
    """
    from upscore.workflows.data import make_toy_data

    with ProgressDisplay() as on_progress:
        make_toy_data(out, num=num, seed=seed, size=size, on_progress=on_progress)
    keep_result({"folder": str(out), "photos": num})
    console.print(f"{num} photos in {out}")


def get(
    name: Positional[Literal["voc2012", "sbd", "camvid"]],
    /,
    *,
    to: Path,
    from_: Annotated[Path | None, arg(name="from", metavar="FILE")] = None,
) -> None:
    """Fetch and unpack a public data set.

    An interrupted download resumes where it stopped. Check the licence of each data set.

    Args:
        name: Name of the data set.
        to: Folder to unpack into.
        from_: Use this archive instead of downloading it.
    """
    from upscore.workflows.data import get_data

    with ProgressDisplay() as on_progress:
        result = get_data(name, to, archive=from_, on_progress=on_progress)
    keep_result(result)
    console.print(f"{result.folder}\nnow: upscore data check {to}")
