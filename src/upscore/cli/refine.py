"""``upscore refine``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from upscore.cli.segmenter_options import MAX_PIXELS


def refine(
    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="LABELS|PROBABILITIES...")],
    /,
    *,
    images: Annotated[Path, arg(metavar="DIR")],
    out: Annotated[Path, arg(metavar="DIR")],
    crf: Annotated[str, arg(metavar="NAME|FILE")] = "deconvnet",
    confidence: float = 0.9,
    classes: Annotated[int | None, arg(metavar="INT")] = None,
    save: str = "labels,overlay",
    resume: bool = False,
    workers: Annotated[int | None, arg(metavar="INT")] = None,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Sharpen label maps or probabilities of any tool along the photo, with a dense CRF.

    Args:
        inputs: Files, folders or patterns in quotes: .npz (key probabilities, or its only array)
            and .npy of (C, H, W), or index .png.
        images: Folder of the photos; they are matched by name without the suffix.
        out: Folder for the results: labels/, overlay/, probabilities/.
        crf: Settings: deconvnet, released, deeplab, or a YAML file.
        confidence: How sure a label of a label map is, between 0 and 1; 255 is unlabelled.
        classes: Number of classes; needed for label maps.
        save: What to write: labels, overlay, probabilities, joined by commas.
        resume: Pass over files whose results are all there already.
        workers: Processes that share the cores; by default one a core, fewer for few files.
        max_pixels: Photos with more pixels are refused.
    """
    from upscore.cli.console import console, progress, show_messages
    from upscore.crf.settings import load_crf
    from upscore.inference.outputs import require_products
    from upscore.inference.refine_files import refine_files

    products = require_products([name.strip() for name in save.split(",") if name.strip()])
    settings = load_crf(crf)
    show_messages("upscore.compiled")  # that the first use compiles, which takes its time
    with progress("Refining") as update:
        summary = refine_files(
            inputs,
            images,
            out,
            settings,
            confidence=confidence,
            num_classes=classes,
            save=products,
            resume=resume,
            progress=update,
            workers=workers,
            max_pixels=max_pixels,
        )
    if summary.images:
        files = "1 file" if summary.images == 1 else f"{summary.images} files"
        rate = summary.images / summary.seconds
        console.print(f"Refined {files} in {summary.seconds:.1f} s ({rate:.2f} files/s).")
    if summary.skipped:
        console.print(f"Passed over {summary.skipped} files: their results are there.")
    for product in products:
        console.print(f"  {product}: {out / product}", markup=False)
    summary.check()
