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

DEFAULT_NETWORK = "objects"
"""The network of the package that labels photos where no other is named, if it is there."""

if TYPE_CHECKING:
    from upscore.workflows.predict import PredictResult


def predict(
    run: Annotated[Positional[Path], arg(metavar="[RUN|PIPELINE]")],
    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")] = (),
    /,
    *,
    model: Annotated[str | None, arg(metavar="NAME|RUN|PIPELINE")] = None,
    out: Annotated[Path, arg(help=OUT_HELP)] = Path("predictions"),
    save: Annotated[str, arg(help=SAVE_HELP)] = "labels,overlay",
    resume: bool = False,
    pages: bool = False,
    save_proposal_steps: Annotated[str | None, arg(metavar="COUNTS")] = None,
    options: Annotated[SegmenterOptions, arg(name="")] = SEGMENTER_DEFAULTS,
) -> None:
    """Label photos and videos with a trained network or a pipeline of them.

    Args:
        run: Run folder of `upscore train`, model folder or pipeline file (.yaml); else a network
            that comes with upscore is used.
        inputs: Photos, folders, patterns in quotes ('**/*.jpg') or videos.
        model: The network, if it is not the first word: a run, or a name such as roads.
        resume: Pass over photos whose results are all there already.
        pages: Label every page of TIFF files and every frame of animations; without it, files of
            several are refused.
        save_proposal_steps: Of a pipeline with an instance_wise stage, also save the labels of
            that stage after so many boxes, as 1,5,10,50: steps/STAGE/labels/NAME-005.png and so on.
    """
    from upscore.workflows.predict import predict as run_prediction

    network, photos = _network((str(run), *inputs), model)
    with ProgressDisplay() as on_progress:
        result = run_prediction(
            network,
            photos,
            out=out,
            save=split_names(save),
            resume=resume,
            pages=pages,
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


def _network(words: tuple[str, ...], model: str | None) -> tuple[str, tuple[str, ...]]:
    """The network and the inputs; prints which network is used if it was not named.

    Raises:
        SettingsError: no input, or no network.
    """
    from upscore.inference.pipeline.settings import is_pipeline
    from upscore.inference.run_model import read_labels
    from upscore.models.checkpoint import builtin_networks, holds_model

    first = Path(words[0])
    networks = builtin_networks()
    if model is None and (holds_model(first) or is_pipeline(first)):
        if len(words) == 1:
            raise SettingsError(
                f"no photo is named; type: upscore predict {first} PHOTO.jpg --out FOLDER"
            )
        return words[0], words[1:]
    if model is None and len(words) > 1 and not first.exists() and not _is_pattern(words[0]):
        return words[0], words[1:]  # a run that is not there
    name = model or next((n for n in (DEFAULT_NETWORK, *networks) if n in networks), "")
    if not name:
        raise SettingsError(
            "no network is named, and none came with this installation; name a run folder before "
            "the photos (`upscore train` makes one)"
        )
    if name in networks:
        others = [f"--model {other}" for other in networks if other != name]
        console.print(
            f"Network {name}, which knows {', '.join(read_labels(Path(name)).names)}. "
            f"Others: {', '.join([*others, '--model RUN (your own)'])}."
        )
    return name, words


def _is_pattern(word: str) -> bool:
    return any(sign in word for sign in "*?[")


def print_files(result: PredictResult) -> None:
    """Number of skipped files, and the folders of the results."""
    if result.summary.skipped:
        console.print(f"Skipped {result.summary.skipped} files: their results are there.")
    passed_over = result.summary.passed_over
    if passed_over:
        some = ", ".join(str(path) for path in passed_over[:3])
        more = ", ..." if len(passed_over) > 3 else ""
        what = "file that is no image" if len(passed_over) == 1 else "files that are no image"
        console.print(f"Passed over {len(passed_over)} {what}: {some}{more}", markup=False)
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
