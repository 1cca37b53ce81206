"""Comparison of several predictions of the same images: scores, differences and their intervals."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from upscore.core.failures import Failure, failure_of
from upscore.core.labels import LabelMap, Labels
from upscore.core.parallel.prefetch import prefetch
from upscore.data.dataset import Split
from upscore.data.masks import read_instances
from upscore.errors import DataError, SettingsError
from upscore.metrics.all_metrics import Details
from upscore.metrics.bootstrap import Overlaps, difference_interval, overlaps
from upscore.metrics.confusion import Confusion, Matrix, Scores, class_iou, count, mean_iou
from upscore.metrics.evaluate import objects_from
from upscore.metrics.object_size import COCO_SIZES, Bins


@dataclass(frozen=True)
class PackedLabels:
    """A label map, compressed to a few per cent, so that thousands of them fit into memory.

    Attributes:
        shape: height and width.
        content: zlib of the (H, W) bytes.
    """

    shape: tuple[int, int]
    content: bytes

    @classmethod
    def of(cls, labels: LabelMap) -> PackedLabels:
        """Of (H, W) uint8."""
        height, width = labels.shape
        return cls((height, width), zlib.compress(labels.tobytes(), 1))

    def unpack(self) -> LabelMap:
        """(H, W) uint8; the caller may change it."""
        content = bytearray(zlib.decompress(self.content))
        return np.frombuffer(content, np.uint8).reshape(self.shape)


@dataclass(frozen=True)
class PredictedMaps:
    """Label maps of a split by one network or pipeline, in the classes of the data set.

    Attributes:
        name: what tables and figures call it; no two of a comparison are equal.
        maps: by place in the split; a message where there is none.
        seconds: of each image that was labelled.
        peak_bytes: largest resident memory of the process that labelled; 0 where not known.
    """

    name: str
    maps: tuple[PackedLabels | str, ...]
    seconds: tuple[float, ...] = ()
    peak_bytes: int = 0


@dataclass(frozen=True)
class ModelScores:
    """Scores of one model over the images that all of them labelled.

    Attributes:
        image_overlaps: (2, C) int64 of each image, see :data:`upscore.metrics.bootstrap.Overlaps`.
        image_miou: of each image alone; None where it is all void.
        seconds: median time an image; None where not measured.
    """

    name: str
    confusion: Confusion
    details: Details
    seconds: float | None
    peak_bytes: int
    image_overlaps: list[Overlaps] = field(default_factory=list)
    image_miou: list[float | None] = field(default_factory=list)

    @property
    def scores(self) -> Scores:
        return self.confusion.scores()

    def add(self, matrix: Matrix, details: Details) -> None:
        """Add the counts of one image."""
        self.confusion.matrix += matrix
        self.image_overlaps.append(overlaps(matrix))
        self.image_miou.append(mean_iou(matrix))
        total = self.details
        total += details


@dataclass(frozen=True)
class Difference:
    """mIoU of a model minus that of the first.

    Attributes:
        miou: None where there is nothing to score.
        low, high: 95 % interval of it, by a paired bootstrap over images.
        better, worse: number of classes with a higher and a lower IoU.
    """

    miou: float | None
    low: float
    high: float
    better: int
    worse: int

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out 0; never where a single image leaves it no width."""
        return self.low < self.high and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Comparison:
    """Scores of two or more models on the same images; the first is the reference of differences.

    Attributes:
        images: names of the images that count, in the order of the split.
        places: their places in the split.
        objects_from: what the objects are: "instance masks" or "connected regions".
        failures: images that do not count: a model has no labels for it, or the truth cannot be
            read.
    """

    split: str
    labels: Labels
    models: tuple[ModelScores, ...]
    images: tuple[str, ...]
    places: tuple[int, ...]
    objects_from: str
    failures: tuple[Failure, ...]
    seed: int = 0

    @cached_property
    def differences(self) -> Sequence[Difference]:
        """One for each model after the first."""
        first, *others = self.models
        return [_difference(first, one, self.seed) for one in others]

    def winners(self) -> list[list[int]]:
        """For each class, the models with the highest IoU; several where they are equal.

        Empty where all are equal, or where the class is not in the truth.
        """
        found: list[list[int]] = []
        in_truth = self.models[0].confusion.matrix.sum(axis=1) > 0
        ious = zip(*(class_iou(c.confusion.matrix) for c in self.models), strict=True)
        for occurs, values in zip(in_truth.tolist(), ious, strict=True):
            known = [0.0 if value is None else value for value in values]
            places = [i for i, value in enumerate(known) if value == max(known)]
            found.append(places if occurs and len(places) < len(known) else [])
        return found

    def most_different(self, num: int) -> list[int]:
        """Rows of ``images`` with the largest range of their own mIoU, the largest first.

        Images on which all agree, or that are all void, are not among them.
        """
        ranges = []
        for row, values in enumerate(zip(*(c.image_miou for c in self.models), strict=True)):
            known = [value for value in values if value is not None]
            if known and max(known) > min(known):
                ranges.append((min(known) - max(known), row))
        return [row for _, row in sorted(ranges)[:num]]


