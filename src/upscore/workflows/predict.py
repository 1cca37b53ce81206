"""Segment photos and videos with a trained network or a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upscore.core.plural import plural
from upscore.core.progress import OnProgress, count_items, ignore_progress
from upscore.core.quoting import join
from upscore.inference.area_records import SUMMARY, Measures
from upscore.inference.batch_summary import Summary
from upscore.inference.outputs import ALPHA, require_formats
from upscore.inference.pipeline.settings import is_pipeline
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
    """

    summary: Summary
    folders: dict[str, Path]
    is_pipeline: bool = False

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        images = plural(self.summary.images, "image")
        return f"<PredictResult: {images}{failed}; {join(self.folders)}>"

    @property
    def failures(self) -> list[tuple[Path, str]]:
        """Files that could not be processed, each with its message."""
        return self.summary.failures

    def to_dict(self) -> dict[str, Any]:
        """Counts, failures and folders as JSON values."""
        return {
            "images": self.summary.images,
            "skipped": self.summary.skipped,
            "passed_over": [str(path) for path in self.summary.passed_over],
            "failures": [message for _, message in self.failures],
            "seconds": self.summary.seconds,
            "folders": {name: str(path) for name, path in self.folders.items()},
        }


def predict(
    run: str | Path,
    inputs: Sequence[str | Path],
    *,
    out: str | Path,
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
        run: a run folder, a model folder, or a pipeline file (.yaml).
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
        UpscoreError: see :func:`upscore.inference.predict_files.predict_files`, or the run cannot
            be loaded.

    Example:
        >>> result = upscore.predict(run, [toy / "JPEGImages"], out=folder, save=["labels"])
        >>> result.failures
        []
    """
    run, out = Path(run), Path(out)
    formats = require_formats(save)
    summary = predict_files(
        options.load(run),
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
    return PredictResult(summary, folders, is_pipeline(run))
