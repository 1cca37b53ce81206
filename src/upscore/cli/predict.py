"""``upscore predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

TILE = 1024  # inference.tiles.DEFAULT_TILE, written out because --help imports nothing heavy
MAX_PIXELS = 64_000_000  # core.images.MAX_PIXELS, likewise


def predict(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")],
    /,
    *,
    out: Path,
    save: str = "labels,overlay",
    resume: bool = False,
    tile: int = TILE,
    flip: bool = False,
    scales: tuple[float, ...] = (1.0,),
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Label photos and videos with a trained network.

    Args:
        run: Run folder that `upscore train` wrote, or a model folder.
        inputs: Photos, folders, patterns in quotes ('**/*.jpg') or videos.
        out: Folder for the results: labels/, overlay/, probabilities/.
        save: What to write: labels, overlay, probabilities, joined by commas.
        resume: Pass over photos whose results are all there already.
        tile: Photos with a longer side are done in overlapping tiles of this side, a multiple of
            32; 0 for never.
        flip: Average over the mirrored photo too; takes twice the time.
        scales: Average over these sizes of the photo, as in --scales 0.75 1 1.25.
        device: Where to compute; auto takes a GPU if there is one.
        precision: Number format; auto takes bf16 where the hardware has it.
        max_pixels: Photos with more pixels are refused.
    """
    from upscore.core.memory import bound_shape_caches, keep_freed_memory

    bound_shape_caches()  # before torch comes in
    keep_freed_memory()
    from upscore.cli.console import console, progress
    from upscore.inference.batch import predict_files
    from upscore.inference.load import load_segmenter
    from upscore.inference.results import require_products

    products = require_products([name.strip() for name in save.split(",") if name.strip()])
    segmenter = load_segmenter(
        run, device=device, precision=precision, tile=tile, flip=flip, scales=scales
    )
    with progress("Labelling") as update:
        summary = predict_files(
            segmenter,
            inputs,
            out,
            save=products,
            resume=resume,
            progress=update,
            max_pixels=max_pixels,
        )
    if summary.images:
        rate = summary.images / summary.seconds
        busy = summary.network_seconds / summary.seconds
        images = "1 image" if summary.images == 1 else f"{summary.images} images"
        console.print(
            f"Labelled {images} in {summary.seconds:.1f} s "
            f"({rate:.2f} images/s; the network worked {busy:.0%} of that time)."
        )
    if summary.skipped:
        console.print(f"Passed over {summary.skipped} files: their results are there.")
    for product in products:
        console.print(f"  {product}: {out / product}", markup=False)
    summary.check()
