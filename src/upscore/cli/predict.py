"""``upscore predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from upscore.cli.console import console
from upscore.cli.options import split_names
from upscore.cli.progress import ProgressDisplay
from upscore.cli.segmenter_options import SEGMENTER_DEFAULTS, SegmenterOptions
from upscore.core.plural import plural
from upscore.errors import SettingsError
from upscore.inference.outputs import OUT_HELP, SAVE_HELP

if TYPE_CHECKING:
    from upscore.workflows.predict import PredictResult


def predict(
    run: Annotated[Positional[Path], arg(metavar="RUN|PIPELINE")],
    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")],
    /,
    *,
    out: Annotated[Path, arg(help=OUT_HELP)],
    save: Annotated[str, arg(help=SAVE_HELP)] = "labels,overlay",
    resume: bool = False,
    save_proposal_steps: Annotated[str | None, arg(metavar="COUNTS")] = None,
    options: Annotated[SegmenterOptions, arg(name="")] = SEGMENTER_DEFAULTS,
) -> None:
    """Label photos and videos with a trained network or a pipeline of them.

    Args:
        run: Run folder that `upscore train` wrote, a model folder, or a pipeline file (.yaml).
        inputs: Photos, folders, patterns in quotes ('**/*.jpg') or videos.
        resume: Pass over photos whose results are all there already.
        save_proposal_steps: Of a pipeline with an instance_wise stage, also save the labels of
            that stage after so many boxes, as 1,5,10,50: steps/STAGE/labels/NAME-005.png and so on.
    """
    from upscore.workflows.predict import predict as run_prediction

    with ProgressDisplay() as on_progress:
        result = run_prediction(
            run,
            inputs,
            out=out,
            save=split_names(save),
            resume=resume,
            proposal_steps=() if save_proposal_steps is None else _counts(save_proposal_steps),
            options=options,
            on_progress=on_progress,
        )
    summary = result.summary
    if summary.images:
        rate = summary.images / summary.seconds
        busy = summary.network_seconds / summary.seconds
        who = "the pipeline" if result.is_pipeline else "the network"
        who = who if options.crf is None else "network and CRF"
        console.print(
            f"Labelled {plural(summary.images, 'image')} in {summary.seconds:.1f} s "
            f"({rate:.2f} images/s; {who} worked {busy:.0%} of that time)."
        )
    print_files(result)
    summary.check()


def print_files(result: PredictResult) -> None:
    """Number of skipped files, and the folders of the results."""
    if result.summary.skipped:
        console.print(f"Skipped {result.summary.skipped} files: their results are there.")
    for name, folder in result.folders.items():
        console.print(f"  {name}: {folder}")


def _counts(text: str) -> tuple[int, ...]:
    """Numbers of boxes as typed. Raises SettingsError."""
    parts = split_names(text)
    if not parts or not all(part.isascii() and part.isdigit() and int(part) for part in parts):
        raise SettingsError(
            f"--save-proposal-steps is {text!r}; want numbers of boxes from 1, joined by commas, "
            "as 1,5,10,50"
        )
    return tuple(int(part) for part in parts)
