"""``upscore predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from upscore.cli.segmenter_options import SEGMENTER_DEFAULTS, SegmenterOptions
from upscore.errors import SettingsError


def predict(
    run: Annotated[Positional[Path], arg(metavar="RUN|PIPELINE")],
    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")],
    /,
    *,
    out: Path,
    save: str = "labels,overlay",
    resume: bool = False,
    save_proposal_steps: Annotated[str | None, arg(metavar="COUNTS")] = None,
    options: Annotated[SegmenterOptions, arg(name="")] = SEGMENTER_DEFAULTS,
) -> None:
    """Label photos and videos with a trained network or a pipeline of them.

    Args:
        run: Run folder that `upscore train` wrote, a model folder, or a pipeline file (.yaml).
        inputs: Photos, folders, patterns in quotes ('**/*.jpg') or videos.
        out: Folder for the results: labels/, overlay/, probabilities/.
        save: What to write: labels, overlay, probabilities, joined by commas.
        resume: Pass over photos whose results are all there already.
        save_proposal_steps: Of a pipeline with an instance_wise stage, also save what that stage
            says after so many boxes, as 1,5,10,50: steps/STAGE/labels/NAME-005.png and so on.
    """
    from upscore.core.memory import bound_shape_caches, keep_freed_memory

    bound_shape_caches()  # before torch comes in
    keep_freed_memory()
    from upscore.cli.console import console, progress
    from upscore.inference.outputs import require_products
    from upscore.inference.pipeline.settings import is_pipeline
    from upscore.inference.predict_files import predict_files
    from upscore.inference.proposal_steps import FOLDER

    products = require_products([name.strip() for name in save.split(",") if name.strip()])
    steps = () if save_proposal_steps is None else _counts(save_proposal_steps)
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
            steps=steps,
        )
    if summary.images:
        rate = summary.images / summary.seconds
        busy = summary.network_seconds / summary.seconds
        who = "the pipeline" if is_pipeline(run) else "the network"
        who = who if options.crf is None else "network and CRF"
        images = "1 image" if summary.images == 1 else f"{summary.images} images"
        console.print(
            f"Labelled {images} in {summary.seconds:.1f} s "
            f"({rate:.2f} images/s; {who} worked {busy:.0%} of that time)."
        )
    if summary.skipped:
        console.print(f"Passed over {summary.skipped} files: their results are there.")
    for product in products:
        console.print(f"  {product}: {out / product}", markup=False)
    if steps:
        console.print(f"  as boxes are added: {out / FOLDER}", markup=False)
    summary.check()


def _counts(text: str) -> tuple[int, ...]:
    """Numbers of boxes as typed. Raises SettingsError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() and int(part) for part in parts):
        raise SettingsError(
            f"--save-proposal-steps is {text!r}; want numbers of boxes from 1, joined by commas, "
            "as 1,5,10,50"
        )
    return tuple(int(part) for part in parts)
