"""``upscore predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from upscore.cli.segmenter_options import SEGMENTER_DEFAULTS, SegmenterOptions


def predict(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")],
    /,
    *,
    out: Path,
    save: str = "labels,overlay",
    resume: bool = False,
    options: Annotated[SegmenterOptions, arg(name="")] = SEGMENTER_DEFAULTS,
) -> None:
    """Label photos and videos with a trained network.

    Args:
        run: Run folder that `upscore train` wrote, or a model folder.
        inputs: Photos, folders, patterns in quotes ('**/*.jpg') or videos.
        out: Folder for the results: labels/, overlay/, probabilities/.
        save: What to write: labels, overlay, probabilities, joined by commas.
        resume: Pass over photos whose results are all there already.
    """
    from upscore.core.memory import bound_shape_caches, keep_freed_memory

    bound_shape_caches()  # before torch comes in
    keep_freed_memory()
    from upscore.cli.console import console, progress
    from upscore.inference.batch import predict_files
    from upscore.inference.results import require_products

    products = require_products([name.strip() for name in save.split(",") if name.strip()])
    segmenter = options.load(run)
    with progress("Labelling") as update:
        summary = predict_files(
            segmenter,
            inputs,
            out,
            save=products,
            resume=resume,
            progress=update,
            max_pixels=options.max_pixels,
        )
    if summary.images:
        rate = summary.images / summary.seconds
        busy = summary.network_seconds / summary.seconds
        who = "the network" if options.crf is None else "network and CRF"
        images = "1 image" if summary.images == 1 else f"{summary.images} images"
        console.print(
            f"Labelled {images} in {summary.seconds:.1f} s "
            f"({rate:.2f} images/s; {who} worked {busy:.0%} of that time)."
        )
    if summary.skipped:
        console.print(f"Passed over {summary.skipped} files: their results are there.")
    for product in products:
        console.print(f"  {product}: {out / product}", markup=False)
    summary.check()
