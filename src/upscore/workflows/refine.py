"""Refine label maps or probabilities from any tool with a dense CRF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from upscore.core.limits import MAX_PIXELS
from upscore.core.progress import OnProgress, count_items, ignore_progress
from upscore.crf.settings import load_crf
from upscore.inference.outputs import require_formats
from upscore.inference.refine_files import refine_files
from upscore.workflows.predict import PredictResult


def refine(
    inputs: Sequence[str | Path],
    *,
    images: str | Path,
    out: str | Path,
    crf: str | Path = "deconvnet",
    confidence: float = 0.9,
    num_classes: int | None = None,
    save: Sequence[str] = ("labels", "overlay"),
    resume: bool = False,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    on_progress: OnProgress = ignore_progress,
) -> PredictResult:
    """Refine files of (C, H, W) probabilities or (H, W) labels along the edges of their photos.

    Args:
        inputs: files, folders or patterns: npz, npy, or index PNG.
        images: folder of the photos, matched by name without the suffix.
        crf: settings: deconvnet, released, deeplab, deeplab-largefov, or a YAML file.
        confidence, num_classes: for label maps; see
            :func:`upscore.inference.refine_files.refine_files`.
        workers: number of processes.

    Raises:
        UpscoreError: see :func:`upscore.inference.refine_files.refine_files` and
            :func:`upscore.crf.settings.load_crf`.

    Example:
        >>> result = upscore.refine([probabilities], images=toy / "JPEGImages", out=folder)
        >>> result.summary.images
        1
    """
    formats = require_formats(save)
    summary = refine_files(
        inputs,
        Path(images),
        Path(out),
        load_crf(crf),
        confidence=confidence,
        num_classes=num_classes,
        save=formats,
        resume=resume,
        progress=count_items(on_progress, "refining"),
        workers=workers,
        max_pixels=max_pixels,
    )
    return PredictResult(summary, {name: Path(out) / name for name in formats})
