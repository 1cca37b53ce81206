"""Segment photos and videos with a trained network or a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upscore.core.labels import Shares
from upscore.core.model_folder import is_pipeline, means_network, name_of
from upscore.core.plural import plural
from upscore.core.progress import OnProgress, count_items, ignore_progress
from upscore.core.quoting import join, quote
from upscore.core.runs_folder import default_network
from upscore.errors import SettingsError
from upscore.inference.area_records import SUMMARY, Measures
from upscore.inference.batch_summary import Summary
from upscore.inference.outputs import ALPHA, require_formats
from upscore.inference.predict_files import predict_files
from upscore.inference.proposal_steps import FOLDER
from upscore.inference.trained_photos import trained_photos
from upscore.workflows.options import DEFAULTS, SegmenterOptions


@dataclass(frozen=True, repr=False)
class PredictResult:
    """Results of a batch of files, by kind.

    Attributes:
        summary: numbers of images, skipped files, failures, and seconds.
        folders: the folder of each kind of result, such as ``labels``; ``summary`` is a file.
        is_pipeline: whether the results come from a pipeline.
        network: run, model folder, name or pipeline file that was used; None for ``refine``.
        classes: names of its classes.
    """

    summary: Summary
    folders: dict[str, Path]
    is_pipeline: bool = False
    network: str | None = None
    classes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        images = plural(self.summary.images, "image")
        return f"<PredictResult: {images}{failed}; {join(self.folders)}>"

    @property
    def failures(self) -> list[tuple[Path, str]]:
        """Files that could not be processed, each with its message."""
        return self.summary.failures

    @property
    def shares(self) -> Shares:
        """The share of each class in the pixels of all images together, in [0, 1], by name.

        Those of each photo are in ``summary.csv``. Empty for ``refine``.
        """
        return self.summary.shares

    def to_dict(self) -> dict[str, Any]:
        """Counts, failures and folders as JSON values, and of a network its name and shares."""
        found = {"network": self.network, "classes": list(self.classes), "shares": self.shares}
        return {
            **({} if self.network is None else found),
            "images": self.summary.images,
            "skipped": self.summary.skipped,
            "passed_over": [str(path) for path in self.summary.passed_over],
            "failures": [message for _, message in self.failures],
            "seconds": self.summary.seconds,
            "folders": {name: str(path) for name, path in self.folders.items()},
        }


Inputs = str | Path | Sequence[str | Path]
"""One or several photos, folders, patterns or videos."""


def predict(
    run: Inputs,
    inputs: Inputs | None = None,
    *,
    out: str | Path = "predictions",
    save: Sequence[str] = ("labels", "overlay"),
    resume: bool = False,
    pages: bool = False,
    proposal_steps: Sequence[int] = (),
    count_objects: int | None = None,
    mm_per_pixel: float | None = None,
    alpha: float = ALPHA,
    options: SegmenterOptions = DEFAULTS,
    on_progress: OnProgress = ignore_progress,
) -> PredictResult:
    """Segment photos, folders, patterns and videos; results are files in ``out``.

    Args:
        run: a run folder, a model folder, a pipeline file (.yaml), or the name of a network of the
            package, such as ``roads``. It may be left out: the only argument is ``inputs``, and the
            last run in ``runs/`` is used, or, if there is no run, a network of the package.
        save: any of labels, overlay, probabilities.
        resume: skip files that already have results.
        pages: segment every page or frame of files with several; without it such files fail.
        proposal_steps: for a pipeline with an instance_wise stage, also save its results after
            these numbers of boxes.
        count_objects: count connected regions of at least this many pixels, for ``summary.csv``.
        mm_per_pixel: side of a pixel in the real world, for areas in ``summary.csv``.
        alpha: opacity of the colours in overlays, 0 to 1.

    Returns:
        Counts and folders; files that failed are in ``failures``, all others are done.

    Raises:
        SettingsError: the only argument is a network.
        UpscoreError: see :func:`upscore.inference.predict_files.predict_files`, or the run cannot
            be loaded.

    Example:
        >>> result = upscore.predict(run, [toy / "JPEGImages"], out=folder, save=["labels"])
        >>> result.failures
        []
    """
    network, inputs = _network_and_inputs(run, inputs)
    run, out = Path(network), Path(out)
    formats = require_formats(save)
    segmenter = options.load(run)
    summary = predict_files(
        segmenter,
        inputs,
        out,
        save=formats,
        resume=resume,
        progress=count_items(on_progress, "segmenting"),
        max_pixels=options.max_pixels,
        steps=proposal_steps,
        photos=trained_photos(run),
        pages=pages,
        measures=Measures(count_objects, mm_per_pixel),
        alpha=alpha,
    )
    folders: dict[str, Path] = {name: out / name for name in formats}
    if proposal_steps:
        folders["steps"] = out / FOLDER
    folders["summary"] = out / SUMMARY
    return PredictResult(summary, folders, is_pipeline(run), name_of(run), segmenter.labels.names)


def _network_and_inputs(run: Inputs, inputs: Inputs | None) -> tuple[str, Sequence[str | Path]]:
    """The two, where the first may have been left out. Raises SettingsError."""
    if inputs is not None:
        if not isinstance(run, str | Path):
            raise SettingsError(f"run is {quote(run)}; expected one run, model folder or pipeline")
        return str(run), [inputs] if isinstance(inputs, str | Path) else inputs
    inputs = [run] if isinstance(run, str | Path) else run
    for one in inputs:
        if means_network(one):
            raise SettingsError(
                f"{one} is a network; name photos too: predict({str(one)!r}, PHOTOS)"
            )
    return str(default_network()), inputs
