"""``upscore refine``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from upscore.cli.console import console, keep_result
from upscore.cli.options import MaxPixels, OptionalInt, split_names
from upscore.cli.predict import print_files
from upscore.cli.progress import ProgressDisplay
from upscore.core.limits import MAX_PIXELS
from upscore.core.plural import plural
from upscore.inference.outputs import OUT_HELP, SAVE_HELP


def refine(
    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="LABELS|PROBABILITIES...")],
    /,
    *,
    images: Annotated[Path, arg(metavar="DIR")],
    out: Annotated[Path, arg(metavar="DIR", help=OUT_HELP)],
    crf: Annotated[str, arg(metavar="NAME|FILE")] = "deconvnet",
    confidence: float = 0.9,
    classes: OptionalInt = None,
    save: Annotated[str, arg(help=SAVE_HELP)] = "labels,overlay",
    resume: bool = False,
    workers: OptionalInt = None,
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Refine label maps or probabilities from any tool with a dense CRF.

    Args:
        inputs: Files, folders or patterns in quotes: .npz (key probabilities, or its
            only array) and .npy of (C, H, W), or index .png.
        images: Folder of the photos; they are matched by name without the suffix.
        crf: Settings: deconvnet, released, deeplab, deeplab-largefov, or a YAML file.
        confidence: Probability that a pixel of a label map is right, between 0 and 1;
            pixels of 255 have no label.
        classes: Number of classes; needed for label maps.
        resume: Skip files that already have results.
        workers: Number of processes; by default one for each core, fewer if there are few files.
    """
    from upscore.workflows.refine import refine as run_refinement

    with ProgressDisplay() as on_progress:
        result = run_refinement(
            inputs,
            images=images,
            out=out,
            crf=crf,
            confidence=confidence,
            num_classes=classes,
            save=split_names(save),
            resume=resume,
            workers=workers,
            max_pixels=max_pixels,
            on_progress=on_progress,
        )
    keep_result(result)
    summary = result.summary
    if summary.images:
        files = plural(summary.images, "file")
        rate = summary.images / summary.seconds
        console.print(f"Refined {files} in {summary.seconds:.1f} s ({rate:.2f} files/s).")
    print_files(result)
    summary.check()
