"""Refinement of files of any tool by a dense CRF, in several processes."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from upscore.core.failures import Failure
from upscore.core.files import make_folder
from upscore.core.images import common_range, read_image
from upscore.core.labels import RGBImage
from upscore.core.limits import MAX_PIXELS
from upscore.core.option_values import require_at_least, require_confidence
from upscore.core.parallel.map import map_items, num_processes
from upscore.core.parallel.processes import num_cores
from upscore.core.photo_values import PhotoValues
from upscore.crf.settings import CRFSettings
from upscore.crf.unary import unary_from_labels
from upscore.errors import DataError, NotFoundError, RunError, SettingsError, UpscoreError
from upscore.inference.batch_summary import Summary
from upscore.inference.foreign_predictions import (
    LABEL_SUFFIXES,
    PREDICTION_SUFFIXES,
    StoredPrediction,
    read_prediction,
)
from upscore.inference.inputs import InputFile, InputKind, find_inputs
from upscore.inference.outputs import (
    LabelledImage,
    output_path,
    refuse_overwriting,
    require_formats,
    write_outputs,
)
from upscore.inference.photo_index import PhotoIndex
from upscore.inference.segmenter import ScoreMap

PREDICTIONS = InputKind(
    "result", PREDICTION_SUFFIXES, lambda path: path.suffix.lower() in PREDICTION_SUFFIXES
)

WORTH = 8
"""Least number of files for each process: below it, a start costs more than it saves."""

NUM_CLASSES_MISSING = "a label map; give its number of classes, for example --classes 21"

Task = tuple[InputFile, Path]
"""A stored result and its photo."""


@dataclass(frozen=True)
class Refinement:
    """The work of each process: refine one file after another, with arguments of ``refine_files``.

    ``threads`` are those of the CRF; None for all.
    """

    settings: CRFSettings
    out: Path
    formats: tuple[str, ...]
    confidence: float
    num_classes: int | None
    max_pixels: int
    threads: int | None
    values: PhotoValues

    def __call__(self, task: Task) -> None:
        """Refine one file and write its results.

        Raises:
            NotFoundError, DataError, SettingsError: what is wrong with the file, or with the CRF
                for it.
            OutputError: cannot write.
        """
        job, photo = task
        prediction = read_prediction(job.source, max_pixels=self.max_pixels)
        image = read_image(photo, max_pixels=self.max_pixels, values=self.values)
        prediction.require_size(job.source, image.shape[:2], f"its photo {photo}")
        try:
            marginals = self._marginals(prediction, image)
            label_set = prediction.label_set(len(marginals))
        except (DataError, SettingsError) as error:
            raise type(error)(f"{job.source}: {error}") from error
        labels = marginals.argmax(axis=0).astype(np.uint8)
        item = LabelledImage(image, labels, label_set, marginals)
        write_outputs(self.out, job.name, self.formats, item)

    def _marginals(self, prediction: StoredPrediction, image: RGBImage) -> ScoreMap:
        crf = self.settings.build(threads=self.threads)
        if not prediction.is_labels:
            found = len(prediction.array)
            if self.num_classes not in (None, found):
                raise DataError(
                    f"probabilities of {found} classes, but --classes {self.num_classes}"
                )
            return crf(image, probabilities=prediction.array)
        if self.num_classes is None:
            raise SettingsError(NUM_CLASSES_MISSING)
        return crf(
            image, energies=unary_from_labels(prediction.array, self.num_classes, self.confidence)
        )


def refine_files(
    inputs: Sequence[str | Path],
    images: Path,
    out: Path,
    settings: CRFSettings,
    *,
    confidence: float = 0.9,
    num_classes: int | None = None,
    save: Sequence[str] = ("labels", "overlay"),
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Summary:
    """Refine label maps and probabilities (files, folders, patterns) with their photos.

    A result ``NAME`` is read by :func:`upscore.inference.foreign_predictions.read_prediction` and
    belongs to the photo ``images/NAME.*``, or else to the only photo of its stem below
    ``images``. Output, failures, interruption and ``resume`` work as in
    :func:`upscore.inference.predict_files.predict_files`.

    Args:
        settings: of the CRF.
        confidence: probability that a label of a label map is right; 255 is a pixel without one.
        num_classes: of the label maps; needed for them.
        save: which of labels, overlay, probabilities.
        workers: processes, each with its share of the cores; None for one a core, or fewer for
            few files. With 1, all is done in this process.

    Raises:
        SettingsError: unknown ``save``, ``workers`` or ``num_classes`` below 1, label maps without
            ``num_classes``, a ``confidence`` outside (0, 1), names that collide, results that would
            overwrite an input.
        NotFoundError: an input or ``images`` does not exist, or no input has a photo.
        OutputError: a result cannot be written; what was finished stays.
        WorkError: a process died.
    """
    begin = time.perf_counter()
    formats = require_formats(save)
    num_processes(workers, 0, worth=WORTH)  # refuses a bad number
    jobs = find_inputs(inputs, out, PREDICTIONS).files
    _require_fit(jobs, num_classes, confidence)
    index = PhotoIndex(images, out=out)
    targets = {job: [output_path(out, name, job.name) for name in formats] for job in jobs}
    refuse_overwriting([job.source for job in jobs], itertools.chain(*targets.values()))
    summary = Summary(verb="refined")
    todo: list[Task] = []
    for job in jobs:
        if resume and all(path.exists() for path in targets[job]):
            summary.skipped += 1
            continue
        try:
            todo.append((job, index.find(job.name)))
        except UpscoreError as error:
            summary.failures.append((job.source, f"{job.source}: {error}"))
    if len(summary.failures) == len(jobs):
        raise SettingsError(summary.failures[0][1])
    refuse_overwriting(
        [photo for _, photo in todo], itertools.chain(*(targets[job] for job, _ in todo))
    )
    make_folder(out)

    processes = num_processes(workers, len(todo), worth=WORTH)
    threads = None if processes == 1 else max(1, num_cores() // processes)
    values = PhotoValues(common_range([photo for _, photo in todo], max_pixels=max_pixels))
    work = Refinement(settings, out, formats, confidence, num_classes, max_pixels, threads, values)
    done = summary.skipped + len(summary.failures)
    if progress:
        progress(done, len(jobs))
    outcomes = map_items(
        work,
        todo,
        name=_name,
        doing="refine it",
        processes=processes,
        item_errors=(DataError, NotFoundError, RunError, SettingsError),
        if_died="finished work is kept. Continue with --resume and fewer --workers",
    )
    with contextlib.closing(outcomes):
        for number, ((job, _), outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, Failure):
                summary.failures.append((job.source, outcome.message))
            else:
                summary.images += 1
            if progress:
                progress(done + number, len(jobs))
    place = {job.source: number for number, job in enumerate(jobs)}
    summary.failures.sort(key=lambda failure: place[failure[0]])
    summary.seconds = time.perf_counter() - begin
    return summary


def _require_fit(jobs: Sequence[InputFile], num_classes: int | None, confidence: float) -> None:
    require_at_least(1, num_classes=num_classes)
    require_confidence(confidence)
    for job in jobs:
        if job.source.suffix.lower() in LABEL_SUFFIXES:
            if num_classes is None:
                raise SettingsError(f"{job.source}: {NUM_CLASSES_MISSING}")
            unary_from_labels(np.zeros((1, 1), np.uint8), num_classes, confidence)  # do they fit?
            return


def _name(task: Task) -> str:
    return str(task[0].source)
