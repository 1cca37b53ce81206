"""Segmentation of files to files: decoding, the network and writing overlap."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from upscore.core.failures import first_line
from upscore.core.files import make_folder
from upscore.core.images import read_image
from upscore.core.labels import LabelMap, RGBImage
from upscore.core.limits import MAX_PIXELS
from upscore.core.parallel.prefetch import prefetch
from upscore.core.parallel.writer import Writer
from upscore.errors import DataError, OutputError, SettingsError, UpscoreError
from upscore.inference.batch_summary import Summary
from upscore.inference.inputs import InputFile, find_inputs
from upscore.inference.outputs import (
    LabelledImage,
    need_probabilities,
    output_path,
    refuse_overwriting,
    require_formats,
    write_outputs,
)
from upscore.inference.pipeline.run import OnStep
from upscore.inference.proposal_steps import ProposalSteps
from upscore.inference.segmenter import ScoreMap, Segmenter
from upscore.inference.video import label_video, require_video, video_path

DEPTH = 4
"""Decoded photos, and results to be written, that wait: bounds memory and evens out the speed."""


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
) -> Summary:
    """Label files, folders, patterns and videos (see :func:`find_inputs`) and write the results.

    A photo ``NAME`` (its folder below the input folder, and its stem) becomes

    - ``labels``: ``out/labels/NAME.png``, palette PNG of the photo's size, values class indices;
    - ``overlay``: ``out/overlay/NAME.jpg``, the photo under the colours with a legend below;
    - ``probabilities``: ``out/probabilities/NAME.npz``, ``probabilities`` (C, H, W) float16,
      ``classes`` (C,) names, ``colors`` (C, 3) uint8.

    A video becomes ``out/overlay/NAME.mp4`` and folders of one file a frame. Every result appears
    whole or not at all; an old one is replaced, or kept with ``resume``. A file that cannot be
    labelled does not stop the others: call ``check`` on the returned summary. Memory stays the same
    over any number of photos.

    Args:
        save: names of ``FORMATS``.
        resume: skip files whose results all exist.
        progress: called with (files done, files in all).
        workers: threads that decode, and as many that draw and write.
        max_pixels: larger photos and frames fail.
        steps: numbers of boxes after which intermediate results of a pipeline's ``InstanceWise``
            stages are saved too (see ``proposal_steps``).

    Raises:
        SettingsError: unknown ``save``, results that would share a name or overwrite an input, or
            ``steps`` that do not apply to this segmenter or to a video.
        NotFoundError: an input that does not exist or holds nothing to label.
        MissingExtraError: a video without PyAV.
        OutputError: a result cannot be written (disk full); finished results stay.
    """
    begin = time.perf_counter()
    formats = require_formats(save)
    stepwise = ProposalSteps.of(segmenter, steps) if steps else None
    files = find_inputs(inputs, out)
    _check_videos([file for file in files if file.is_video], stepwise)
    targets = {file: _targets(file, out, formats, stepwise) for file in files}
    refuse_overwriting({file.source: paths for file, paths in targets.items()})
    make_folder(out)
    todo = [file for file in files if not (resume and all(map(Path.exists, targets[file])))]
    summary = Summary(skipped=len(files) - len(todo))
    timed = TimedSegmenter(segmenter, stepwise, with_probabilities=need_probabilities(formats))
    if progress:
        progress(summary.skipped, len(files))
    with (
        Writer(workers=workers, depth=DEPTH) as writer,
        contextlib.closing(
            prefetch(lambda file: _decode(file, max_pixels), todo, workers=workers, depth=DEPTH)
        ) as decoded,
    ):
        label = _FileLabeller(timed, out, formats, stepwise, max_pixels, writer)
        for number, (file, photo) in enumerate(zip(todo, decoded, strict=True), start=1):
            try:
                summary.images += label(file, photo)
            except OutputError:  # the next file could not be written either
                raise
            except (UpscoreError, RuntimeError, MemoryError) as error:
                summary.failures.append((file.source, _failure_message(file, photo, error)))
            if progress:
                progress(summary.skipped + number, len(files))
    summary.seconds = time.perf_counter() - begin
    summary.network_seconds = timed.seconds
    return summary


Decoded = RGBImage | UpscoreError | None
"""A photo, the reason why it cannot be read, or None for a video, which is decoded in its turn."""


@dataclass(frozen=True)
class _FileLabeller:
    """Labels one file after another; a writer writes the results in its threads."""

    network: TimedSegmenter
    out: Path
    formats: tuple[str, ...]
    stepwise: ProposalSteps | None
    max_pixels: int
    writer: Writer

    def __call__(self, file: InputFile, photo: Decoded) -> int:
        """Label a photo or all frames of a video.

        Returns:
            The number of images.

        Raises:
            UpscoreError: not readable.
            OutputError: cannot write; it may be an earlier file that cannot be written.
        """
        if isinstance(photo, UpscoreError):
            raise photo
        if photo is None:
            return self._video(file)
        self._photo(file, photo)
        return 1

    def _photo(self, file: InputFile, photo: RGBImage) -> None:
        on_step = None
        if self.stepwise:
            on_step = self.stepwise.saver(self.out, file.name, self.formats, photo, self.writer)
        item = self.network(photo, on_step)
        self.writer.put(write_outputs, self.out, file.name, self.formats, item)

    def _video(self, file: InputFile) -> int:
        return label_video(
            file,
            self.network,
            self.network.segmenter.labels,
            self.out,
            self.formats,
            max_pixels=self.max_pixels,
            writer=self.writer,
        )


class TimedSegmenter:
    """A segmenter that adds up its seconds and computes probabilities only if they are needed."""

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

    def __call__(self, image: RGBImage, on_step: OnStep | None = None) -> LabelledImage:
        """Label an (H, W, 3) uint8 image."""
        begin = time.perf_counter()
        try:
            labels, probabilities = self._label(image, on_step)
        finally:
            self.seconds += time.perf_counter() - begin
        return LabelledImage(image, labels, self.segmenter.labels, probabilities)

    def _label(self, image: RGBImage, on_step: OnStep | None) -> tuple[LabelMap, ScoreMap | None]:
        if self.stepwise and on_step:
            probabilities = self.stepwise(image, on_step)
        elif self.with_probabilities:
            probabilities = self.segmenter.probabilities(image)
        else:
            return self.segmenter.predict(image), None
        labels: LabelMap = probabilities.argmax(axis=0).astype(np.uint8)
        return labels, probabilities if self.with_probabilities else None


def _decode(file: InputFile, max_pixels: int) -> Decoded:
    if file.is_video:
        return None
    try:
        return read_image(file.source, max_pixels=max_pixels)
    except UpscoreError as error:
        return error
    except (OSError, MemoryError) as error:
        return DataError(f"{file.source}: cannot be read ({first_line(error)})")


def _check_videos(videos: Sequence[InputFile], stepwise: ProposalSteps | None) -> None:
    if not videos:
        return
    require_video()
    if stepwise:
        raise SettingsError(
            f"{videos[0].source}: results after some boxes are saved of photos, not of videos; "
            "leave out the videos or --save-proposal-steps"
        )


def _targets(
    file: InputFile, out: Path, formats: Sequence[str], stepwise: ProposalSteps | None
) -> list[Path]:
    """Paths of all results of a file."""
    path = video_path if file.is_video else output_path
    steps = stepwise.paths(out, file.name, formats) if stepwise else []
    return [path(out, name, file.name) for name in formats] + steps


def _failure_message(file: InputFile, photo: Decoded, error: Exception) -> str:
    if isinstance(error, UpscoreError) and str(error).startswith(str(file.source)):
        return str(error)
    text = first_line(error)
    of = f" of {photo.shape[1]}x{photo.shape[0]}" if isinstance(photo, np.ndarray) else ""
    low = isinstance(error, MemoryError) or "memory" in text.lower()
    hint = "; try a smaller --tile" if low else ""
    return f"{file.source}: the network failed on this file{of} ({text}){hint}"
