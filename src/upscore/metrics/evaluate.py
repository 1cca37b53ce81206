"""Score any function from photo to label map on a split of a data set."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from upscore.core.failures import Failure, failure_of
from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.core.parallel.prefetch import prefetch
from upscore.core.plural import plural
from upscore.data.dataset import Sample, Split
from upscore.data.masks import read_instances
from upscore.errors import DataError, SettingsError
from upscore.metrics.all_metrics import Details
from upscore.metrics.confusion import Confusion, Matrix, count, mean_iou, pixel_accuracy
from upscore.metrics.object_size import COCO_SIZES, Bins

Predict = Callable[[RGBImage], LabelMap]
"""(H, W, 3) uint8 RGB -> (H, W) uint8 class indices, no void."""

PredictStages = Callable[[Sample], Mapping[str, LabelMap]]
"""An image with its name -> several label maps of it, by stage."""


@dataclass(frozen=True)
class ImageScore:
    """One image. ``index`` is its place in the split; scores are None when all of it is void.

    Attributes:
        covers: by class, the valid pixels that are of it in the truth and in the prediction;
            empty for an image of a scores.json, which does not hold them.
    """

    index: int
    name: str
    pixel_accuracy: float | None
    miou: float | None
    valid_pixels: int
    covers: tuple[tuple[int, int], ...] = field(default=(), compare=False)


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The result for a split, or for one shard of it.

    ``seconds`` is wall time, ``predict_seconds`` the part of it spent inside ``predict``.
    ``images`` and ``failures`` are in the order of the split. ``details`` is None where they were
    not requested; ``objects_from`` is "instance masks" or "connected regions".
    """

    split: str
    labels: Labels
    confusion: Confusion
    images: tuple[ImageScore, ...]
    failures: tuple[Failure, ...]
    seconds: float
    predict_seconds: float
    details: Details | None = field(default=None, compare=False)
    objects_from: str | None = None

    def __repr__(self) -> str:
        miou = self.confusion.scores().miou
        score = "nothing to score" if miou is None else f"mIoU {miou:.4f}"
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"<Evaluation of {self.split}: {score}, {plural(len(self.images), 'image')}{failed}>"

    @property
    def overhead(self) -> float | None:
        """Share of the wall time outside ``predict``; None when no time was measured."""
        return 1 - self.predict_seconds / self.seconds if self.seconds > 0 else None


def evaluate(
    predict: Predict,
    split: Split,
    *,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 2,
    shard: tuple[int, int] = (0, 1),
    details: bool = False,
    instances: Mapping[str, Path] | None = None,
    bins: Bins = COCO_SIZES,
) -> Evaluation:
    """One confusion matrix over a split, at the photos' own resolution.

    ``workers`` threads decode photos ahead and one thread counts predictions, so that ``predict``
    (called in this thread, one photo at a time) hardly waits.

    Args:
        progress: called with (images done, images of this shard).
        shard: (index, count): take images index, index + count, ...; the shards together are the
            split, each image once. :func:`merge` combines them.
        details: score boundaries and objects too, which takes some 20 ms of one core for an image
            of 500x375, in the counting thread.
        instances: for the details, instance masks by the image's name; without, and for images
            that have none, connected regions.
        bins: for the details, the sizes of objects.

    An image that cannot be read or on which ``predict`` fails is added to ``failures`` and the
    others are scored; a prediction that is no label map of the photo's size is an error.

    Raises:
        SettingsError: a shard outside its count.
        DataError: ``predict`` gave another shape, another type or a value that is no class.
    """
    name = "prediction"
    return evaluate_stages(
        lambda sample: {name: predict(sample.image)},
        [name],
        split,
        progress=progress,
        workers=workers,
        shard=shard,
        details=details,
        instances=instances,
        bins=bins,
    )[name]


def objects_from(instances: Mapping[str, Path] | None) -> str:
    """The kind of objects in the scores by size, for messages and files."""
    return "instance masks" if instances else "connected regions"


