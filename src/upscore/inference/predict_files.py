"""Segmentation of files to files: decoding, the network and writing overlap."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from upscore.core.failures import failure_message
from upscore.core.files import make_folder
from upscore.core.images import common_range, read_image
from upscore.core.labels import LabelMap, RGBImage
from upscore.core.limits import MAX_PIXELS
from upscore.core.option_values import require_alpha
from upscore.core.parallel.prefetch import prefetch
from upscore.core.parallel.writer import Writer
from upscore.core.photo_values import AS_STORED, PhotoValues
from upscore.errors import SettingsError, UpscoreError
from upscore.inference.area_records import AreaRecords, Measures, Record
from upscore.inference.batch_summary import Summary
from upscore.inference.inputs import InputFile, find_inputs, require_own_names
from upscore.inference.outputs import (
    ALPHA,
    LabelledImage,
    need_probabilities,
    output_path,
    refuse_overwriting,
    require_formats,
    write_outputs,
)
from upscore.inference.proposal_steps import ProposalSteps
from upscore.inference.segmenter import Segmenter
from upscore.inference.video import frame_name, label_video, require_video, video_path

logger = logging.getLogger(__name__)

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
    photos: PhotoValues = AS_STORED,
    pages: bool = False,
    measures: Measures = Measures(),  # noqa: B008 - frozen
    alpha: float = ALPHA,
) -> Summary:
    """Label files, folders, patterns and videos (see :func:`find_inputs`) and write the results.

    A photo ``NAME`` (its folder below the input folder, and its stem) becomes

    - ``labels``: ``out/labels/NAME.png``, palette PNG of the photo's size, values class indices;
    - ``overlay``: ``out/overlay/NAME.jpg``, the photo under the colours with a legend below;
    - ``probabilities``: ``out/probabilities/NAME.npz``, ``probabilities`` (C, H, W) float16,
      ``classes`` (C,) names, ``colors`` (C, 3) uint8.

    A video becomes ``out/overlay/NAME.mp4`` and folders of one file a frame. ``out/summary.csv``
    and ``out/predictions.jsonl`` hold the pixels of each class in each photo. Every result appears
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
        photos: how values of photos became 8-bit RGB when the network was trained. Where it leaves
            the range open, photos of more than 8 bits get that of all of them together.
        pages: label every page or frame of a file of several, as ``NAME/000001`` and so on; without
            it such a file fails.
        measures: what ``summary.csv`` holds beside the pixels of each class.
        alpha: share of the colours in overlays, 0 to 1.

    Raises:
        SettingsError: unknown ``save``, ``alpha`` outside [0, 1], results that would share a name
            or overwrite an input, or ``steps`` that do not apply to this segmenter or to a video.
        NotFoundError: an input that does not exist or holds nothing to label.
        MissingExtraError: a video without PyAV.
        OutputError: a result cannot be written (disk full); finished results stay.
        WorkError: the system lacks memory, threads or the like for any file.
    """
    begin = time.perf_counter()
    formats = require_formats(save)
    require_alpha(alpha)
    stepwise = ProposalSteps.of(segmenter, steps) if steps else None
    found = find_inputs(inputs, out)
    files = found.files
    if pages:
        several = (file.pages(max_pixels=max_pixels) for file in files)
        files = list(itertools.chain.from_iterable(several))
        require_own_names(files)
    _check_videos([file for file in files if file.is_video], stepwise)
    targets: dict[InputFile, list[Path]] = {}
    for file in files:
        path = video_path if file.is_video else output_path
        targets[file] = [path(out, name, file.name) for name in formats]
        if stepwise:
            targets[file] += stepwise.paths(out, file.name, formats)
    refuse_overwriting([file.source for file in files], itertools.chain(*targets.values()))
    make_folder(out)
    records = AreaRecords(out, segmenter.labels, measures)
    todo = [
        file
        for file in files
        if not resume
        or not all(map(Path.exists, targets[file]))
        or (frame_name(file.name, 1) if file.is_video else file.name) not in records
    ]
    summary = Summary(skipped=len(files) - len(todo), passed_over=found.passed_over)
    if todo and photos.range is None:  # of all files, so that it is the same after an interruption
        sources = dict.fromkeys(file.source for file in files if not file.is_video)
        limits = common_range(sources, max_pixels=max_pixels, values=photos)
        photos = replace(photos, range=limits)
    if str(photos):
        logger.info("%s", photos)
    if progress:
        progress(summary.skipped, len(files))
    failures: dict[InputFile, str] = {}
    try:
        with (
            Writer(workers=workers, depth=DEPTH) as writer,
            contextlib.closing(
                prefetch(
                    lambda file: _decode(file, max_pixels, photos),
                    todo,
                    workers=workers,
                    depth=DEPTH,
                )
            ) as decoded,
        ):
            label = _FileLabeller(
                segmenter, out, formats, stepwise, max_pixels, writer, records, alpha, failures
            )
            for number, (file, photo) in enumerate(zip(todo, decoded, strict=True), start=1):
                try:
                    summary.images += label(file, photo)
                except Exception as error:
                    label.fail(file, photo, error)
                if progress:
                    progress(summary.skipped + number, len(files))
    finally:  # after Ctrl-C too, for the photos that are done
        for file, message in failures.items():
            records.fail(file.name, file.source, message)
        records.write()
    summary.images -= len(label.unwritten)
    summary.failures = [(file.source, failures[file]) for file in todo if file in failures]
    summary.seconds = time.perf_counter() - begin
    summary.network_seconds = label.network_seconds
    summary.shares = records.shares()
    return summary


Decoded = RGBImage | Exception | None
"""A photo, the reason why it cannot be read, or None for a video, which is decoded in its turn."""


@dataclass
class _FileLabeller:
    """Labels one file after another; a writer writes the results in its threads."""

    segmenter: Segmenter
    out: Path
    formats: tuple[str, ...]
    stepwise: ProposalSteps | None
    max_pixels: int
    writer: Writer
    records: AreaRecords
    alpha: float
    failures: dict[InputFile, str]
    network_seconds: float = 0.0
    unwritten: set[InputFile] = field(default_factory=set)
    """Photos that were labelled, and whose results could not be made into files."""

    def __call__(self, file: InputFile, photo: Decoded) -> int:
        """Label a photo or all frames of a video.

        Returns:
            The number of images.

        Raises:
            Exception: not readable, or anything else that goes wrong with this file.
            OutputError: cannot write; it may be an earlier file that cannot be written.
        """
        if isinstance(photo, Exception):
            raise photo
        if photo is None:
            return self._label_video(file)
        self._put(file, self.out, file.name, self._label(photo, file))
        return 1

    def _label_video(self, file: InputFile) -> int:
        found: list[Record] = []

        def label(frame: RGBImage) -> LabelledImage:
            item = self._label(frame, file)
            name = frame_name(file.name, len(found) + 1)
            found.append(self.records.measure(name, file.source, item.labels))
            return item

        num = label_video(
            file,
            label,
            self.segmenter.labels,
            self.out,
            self.formats,
            max_pixels=self.max_pixels,
            writer=self.writer,
        )
        self.records.add(*found)
        return num

    def fail(self, file: InputFile, photo: Decoded, error: Exception) -> None:
        """Keep why a file failed. Raises what is no file's fault, see :func:`failure_message`."""
        size = "" if isinstance(error, UpscoreError) else _size(photo)
        message = failure_message(f"{file.source}{size}", error, doing="segment it")
        self.failures.setdefault(file, message)

    def _put(self, file: InputFile, out: Path, name: str, item: LabelledImage) -> None:
        """Let the writer write results of a photo; an error there is this photo's.

        Raises:
            OutputError, WorkError: an earlier photo could not be written, nor could others.
        """

        def write() -> None:
            try:
                write_outputs(out, name, self.formats, item)
                if name == file.name:  # no result after some boxes
                    self.records.add(self.records.measure(name, file.source, item.labels))
            except Exception as error:
                self.fail(file, item.image, error)
                self.unwritten.add(file)

        self.writer.put(write)

    def _label(self, image: RGBImage, file: InputFile) -> LabelledImage:
        """Label an image; its probabilities are computed only if they are needed."""
        begin = time.perf_counter()
        probabilities = None
        try:
            if self.stepwise:
                put = functools.partial(self._put, file)
                probabilities = self.stepwise.probabilities(
                    image, file.name, self.out, self.formats, put
                )
            elif need_probabilities(self.formats):
                probabilities = self.segmenter.probabilities(image)
            labels: LabelMap = (
                self.segmenter.predict(image)
                if probabilities is None
                else probabilities.argmax(axis=0).astype(np.uint8)
            )
        finally:
            self.network_seconds += time.perf_counter() - begin
        kept = probabilities if need_probabilities(self.formats) else None
        return LabelledImage(image, labels, self.segmenter.labels, kept, self.alpha)


def _decode(file: InputFile, max_pixels: int, photos: PhotoValues) -> Decoded:
    if file.is_video:
        return None
    try:
        return read_image(file.source, max_pixels=max_pixels, values=photos, page=file.page)
    except Exception as error:  # raised in its turn
        return error


def _size(photo: Decoded) -> str:
    return f" ({photo.shape[1]}x{photo.shape[0]})" if isinstance(photo, np.ndarray) else ""


def _check_videos(videos: Sequence[InputFile], stepwise: ProposalSteps | None) -> None:
    if not videos:
        return
    require_video()
    if stepwise:
        raise SettingsError(
            f"{videos[0].source}: results after some boxes are saved of photos, not of videos; "
            "leave out the videos or --save-proposal-steps"
        )
