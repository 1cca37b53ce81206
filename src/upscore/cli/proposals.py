"""``upscore proposals``: make a store of boxes, measure recall, show boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import arg
from tyro.extras import SubcommandApp

from upscore.cli.proposal_options import SOURCE_DEFAULTS, SourceOptions
from upscore.cli.segmenter_options import MAX_PIXELS


def make(
    *,
    data: Annotated[Path, arg(metavar="PATH")],
    out: Annotated[Path, arg(metavar="FILE")],
    split: Annotated[str | None, arg(metavar="NAME")] = None,
    options: Annotated[SourceOptions, arg(name="")] = SOURCE_DEFAULTS,
    workers: Annotated[int | None, arg(metavar="INT")] = None,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Compute the boxes of a data set once, into one file that training and prediction read.

    What is in the file already is not computed again. After Ctrl-C, or a kill, the same command
    goes on where it stopped.

    Args:
        data: The data set: a folder of a known layout, or a dataset.yaml.
        out: The file to make, as boxes.parquet.
        split: Which of its splits; by default all, each photo once.
        workers: Processes of one core each; by default one a core, fewer for few photos.
        overwrite: Replace a file of other settings or photos, and unfinished work of others.
        max_pixels: Photos with more pixels are refused.
    """
    from upscore.cli.console import console, progress, show_messages
    from upscore.cli.proposal_options import photos_of
    from upscore.data import open_data
    from upscore.proposals.build_store import Photo, make_store

    dataset = open_data(data, max_pixels=max_pixels)
    pairs = photos_of(dataset, split)
    source = options.build(dataset)
    show_messages("upscore.compiled")  # that the first use compiles, which takes its time
    with progress("boxes") as update:
        summary = make_store(
            [Photo(pair.name, pair.image) for pair in pairs],
            source,
            out,
            data={
                "layout": dataset.layout,
                "split": split,
                "fingerprint": dataset.fingerprint(),
            },
            workers=workers,
            overwrite=overwrite,
            progress=update,
            max_pixels=max_pixels,
        )
    if summary.photos:
        there = summary.photos - summary.computed
        of_these = f" ({there:,} photos were there already)" if there else ""
        console.print(
            f"{summary.boxes:,} boxes of {summary.photos:,} photos in {summary.seconds:.1f} s"
            f"{of_these}: {out}, {summary.file_bytes / 1e6:.1f} MB",
            markup=False,
        )
    summary.check()


def build_proposals_app() -> SubcommandApp:
    """The verbs of ``upscore proposals``."""
    from upscore.cli.proposals_recall import recall
    from upscore.cli.proposals_show import show

    app = SubcommandApp()
    app.command(make)
    app.command(recall)
    app.command(show)
    return app
