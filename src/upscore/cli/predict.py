"""``upscore predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from upscore.cli.console import console, keep_result
from upscore.cli.options import split_names
from upscore.cli.progress import ProgressDisplay
from upscore.cli.segmenter_options import SEGMENTER_DEFAULTS, SegmenterOptions
from upscore.core.option_values import require_alpha, require_measures
from upscore.core.plural import plural
from upscore.core.quoting import join
from upscore.errors import SettingsError
from upscore.inference.outputs import ALPHA, OUT_HELP, SAVE_HELP, require_formats

SHOWN = 8
"""Classes whose shares are printed, the largest."""

if TYPE_CHECKING:
    from upscore.workflows.predict import PredictResult


def predict(
    words: Annotated[Positional[tuple[str, ...]], arg(metavar="[RUN|PIPELINE] INPUT...")] = (),
    /,
    *,
    model: Annotated[str | None, arg(metavar="NAME|RUN|PIPELINE")] = None,
    out: Annotated[Path, arg(help=OUT_HELP)] = Path("predictions"),
    save: Annotated[str, arg(help=SAVE_HELP)] = "labels,overlay",
    resume: bool = False,
    pages: bool = False,
    alpha: float = ALPHA,
    count_objects: Annotated[int | None, arg(metavar="PIXELS")] = None,
    mm_per_pixel: float | None = None,
    save_proposal_steps: Annotated[str | None, arg(metavar="COUNTS")] = None,
    options: Annotated[SegmenterOptions, arg(name="")] = SEGMENTER_DEFAULTS,
) -> None:
    """Segment photos and videos with a trained network or a pipeline.

    Args:
        words: Photos, folders, patterns in quotes ('**/*.jpg') or videos. They may follow
            a run folder of `upscore train`, a model folder or a pipeline file
            (.yaml); by default the last run in runs/ is used, or, if there is no run, a
            network that is included in upscore.
        model: The network, if it is not the first word: a run, or a name such as roads.
        resume: Skip photos that already have results.
        pages: Segment every page of TIFF files and every frame of animations; without it,
            files with several pages or frames are refused.
        alpha: Opacity of the colours in overlays, 0 to 1; outlines are always in full colour.
        count_objects: In summary.csv, also count the connected regions of each class with at
            least this many pixels.
        mm_per_pixel: Side of a pixel in the real world; adds areas in mm2 to summary.csv.
        save_proposal_steps: For a pipeline with an instance_wise stage, also save that stage's
            result after N boxes, for each N in a list such as 1,5,10,50, as
            steps/STAGE/labels/NAME-005.png.
    """
    formats = require_formats(split_names(save))
    steps = () if save_proposal_steps is None else _counts(save_proposal_steps)
    require_alpha(alpha)
    require_measures(count_objects, mm_per_pixel)
    options.check()

    from upscore.core.files import exists
    from upscore.core.labels import shares_text
    from upscore.core.model_folder import included, require_network
    from upscore.inference.inputs import require_input

    network, photos = _network(words, model)
    require_network(Path(network))
    for photo in photos:
        require_input(photo)

    from upscore.workflows.predict import predict as run_prediction

    _announce(network, chosen=model is not None or network in words)
    if network in words and exists(Path(network)) and included(network):
        console.print(f"{network} is the network; for photos in the folder type ./{network}")
    try:
        with ProgressDisplay() as on_progress:
            result = run_prediction(
                network,
                photos,
                out=out,
                save=formats,
                resume=resume,
                pages=pages,
                proposal_steps=steps,
                count_objects=count_objects,
                mm_per_pixel=mm_per_pixel,
                alpha=alpha,
                options=options,
                on_progress=on_progress,
            )
    except KeyboardInterrupt as error:
        left = "to segment the photos that are left, run the same command with --resume"
        raise KeyboardInterrupt(f"interrupted; {left}") from error
    keep_result(result)
    summary = result.summary
    if summary.images:
        rate = summary.images / summary.seconds
        busy = summary.network_seconds / summary.seconds
        who = "the pipeline" if result.is_pipeline else "the network"
        who = who if options.crf is None else "network and CRF"
        console.print(
            f"Segmented {plural(summary.images, 'image')} in {summary.seconds:.1f} s "
            f"({rate:.2f} images/s; {who} took {busy:.0%} of that time)."
        )
        if summary.images == 1:
            console.print(f"Shares: {shares_text(summary.shares, most=SHOWN)}")
    more = (["areas in mm2"] if mm_per_pixel is not None else []) + (
        ["numbers of objects"] if count_objects is not None else []
    )
    print_files(result, summary=", ".join(["the share of each class in each photo", *more]))
    summary.check()


def _network(words: tuple[str, ...], model: str | None) -> tuple[str, tuple[str, ...]]:
    """The network and the inputs.

    Raises:
        SettingsError: no input, or several networks.
        NotFoundError: no network.
    """
    from upscore.core.files import exists
    from upscore.core.image_files import IMAGE_SUFFIXES
    from upscore.core.model_folder import included, means_network
    from upscore.core.runs_folder import default_network

    if not words:
        raise SettingsError("no photo is named; type: upscore predict PHOTO.jpg")
    first, others = words[0], words[1:]
    if model is None and (means_network(first) or (others and included(first))):
        if not others:
            raise SettingsError(
                f"no photo is named; type: upscore predict {first} PHOTO.jpg --out FOLDER"
            )
        _refuse_networks(others, first)
        return first, others
    is_photo = Path(first).suffix.lower() in IMAGE_SUFFIXES or _is_pattern(first)
    if model is None and others and not exists(Path(first)) and not is_photo:
        return first, others  # a run that is not there
    _refuse_networks(words, model)
    return model or str(default_network()), words


def _announce(network: str, *, chosen: bool) -> None:
    """Print which network is used, and its classes.

    Args:
        chosen: whether the user named it.
    """
    from upscore.core.model_folder import builtin_networks, is_pipeline, name_of
    from upscore.inference.run_model import read_labels

    if is_pipeline(Path(network)):
        return
    classes = f"with the classes {join(read_labels(Path(network)).names, limit=1000, most=100)}"
    name = name_of(Path(network))
    networks = builtin_networks()
    if chosen:
        console.print(f"Network {name}, {classes}.")
    elif name in networks:
        others = [f"--model {other}" for other in networks if other != name]
        others.append("--model RUN (your own)")
        console.print(f"Network {name}, {classes}. Others: {', '.join(others)}.")
    else:
        console.print(f"Using the last run, {name}, {classes}.")


def _refuse_networks(photos: tuple[str, ...], used: str | None) -> None:
    """Refuse networks in place of photos: pictures in a run folder would be segmented.

    Args:
        used: the network that the user named.
    """
    from upscore.core.model_folder import means_network

    wrong = next((word for word in photos if means_network(word)), None)
    if wrong is not None:
        given = f", and {used} is already the network; name only one" if used else ""
        pictures = (
            f"; or, for pictures in that folder, a pattern in quotes: '{wrong}/**/*.jpg'"
            if Path(wrong).is_dir()
            else ""
        )
        raise SettingsError(
            f"{wrong} is a network, not photos{given}. "
            f"Type: upscore predict PHOTO.jpg --model {wrong}{pictures}"
        )


def _is_pattern(word: str) -> bool:
    return any(sign in word for sign in "*?[")


def print_files(result: PredictResult, *, summary: str = "") -> None:
    """Number of skipped files, and the folders of the results.

    Args:
        summary: what summary.csv holds.
    """
    from upscore.core.image_files import TO_EXPORT

    if result.summary.skipped:
        console.print(f"Skipped {result.summary.skipped} files that already have results.")
    passed_over = result.summary.passed_over
    if passed_over:
        what = "file that is not an image" if len(passed_over) == 1 else "files that are not images"
        console.print(f"Ignored {len(passed_over)} {what}: {join(passed_over)}", markup=False)
        if any(path.suffix.lower() in TO_EXPORT for path in passed_over):
            console.print("HEIC and PDF files cannot be read; export them as JPEG or PNG.")
    for name, folder in result.folders.items() if result.summary.has_results else ():
        note = f" ({summary})" if summary and name == "summary" else ""
        console.print(f"  {name}: {folder}{note}")


def _counts(text: str) -> tuple[int, ...]:
    """Numbers of boxes as typed. Raises SettingsError."""
    parts = split_names(text)
    if not parts or not all(part.isascii() and part.isdigit() and int(part) for part in parts):
        raise SettingsError(
            f"--save-proposal-steps is {text!r}; expected numbers of boxes from 1, separated by "
            "commas, such as 1,5,10,50"
        )
    return tuple(int(part) for part in parts)