def compare(
    labelled: Sequence[PredictedMaps],
    split: Split,
    *,
    instances: Mapping[str, Path] | None = None,
    bins: Bins = COCO_SIZES,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Score every model on the images that all of them labelled.

    Args:
        labelled: two or more; the first is the reference.
        instances: instance masks by the image's name, for the scores by object size; without, and
            for images that have none, connected regions.
        bins: the sizes.
        seed: of the bootstrap.
        progress: called with (images done, images).

    Raises:
        SettingsError: fewer than two models, two of one name, or not of this split.
        DataError: a label map of another size than the truth, or no image that counts.
    """
    names = [item.name for item in labelled]
    if len(names) < 2:
        raise SettingsError(f"a comparison needs two or more models, found {len(names)}")
    if len(set(names)) < len(names):
        raise SettingsError(f"the models are called {', '.join(names)}; expected different names")
    for item in labelled:
        if len(item.maps) != len(split):
            raise SettingsError(
                f"{item.name} has labels of {len(item.maps)} images, split {split.name!r} has "
                f"{len(split)}"
            )
    instances = instances or {}
    models = [
        ModelScores(
            item.name,
            Confusion(len(split.labels)),
            Details(split.labels, bins=bins),
            median(item.seconds) if item.seconds else None,
            item.peak_bytes,
        )
        for item in labelled
    ]
    places: list[int] = []
    failures: list[Failure] = []

    def read(place: int) -> tuple[int, list[PackedLabels], LabelMap, Any] | Failure:
        """Everything about an image, or why it does not count."""
        name = split.pairs[place].name
        maps = []
        for item in labelled:
            packed = item.maps[place]
            if isinstance(packed, str):
                return Failure(place, name, f"{item.name}: {packed}")
            maps.append(packed)
        try:
            truth = split.read_labels(place)
            objects = read_instances(instances.get(name), truth, max_pixels=split.max_pixels)
        except Exception as error:
            return failure_of(place, name, error, doing="read it")
        return place, maps, truth, objects

    for done, known in enumerate(prefetch(read, range(len(split)), workers=1, depth=2), 1):
        if isinstance(known, Failure):
            failures.append(known)
        else:
            place, maps, truth, objects = known
            name = split.pairs[place].name
            counted = []
            for model, packed in zip(models, maps, strict=True):
                try:
                    labels = packed.unpack()
                    matrix = count(truth, labels, len(split.labels))
                    details = Details(split.labels, bins=bins)
                    details.update(truth, labels, objects)
                    counted.append((matrix, details))
                except DataError as error:
                    raise DataError(f"{model.name}, {name}: {error}") from error
                except Exception as error:
                    failures.append(failure_of(place, name, error, doing="score it"))
                    break
            else:
                for model, (matrix, details) in zip(models, counted, strict=True):
                    model.add(matrix, details)
                places.append(place)
        if progress:
            progress(done, len(split))
    if not places:
        raise DataError(
            f"no image of split {split.name!r} counts, as one of the models failed on each or "
            f"its truth cannot be read; the first: {failures[0].message}"
        )
    return Comparison(
        split=split.name,
        labels=split.labels,
        models=tuple(models),
        images=tuple(split.pairs[place].name for place in places),
        places=tuple(places),
        objects_from=objects_from(instances),
        failures=tuple(failures),
        seed=seed,
    )


def _difference(first: ModelScores, other: ModelScores, seed: int) -> Difference:
    before, after = first.scores.miou, other.scores.miou
    low, high = difference_interval(
        np.stack(first.image_overlaps), np.stack(other.image_overlaps), seed=seed
    )
    pairs = zip(
        class_iou(first.confusion.matrix), class_iou(other.confusion.matrix), strict=True
    )  # None for a class that only the other one predicts
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    return Difference(
        miou=None if before is None or after is None else after - before,
        low=low,
        high=high,
        better=sum(b > a for a, b in known),
        worse=sum(b < a for a, b in known),
    )