def evaluate_stages(
    predict: PredictStages,
    stages: Sequence[str],
    split: Split,
    *,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 2,
    shard: tuple[int, int] = (0, 1),
    details: bool = False,
    instances: Mapping[str, Path] | None = None,
    bins: Bins = COCO_SIZES,
) -> dict[str, Evaluation]:
    """:func:`evaluate` for several predictions of each photo, made by one call.

    Args:
        stages: names of the predictions, which ``predict`` must return for each photo. A photo on
            which it fails counts for none of them.

    Returns:
        An evaluation by name, in the order of ``stages``. Times are those of the whole pass.
    """
    index, num_shards = shard
    if num_shards < 1 or not 0 <= index < num_shards:
        raise SettingsError(f"shard is {index} of {num_shards}; allowed: 0 to count - 1")
    places = range(index, len(split), num_shards)
    num_classes = len(split.labels)
    predict_seconds = 0.0
    masks = instances if details and instances else {}

    def read(place: int) -> _Known | Failure:
        name = split.pairs[place].name
        try:
            sample = split.read(place)
            objects = read_instances(masks.get(name), sample.labels, max_pixels=split.max_pixels)
        except Exception as error:
            return failure_of(place, name, error, doing="read it")
        return _Known(place, sample, objects)

    def predicted() -> Iterator[_Predicted | Failure]:
        nonlocal predict_seconds
        for known in prefetch(read, places, workers=workers):
            if isinstance(known, Failure):
                yield known
                continue
            begin = time.perf_counter()
            result: _Predicted | Failure
            try:
                result = known, predict(known.sample)
            except Exception as error:
                result = failure_of(known.place, known.sample.name, error, doing="segment it")
            predict_seconds += time.perf_counter() - begin
            yield result

    def tally(item: _Predicted | Failure) -> dict[str, tuple[ImageScore, Matrix]] | Failure:
        if isinstance(item, Failure):
            return item
        known, predictions = item
        scores = {stage: _score(known, predictions[stage], num_classes) for stage in stages}
        found = {stage: Details(split.labels, bins=bins) for stage in counted}
        try:
            for stage, one in found.items():
                one.update(known.sample.labels, predictions[stage], known.objects)
        except Exception as error:
            return failure_of(known.place, known.sample.name, error, doing="score it")
        for stage, one in found.items():  # only this thread uses them until the last image
            counted[stage] += one
        return scores

    counted = {stage: Details(split.labels, bins=bins) for stage in stages} if details else {}
    confusions = {stage: Confusion(num_classes) for stage in stages}
    images: dict[str, list[ImageScore]] = {stage: [] for stage in stages}
    failures: list[Failure] = []
    start = time.perf_counter()
    for done, result in enumerate(prefetch(tally, predicted(), workers=1, depth=2), 1):
        if isinstance(result, Failure):
            failures.append(result)
        else:
            for stage, (image, matrix) in result.items():
                images[stage].append(image)
                confusions[stage].matrix += matrix
        if progress:
            progress(done, len(places))
    seconds = time.perf_counter() - start
    return {
        stage: Evaluation(
            split=split.name,
            labels=split.labels,
            confusion=confusions[stage],
            images=tuple(images[stage]),
            failures=tuple(failures),
            seconds=seconds,
            predict_seconds=predict_seconds,
            details=counted.get(stage),
            objects_from=objects_from(masks) if details else None,
        )
        for stage in stages
    }


@dataclass(frozen=True)
class _Known:
    """An image with its place in the split, and its instance mask, if needed."""

    place: int
    sample: Sample
    objects: Any


_Predicted = tuple[_Known, Mapping[str, LabelMap]]
"""An image and its predictions by stage."""


def _score(known: _Known, labels: LabelMap, num_classes: int) -> tuple[ImageScore, Matrix]:
    """One image. Raises DataError that names it."""
    place, sample = known.place, known.sample
    try:
        matrix = count(sample.labels, labels, num_classes)
    except DataError as error:
        raise DataError(f"{sample.name}: {error}") from error
    accuracy, miou = pixel_accuracy(matrix), mean_iou(matrix)
    covers = tuple(zip(matrix.sum(axis=1).tolist(), matrix.sum(axis=0).tolist(), strict=True))
    return ImageScore(place, sample.name, accuracy, miou, int(matrix.sum()), covers), matrix


def merge(shards: Sequence[Evaluation]) -> Evaluation:
    """The shards of one split as if they had been one evaluation; times add up.

    Raises:
        SettingsError: none given, other splits or classes, an image in two of them, or details
            that only some have or that were counted with other sizes.
    """
    if not shards:
        raise SettingsError("nothing to merge: no shard given")
    first = shards[0]
    for shard in shards[1:]:
        if (shard.split, shard.labels) != (first.split, first.labels):
            raise SettingsError(
                f"cannot merge an evaluation of split {shard.split!r} into one of {first.split!r} "
                "with other classes or another name"
            )
        if shard.objects_from != first.objects_from:
            raise SettingsError(
                "cannot merge an evaluation with details of objects from "
                f"{shard.objects_from or 'nowhere'} into one with {first.objects_from or 'none'}"
            )
    seen: set[int] = set()
    for shard in shards:
        items: tuple[ImageScore | Failure, ...] = (*shard.images, *shard.failures)
        for item in items:
            if item.index in seen:
                raise SettingsError(
                    f"image {item.name!r} is in two shards; give every process another shard"
                )
            seen.add(item.index)
    details = None
    for shard in shards:
        if details is None:
            details = copy.deepcopy(shard.details)  # the shards stay as they are
        elif shard.details is not None:
            details += shard.details
    images = sorted((i for shard in shards for i in shard.images), key=lambda item: item.index)
    failures = sorted((f for shard in shards for f in shard.failures), key=lambda item: item.index)
    return Evaluation(
        split=first.split,
        labels=first.labels,
        confusion=Confusion.merge(shard.confusion for shard in shards),
        images=tuple(images),
        failures=tuple(failures),
        seconds=sum(shard.seconds for shard in shards),
        predict_seconds=sum(shard.predict_seconds for shard in shards),
        details=details,
        objects_from=first.objects_from,
    )
