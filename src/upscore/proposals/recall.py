"""How many annotated objects proposals find, by number of boxes, overlap and object size.

An object counts as found at a threshold when any of the first K boxes overlaps it by that IoU or
more. One box may find several objects, and boxes that find nothing cost nothing but their place
(Hosang et al., "What makes for effective detection proposals?", TPAMI 2016).
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.boxes import iou_matrix
from upscore.core.failures import Failure, failure_message
from upscore.core.parallel.map import map_items, num_processes
from upscore.core.tables import write_csv
from upscore.data.dataset import DataSet, Split
from upscore.data.masks import read_instances
from upscore.errors import DataError, SettingsError, UpscoreError, WorkError
from upscore.proposals.base import ProposalSource
from upscore.proposals.ground_truth import GroundTruth, TrueObject

Overlaps = npt.NDArray[np.float32]
"""(objects, counts) float32 in [0, 1]: the best IoU among the first so many boxes."""

COUNTS = (10, 20, 50, 100, 200, 500, 1000, 2000)
THRESHOLDS = (0.5, 0.7, 0.9)
"""IoU at which recall is given; average recall is over all from 0.5 to 1."""
_RECALLS = [f"recall_at_{threshold:g}" for threshold in THRESHOLDS]

SIZES: dict[str, tuple[float, float]] = {
    "all": (0, float("inf")),
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, float("inf")),
}
"""COCO's groups by the area of the object's mask in pixels (not of its box): from, below."""

MIN_AREA = 100
"""Objects of fewer pixels are left out: specks of the annotation, and shorter than a step of any
search."""


def best_overlaps(truth: object, boxes: object, counts: Sequence[int]) -> Overlaps:
    """The IoU of each true box (N, 4) with the best among the first ``counts[i]`` boxes (K, 4).

    Counts are 1 or more; one above K takes all. Where there is no box, the IoU is 0.

    Returns:
        (N, len(counts)) float32 in [0, 1].

    Raises:
        DataError: boxes of another shape, or NaN in them.
    """
    overlaps = iou_matrix(truth, boxes)
    num_objects, num_boxes = overlaps.shape
    if not num_boxes:
        return np.zeros((num_objects, len(counts)), np.float32)
    best = np.maximum.accumulate(overlaps, axis=1)
    return best[:, [min(count, num_boxes) - 1 for count in counts]]


def recall_at(overlaps: Overlaps, threshold: float) -> npt.NDArray[np.float64]:
    """Share of the objects with an overlap of ``threshold`` or more, by count: (counts,) float64.

    NaN where there is no object.
    """
    return _mean(overlaps >= np.float32(threshold))


def average_recall(overlaps: Overlaps) -> npt.NDArray[np.float64]:
    """Average recall AR of Hosang et al., by count: (counts,) float64.

    Twice the area under the recall over IoU from 0.5 to 1, exactly and not at ten points as COCO
    takes it:

        AR = 2 * integral of recall(t) dt over [0.5, 1] = mean over objects of 2 * max(0, IoU - 0.5)

    NaN where there is no object.
    """
    return _mean(2 * np.maximum(overlaps.astype(np.float64) - 0.5, 0))


def _mean(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    if not len(values):
        return np.full(values.shape[1], np.nan)
    result: npt.NDArray[np.float64] = values.mean(axis=0, dtype=np.float64)
    return result


@dataclass(frozen=True)
class PhotoRecall:
    """One photo: its objects, and of each source the overlaps, boxes and seconds.

    Attributes:
        left_out: objects that were too small to count.
    """

    name: str
    objects: tuple[TrueObject, ...]
    left_out: int
    overlaps: dict[str, Overlaps]
    num_boxes: dict[str, int]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Row:
    """Scores of a source with its first ``boxes`` boxes on the objects of a size; None: none."""

    source: str
    size: str
    boxes: int
    objects: int
    recall: tuple[float | None, ...]
    average_recall: float | None


@dataclass(frozen=True)
class Recall:
    """Proposals of several sources against the objects of a split.

    Attributes:
        objects_from: "instance masks" or "connected regions".
        photos: those with an object, in the split's order.
        num_photos: all that were looked at, those without an object too.
        left_out: objects below ``min_area``.
        failures: what is wrong with each photo that failed, with any of the sources: such a photo
            counts for none of them.
        settings: of each source.
    """

    sources: tuple[str, ...]
    counts: tuple[int, ...]
    min_area: int
    objects_from: str
    photos: tuple[PhotoRecall, ...]
    num_photos: int
    left_out: int
    failures: tuple[str, ...]
    settings: Mapping[str, Mapping[str, Any]]

    def overlaps(self, source: str, size: str = "all") -> Overlaps:
        """(objects of that size, counts) float32 over all photos."""
        low, high = SIZES[size]
        parts = [np.zeros((0, len(self.counts)), np.float32)]
        for photo in self.photos:
            chosen = [low <= item.area < high for item in photo.objects]
            parts.append(photo.overlaps[source][chosen])
        return np.concatenate(parts)

    def num_objects(self, size: str = "all") -> int:
        low, high = SIZES[size]
        return sum(low <= item.area < high for photo in self.photos for item in photo.objects)

    def rows(self, size: str | None = None) -> list[Row]:
        """All scores, by source, size (or of that size only) and count."""
        rows = []
        for source in self.sources:
            for group in SIZES if size is None else (size,):
                overlaps = self.overlaps(source, group)
                recalls = [recall_at(overlaps, threshold) for threshold in THRESHOLDS]
                averages = average_recall(overlaps)
                rows += [
                    Row(
                        source,
                        group,
                        count,
                        len(overlaps),
                        tuple(_number(recall[place]) for recall in recalls),
                        _number(averages[place]),
                    )
                    for place, count in enumerate(self.counts)
                ]
        return rows

    def boxes_a_photo(self, source: str) -> float:
        """Mean number of boxes that the source gave, of at most the largest count."""
        return statistics.fmean(photo.num_boxes[source] for photo in self.photos)

    def seconds_a_photo(self, source: str) -> float:
        """Median, which loading and compiling with the first photo does not move."""
        return statistics.median(photo.seconds[source] for photo in self.photos)

    def to_json(self) -> dict[str, Any]:
        return {
            "photos": self.num_photos,
            "photos_without_objects": self.num_photos - len(self.photos) - len(self.failures),
            "objects_from": self.objects_from,
            "objects": {size: self.num_objects(size) for size in SIZES},
            "sizes": "area of the mask in pixels: small below 32^2, medium below 96^2, large",
            "min_area": self.min_area,
            "objects_below_min_area": self.left_out,
            "average_recall": "mean over objects of 2 * max(0, IoU - 0.5)",
            "counts": list(self.counts),
            "sources": {source: self._source_to_json(source) for source in self.sources},
            "failures": list(self.failures),
        }

    def _source_to_json(self, source: str) -> dict[str, Any]:
        sizes = {}
        for size in SIZES:
            rows = [row for row in self.rows(size) if row.source == source]
            sizes[size] = {
                name: [row.recall[place] for row in rows] for place, name in enumerate(_RECALLS)
            } | {"average_recall": [row.average_recall for row in rows]}
        return {
            "settings": self.settings[source],
            "boxes_a_photo": self.boxes_a_photo(source),
            "seconds_a_photo": self.seconds_a_photo(source),
            "sizes": sizes,
        }

    def write_csv(self, path: Path) -> None:
        """One row for each source, size and count; an empty cell where there is no object."""
        rows = []
        for row in self.rows():
            scores = [*row.recall, row.average_recall]
            shown = [score if score is None else f"{score:.6f}" for score in scores]
            rows.append([row.source, row.size, row.boxes, row.objects, *shown])
        write_csv(path, ["source", "size", "boxes", "objects", *_RECALLS, "average_recall"], rows)


def _number(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)


@dataclass(frozen=True)
class _Measurement:
    """Compares one photo after another; goes to each process once."""

    data: DataSet
    split: Split
    sources: Mapping[str, ProposalSource]
    counts: tuple[int, ...]
    min_area: int

    def name(self, index: int) -> str:
        """Path of photo ``index`` of the split."""
        return str(self.split.pairs[index].image)

    def __call__(self, index: int) -> PhotoRecall | Failure:
        """Objects and overlaps of photo ``index`` of the split.

        Raises:
            DataError: what is wrong with this photo.
            UpscoreError: a source cannot work, on no photo at all.
        """
        pair = self.split.pairs[index]
        path = self.data.instances.get(pair.name)
        try:
            sample = self.split.read(index)
            instances = None
            if path is not None:
                instances = read_instances(path, sample.labels, max_pixels=self.split.max_pixels)
            background = self.data.labels.background
            every = GroundTruth().objects(sample.labels, instances, background=background)
        except UpscoreError as error:
            text = " ".join(str(error).split())
            named = any(str(file) in text for file in (pair.image, pair.mask, path))
            return Failure(index, pair.name, text if named else f"{pair.image}: {text}")
        objects = tuple(item for item in every if item.area >= self.min_area)
        left_out = len(every) - len(objects)
        result = PhotoRecall(pair.name, objects, left_out, {}, {}, {})
        if not objects:
            return result
        truth = np.array([item.box for item in objects], np.float32)
        for name, source in self.sources.items():
            begin = time.perf_counter()
            try:
                found = source(sample.image, name=sample.name).top(max(self.counts))
            except Exception as error:  # other people's sources may raise anything
                if isinstance(error, UpscoreError) and not isinstance(error, DataError):
                    raise
                hint = "try --workers 1"
                text = failure_message(name, error, doing="find its boxes", memory_hint=hint)
                raise DataError(text) from error
            result.seconds[name] = time.perf_counter() - begin
            result.num_boxes[name] = len(found)
            result.overlaps[name] = best_overlaps(truth, found.boxes, self.counts)
        return result


def measure_recall(
    data: DataSet,
    split: str,
    sources: Mapping[str, ProposalSource],
    *,
    counts: Sequence[int] = COUNTS,
    min_area: int = MIN_AREA,
    workers: int | None = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Recall:
    """Proposals of every photo of a split against its objects.

    Objects are those of the instance masks where the data set has such for a photo, else the
    connected regions of each class but "background" (see :class:`GroundTruth`).

    Args:
        sources: by the name that they get in the results.
        counts: numbers of boxes, each 1 or more.
        min_area: objects of fewer pixels are left out, and counted.
        workers: processes of one core each; None for one a core. With more than 1 a script that
            defines the source itself needs ``if __name__ == "__main__":``.
        progress: called with (done, of how many photos).

    Raises:
        SettingsError: no source, no or bad counts, no such split, ``min_area`` or ``workers`` below
            1.
        DataError: a broken split, or no object in any photo.
        WorkError: every photo with objects failed, or a process died.
        UpscoreError: of a source that cannot work at all, such as MissingExtraError.
    """
    if not sources:
        raise SettingsError("no source of boxes; name one or more")
    if not counts or any(count < 1 for count in counts):
        raise SettingsError(
            f"counts are {tuple(counts)}; expected one or more, each 1 or more boxes"
        )
    if min_area < 1:
        raise SettingsError(f"min_area is {min_area}; allowed: 1 or more pixels")
    part = data.split(split)
    work = _Measurement(data, part, dict(sources), tuple(sorted(set(counts))), min_area)
    outcomes = map_items(
        work,
        range(len(part)),
        name=work.name,
        doing="measure its boxes",
        processes=num_processes(workers, len(part), worth=1),
        one_core=True,
    )
    measured: dict[int, PhotoRecall | Failure] = {}
    with contextlib.closing(outcomes):
        for index, outcome in outcomes:
            measured[index] = outcome
            if progress:
                progress(len(measured), len(part))
    in_order = [measured[index] for index in range(len(part))]
    photos = [item for item in in_order if isinstance(item, PhotoRecall)]
    failures = [item.message for item in in_order if isinstance(item, Failure)]
    left_out = sum(photo.left_out for photo in photos)
    scored = tuple(photo for photo in photos if photo.objects)
    if not scored and failures:
        raise WorkError(
            f"no photo with objects could be used; {len(failures)} of {len(part)} failed, the "
            f"first: {failures[0]}"
        )
    if not scored:
        smaller = "1 smaller one" if left_out == 1 else f"{left_out} smaller ones"
        raise DataError(
            f"{data.root}: no object of {min_area} or more pixels in split {split!r} ({smaller}); "
            "is it the right split? Objects are what is neither void nor the class called "
            "background; --min-area lowers the limit"
        )
    return Recall(
        sources=tuple(sources),
        counts=work.counts,
        min_area=min_area,
        objects_from="instance masks" if data.instances else "connected regions",
        photos=scored,
        num_photos=len(part),
        left_out=left_out,
        failures=tuple(failures),
        settings={name: source.settings() for name, source in sources.items()},
    )
