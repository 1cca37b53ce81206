"""Many photos to files: decode ahead, network, write behind, all at once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from upscore.core.failures import first_line
from upscore.core.files import make_folder
from upscore.core.images import MAX_PIXELS, read_image
from upscore.core.labels import LabelMap, RGBImage
from upscore.core.parallel.prefetch import prefetch
from upscore.core.parallel.writer import Writer
from upscore.errors import OutputError, SettingsError, UpscoreError
from upscore.inference.batch_summary import Summary
from upscore.inference.inputs import Job, find_jobs
from upscore.inference.outputs import (
    Product,
    refuse_overwriting,
    require_products,
    result_path,
    write_results,
)
from upscore.inference.pipeline.run import OnStep
from upscore.inference.proposal_steps import ProposalSteps
from upscore.inference.segmenter import Scores, Segmenter
from upscore.inference.video import label_video, require_video, video_path

DEPTH = 4
"""Photos that wait decoded, and results that wait to be written: bounds memory, hides jitter."""


@dataclass
class BatchSummary(Summary):
    """A summary with the seconds, of the whole, that the network worked."""

    network_seconds: float = 0.0


def predict_files(
    segmenter: Segmenter,
    inputs: Sequence[str | Path],
    out: Path,
    *,
    save: Sequence[str] = ("labels", "overlay"),
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 2,
    max_pixels: int = MAX_PIXELS,
    steps: Sequence[int] = (),
) -> BatchSummary:
    """Label files, folders, patterns and videos (see :func:`find_jobs`) and write the results.

    A photo ``NAME`` (its folder below the one that was named, and its stem) becomes

    - ``labels``: ``out/labels/NAME.png``, palette PNG of the photo's size, values class indices;
    - ``overlay``: ``out/overlay/NAME.jpg``, the photo under the colours with a legend below;
    - ``probabilities``: ``out/probabilities/NAME.npz``, ``probabilities`` (C, H, W) float16,
      ``classes`` (C,) names, ``colors`` (C, 3) uint8.

    A video becomes ``out/overlay/NAME.mp4`` and folders of one file a frame. Every result appears
    whole or not at all; what is there is replaced, or kept with ``resume``. A file that cannot be
    labelled does not stop the others: call ``check`` on what is returned. Memory stays the same
    over any number of photos.

    Args:
        save: which of the three.
        resume: pass over files all of whose results are there.
        progress: called with (files done, files in all).
        workers: threads that decode, and as many that draw and write.
        max_pixels: larger photos and frames fail.
        steps: also save what a pipeline's box by box stages say after so many boxes (see
            ``proposal_steps``).

    Raises:
        SettingsError: unknown ``save``, results that would share a name or overwrite an input, or
            ``steps`` that this segmenter or a video cannot have.
        NotFoundError: an input that does not exist or holds nothing to label.
        MissingExtraError: a video without PyAV.
        OutputError: a result cannot be written (disk full); what was finished stays.
    """
    begin = time.perf_counter()
    products = require_products(save)
    stepwise = ProposalSteps.of(segmenter, steps) if steps else None
    jobs = find_jobs(inputs, out)
    videos = [job for job in jobs if job.is_video]
    if videos:
        require_video()
    if videos and stepwise:
        raise SettingsError(
            f"{videos[0].source}: results after some boxes are saved of photos, not of videos; "
            "leave out the videos or --save-proposal-steps"
        )
    targets = {job: _targets(job, out, products) for job in jobs}
    if stepwise:
        for job in jobs:
            targets[job] += stepwise.paths(out, job.name, products)
    refuse_overwriting({job.source: paths for job, paths in targets.items()})
    make_folder(out)
    todo = [job for job in jobs if not (resume and all(path.exists() for path in targets[job]))]
    summary = BatchSummary(skipped=len(jobs) - len(todo))
    network = TimedNetwork(segmenter, stepwise, with_probabilities="probabilities" in products)

    def read(job: Job) -> RGBImage | str | None:
        """The photo, or what is wrong with it; None for a video, which is streamed in its turn."""
        if job.is_video:
            return None
        try:
            return read_image(job.source, max_pixels=max_pixels)
        except UpscoreError as error:
            return str(error)
        except (OSError, MemoryError) as error:
            return f"{job.source}: cannot be read ({first_line(error)})"

    if progress:
        progress(summary.skipped, len(jobs))
    with (
        Writer(workers=workers, depth=DEPTH) as writer,
        contextlib.closing(prefetch(read, todo, workers=workers, depth=DEPTH)) as decoded,
    ):
        for number, (job, photo) in enumerate(zip(todo, decoded, strict=True), start=1):
            try:
                if isinstance(photo, str):
                    summary.failures.append((job.source, photo))
                elif photo is None:
                    summary.images += label_video(
                        job, network, segmenter.labels, out, products,
                        max_pixels=max_pixels, writer=writer,
                    )  # fmt: skip
                else:
                    on_step = None
                    if stepwise:
                        on_step = stepwise.saver(out, job.name, products, photo, writer)
                    labels, probabilities = network(photo, on_step)
                    writer.put(
                        write_results, out, job.name, products, photo, labels, probabilities,
                        segmenter.labels,
                    )  # fmt: skip
                    summary.images += 1
            except OutputError:  # the next file could not be written either
                raise
            except (UpscoreError, RuntimeError, MemoryError) as error:
                summary.failures.append((job.source, _network_failure(job, photo, error)))
            if progress:
                progress(summary.skipped + number, len(jobs))
    summary.seconds = time.perf_counter() - begin
    summary.network_seconds = network.seconds
    return summary


class TimedNetwork:
    """Calls a segmenter and adds up the seconds that it takes."""

    def __init__(
        self,
        segmenter: Segmenter,
        stepwise: ProposalSteps | None = None,
        *,
        with_probabilities: bool,
    ) -> None:
        self.segmenter = segmenter
        self.stepwise = stepwise
        self.with_probabilities = with_probabilities
        self.seconds = 0.0

    def __call__(
        self, image: RGBImage, on_step: OnStep | None = None
    ) -> tuple[LabelMap, Scores | None]:
        """(H, W, 3) uint8 -> labels (H, W) uint8, probabilities (C, H, W) float32 if wanted."""
        begin = time.perf_counter()
        try:
            if self.stepwise and on_step:
                probabilities = self.stepwise(image, on_step)
            elif self.with_probabilities:
                probabilities = self.segmenter.probabilities(image)
            else:
                return self.segmenter.predict(image), None
            labels: LabelMap = probabilities.argmax(axis=0).astype(np.uint8)
            return labels, probabilities if self.with_probabilities else None
        finally:
            self.seconds += time.perf_counter() - begin


def _targets(job: Job, out: Path, products: Sequence[Product]) -> list[Path]:
    path = video_path if job.is_video else result_path
    return [path(out, product, job.name) for product in products]


def _network_failure(job: Job, photo: RGBImage | str | None, error: Exception) -> str:
    text = first_line(error)
    if isinstance(error, UpscoreError) and text.startswith(str(job.source)):
        return text
    of = f" of {photo.shape[1]}x{photo.shape[0]}" if isinstance(photo, np.ndarray) else ""
    low = isinstance(error, MemoryError) or "memory" in text.lower()
    hint = "; try a smaller --tile" if low else ""
    return f"{job.source}: the network failed on this file{of} ({text}){hint}"
