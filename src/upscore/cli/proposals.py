"""``upscore proposals``: make a store of boxes, measure recall, show boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from upscore.cli.console import console, keep_result
from upscore.cli.options import Data, MaxPixels, OptionalInt
from upscore.cli.progress import ProgressDisplay
from upscore.cli.proposal_options import SOURCE_DEFAULTS, SourceOptions
from upscore.core.limits import MAX_PIXELS
from upscore.core.plural import file_size
from upscore.errors import SettingsError


def make(
    *,
    data: Data,
    out: Annotated[Path, arg(metavar="FILE")],
    split: Annotated[str | None, arg(metavar="NAME")] = None,
    options: Annotated[SourceOptions, arg(name="")] = SOURCE_DEFAULTS,
    workers: OptionalInt = None,
    overwrite: bool = False,
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Compute the boxes of a data set once, into one file for training and prediction.

    Boxes that are already in the file are not computed again. After Ctrl-C or a kill, run the same
    command to resume.

    Args:
        out: Output file, for example boxes.parquet.
        split: Split of the data set; by default all, each photo once.
        workers: Number of processes; by default one for each core, fewer if there are few photos.
        overwrite: Replace a file, finished or not, that has other settings or photos.
    """
    from upscore.workflows.proposals import make_proposals

    with ProgressDisplay() as on_progress:
        made = make_proposals(
            data,
            options.build,
            out,
            split=split,
            workers=workers,
            overwrite=overwrite,
            max_pixels=max_pixels,
            on_progress=on_progress,
        )
    keep_result(made)
    summary = made.summary
    if summary.photos:
        there = summary.photos - summary.computed
        of_these = f" ({there:,} photos were done before)" if there else ""
        console.print(
            f"{summary.boxes:,} boxes of {summary.photos:,} photos in {summary.seconds:.1f} s"
            f"{of_these}: {out}, {file_size(summary.file_bytes)}"
        )
    summary.check()


def show(
    image: Annotated[Positional[Path], arg(metavar="IMAGE")],
    /,
    *,
    out: Annotated[Path, arg(metavar="PNG")],
    boxes: int = 10,
    options: Annotated[SourceOptions, arg(name="")] = SOURCE_DEFAULTS,
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Draw the edge map of a photo and the best boxes.

    Args:
        image: The photo.
        out: Output file.
        boxes: Number of best boxes to draw.
    """
    from upscore.inference.inputs import require_input
    from upscore.workflows.proposals import show_proposals

    require_input(str(image))
    if options.source == "ground-truth":
        raise SettingsError(
            "--source ground-truth needs a data set, but only a photo is given; to measure it, "
            "type: upscore proposals recall --sources ground-truth --data PATH"
        )
    of_edges = f" of {options.edges} edges" if options.source == "edge-boxes" else ""
    shown = show_proposals(
        image,
        options.build(),
        out,
        title=f"{options.source}{of_edges}",
        boxes=boxes,
        max_pixels=max_pixels,
    )
    keep_result(shown)
    console.print(f"best {shown.shown} of {shown.found} boxes: {out}")
