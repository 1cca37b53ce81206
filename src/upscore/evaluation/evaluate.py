"""Score any function from photo to label map on a split of a data set."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.core.prefetch import prefetch
from upscore.data.dataset import Sample, Split
from upscore.errors import DataError, SettingsError, UpscoreError
from upscore.evaluation.confusion import Confusion, Matrix, count, mean_iou, pixel_accuracy

Predict = Callable[[RGBImage], LabelMap]
"""(H, W, 3) uint8 RGB -> (H, W) uint8 class indices, no void."""

PredictStages = Callable[[RGBImage], Mapping[str, LabelMap]]
"""The same for several predictions of one photo, by name."""


@dataclass(frozen=True)
class ImageScore:
    """One image. ``index`` is its place in the split; scores are None when all of it is void."""

    index: int
    name: str
    pixel_accuracy: float | None
    miou: float | None
    valid_pixels: int


@dataclass(frozen=True)
class Failure:
    """An image that could not be scored, and why."""

    index: int
    name: str
    message: str


@dataclass(frozen=True)
class Evaluation:
    """What came of a split, or of one shard of it.

    ``seconds`` is wall time, ``predict_seconds`` the part of it spent inside ``predict``.
    ``images`` and ``failures`` are in the order of the split.
    """

    split: str
    labels: Labels
    confusion: Confusion
    images: tuple[ImageScore, ...]
    failures: tuple[Failure, ...]
    seconds: float
    predict_seconds: float

    @property
    def overhead(self) -> float | None:
        """Share of the wall time that was not the network; None when no time was taken."""
        return 1 - self.predict_seconds / self.seconds if self.seconds > 0 else None


def evaluate(
    predict: Predict,
    split: Split,
    *,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 2,
    shard: tuple[int, int] = (0, 1),
) -> Evaluation:
    """One confusion matrix over a split, at the photos' own resolution.

    Photos are decoded ahead in ``workers`` threads and counted in a thread behind, so that
    ``predict`` (called in this thread, one photo at a time) hardly waits.

    Args:
        progress: called with (images done, images of this shard).
        shard: (index, count): take images index, index + count, ...; the shards together are the
            split, each image once. :func:`merge` puts them together again.

    An image that cannot be read or that ``predict`` refuses goes to ``failures`` and the rest is
    done; a prediction that is no label map of the photo's size is an error at once.

    Raises:
        SettingsError: a shard outside its count.
        DataError: ``predict`` gave another shape, another type or a value that is no class.
    """
    name = "prediction"
    return evaluate_stages(
        lambda image: {name: predict(image)},
        [name],
        split,
        progress=progress,
        workers=workers,
        shard=shard,
    )[name]


def evaluate_stages(
    predict: PredictStages,
    stages: Sequence[str],
    split: Split,
    *,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 2,
    shard: tuple[int, int] = (0, 1),
) -> dict[str, Evaluation]:
    """:func:`evaluate` for several predictions of each photo, made by one call.

    Args:
        stages: names of the predictions, which ``predict`` must give for each photo. A photo that
            it refuses fails for all of them.

    Returns:
        An evaluation by name, in the order of ``stages``. Times are those of the whole pass.

    Raises:
        SettingsError, DataError: as :func:`evaluate`.
    """
    index, num_shards = shard
    if num_shards < 1 or not 0 <= index < num_shards:
        raise SettingsError(f"shard is {index} of {num_shards}; allowed: 0 to count - 1")
    places = range(index, len(split), num_shards)
    num_classes = len(split.labels)
    predict_seconds = 0.0

    def read(place: int) -> tuple[int, Sample] | Failure:
        try:
            return place, split.read(place)
        except UpscoreError as error:
            return Failure(place, split.pairs[place].name, str(error))

    def predicted() -> Iterator[tuple[int, Sample, Mapping[str, LabelMap]] | Failure]:
        nonlocal predict_seconds
        for item in prefetch(read, places, workers=workers):
            if isinstance(item, Failure):
                yield item
                continue
            place, sample = item
            begin = time.perf_counter()
            result: tuple[int, Sample, Mapping[str, LabelMap]] | Failure
            try:
                result = place, sample, predict(sample.image)
            except UpscoreError as error:
                result = Failure(place, sample.name, str(error))
            predict_seconds += time.perf_counter() - begin
            yield result

    def tally(
        item: tuple[int, Sample, Mapping[str, LabelMap]] | Failure,
    ) -> dict[str, tuple[ImageScore, Matrix]] | Failure:
        if isinstance(item, Failure):
            return item
        place, sample, predictions = item
        return {stage: _score(place, sample, predictions[stage], num_classes) for stage in stages}

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
        )
        for stage in stages
    }


def _score(
    place: int, sample: Sample, labels: LabelMap, num_classes: int
) -> tuple[ImageScore, Matrix]:
    """One image. Raises DataError that names it."""
    try:
        matrix = count(sample.labels, labels, num_classes)
    except DataError as error:
        raise DataError(f"{sample.name}: {error}") from error
    accuracy, miou = pixel_accuracy(matrix), mean_iou(matrix)
    return ImageScore(place, sample.name, accuracy, miou, int(matrix.sum())), matrix


def merge(shards: Sequence[Evaluation]) -> Evaluation:
    """The shards of one split as if they had been one evaluation; times add up.

    Raises:
        SettingsError: none given, other splits or classes, or an image in two of them.
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
    seen: set[int] = set()
    for shard in shards:
        entries = [(image.index, image.name) for image in shard.images]
        entries += [(failure.index, failure.name) for failure in shard.failures]
        for index, name in entries:
            if index in seen:
                raise SettingsError(
                    f"image {name!r} is in two shards; give every process another shard"
                )
            seen.add(index)
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
    )
