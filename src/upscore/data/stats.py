"""How often classes occur, how large photos and objects are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from upscore.core.failures import Failure, failure_of
from upscore.core.labels import VOID, LabelMap
from upscore.core.parallel.prefetch import prefetch
from upscore.core.parallel.processes import num_cores
from upscore.core.regions import connected_regions
from upscore.data.dataset import DataSet, Split
from upscore.data.masks import read_instances
from upscore.data.pair import Pair
from upscore.errors import DataError, NotFoundError

Counts = npt.NDArray[np.int64]
"""(C,) int64."""
Progress = Callable[[int, int], None]
Known = dict[Pair, Counts]
"""Pixels of each class in masks that were read, so that another count does not read them again."""

SMALLEST_REGION = 16
"""Connected regions of fewer pixels are slips of the annotator's brush, not objects."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def class_frequencies(
    split: Split, *, known: Known | None = None, progress: Progress | None = None
) -> tuple[Counts, Counts]:
    """Read every mask of a split once, in threads, and count.

    Args:
        known: masks that are counted already; those that are read are added. For photos only, for
            crops share the pair of their photo.

    Returns:
        ``pixels`` (C,) int64, how many pixels each class has, and ``present_pixels`` (C,) int64,
        how many valid pixels the images have in which the class occurs: the two numbers of median
        frequency balancing (Eigen and Fergus 2015, section 6.3.2).

    Raises:
        DataError: a mask that cannot be read.
    """
    num_classes = len(split.labels)
    pixels = np.zeros(num_classes, np.int64)
    present_pixels = np.zeros(num_classes, np.int64)

    def count(index: int) -> Counts:
        return _count(split, index, known)

    for done, counts in enumerate(prefetch(count, range(len(split)), workers=num_cores()), start=1):
        pixels += counts
        present_pixels += np.where(counts > 0, counts.sum(), 0)
        if progress:
            progress(done, len(split))
    return pixels, present_pixels


def absent_classes(split: Split, *, known: Known | None = None) -> list[str]:
    """Names of the classes that no mask of a split shows.

    Masks are read in threads until every class has been seen. One that cannot be read shows
    nothing here; it is reported where it is used.

    Args:
        known: as for :func:`class_frequencies`.
    """
    num_classes = len(split.labels)

    def present(index: int) -> npt.NDArray[np.bool_]:
        try:
            return _count(split, index, known) > 0
        except (DataError, NotFoundError):
            return np.zeros(num_classes, bool)

    seen = np.zeros(num_classes, bool)
    with closing(prefetch(present, range(len(split)), workers=num_cores())) as masks:
        for shown in masks:
            seen |= shown
            if seen.all():
                break
    return [name for name, was_seen in zip(split.labels.names, seen, strict=True) if not was_seen]


def _count(split: Split, index: int, known: Known | None) -> Counts:
    pair = split.pairs[index]
    if known is not None and pair in known:
        return known[pair]
    counts = _class_pixels(split.read_labels(index), len(split.labels))
    if known is not None:
        known[pair] = counts.copy()  # not the view of a larger array
    return counts


def _class_pixels(labels: LabelMap, num_classes: int) -> Counts:
    return np.bincount(labels.ravel(), minlength=256)[:num_classes]


@dataclass(frozen=True)
class ClassStats:
    """One class in one split. ``share`` is of the valid pixels. ``object_sizes`` are the
    quantiles (``QUANTILES``) of its objects' sizes, empty where it has none. An object's size is
    the longer side of its box, as a share of the photo's side along it, in (0, 1]."""

    name: str
    pixels: int
    share: float
    images: int
    objects: int
    object_sizes: tuple[float, ...]


@dataclass(frozen=True)
class SplitStats:
    """One split. ``image_sizes`` holds (height, width, how many), the most frequent first."""

    name: str
    images: int
    valid_pixels: int
    void_share: float
    image_sizes: tuple[tuple[int, int, int], ...]
    classes: tuple[ClassStats, ...]

    def to_dict(self) -> dict[str, Any]:
        sizes = [{"height": h, "width": w, "images": n} for h, w, n in self.image_sizes]
        return {
            "images": self.images,
            "valid_pixels": self.valid_pixels,
            "void_share": self.void_share,
            "image_sizes": sizes,
            "classes": [
                asdict(item) | {"object_sizes": list(item.object_sizes)} for item in self.classes
            ],
        }


@dataclass(frozen=True)
class DataStats:
    """All splits. ``objects_from`` is "instance masks" or "connected regions"."""

    root: Path
    layout: str
    objects_from: str
    splits: tuple[SplitStats, ...]
    failures: tuple[Failure, ...] = ()
    """Photos whose masks could not be counted."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "root": str(self.root),
            "layout": self.layout,
            "objects_from": self.objects_from,
            "size_quantiles": list(QUANTILES),
            "splits": {split.name: split.to_dict() for split in self.splits},
            "failures": [failure.message for failure in self.failures],
        }


def measure(dataset: DataSet, *, progress: Progress | None = None) -> DataStats:
    """Read every mask of every split in threads and count; one that is bad is in ``failures``.

    Raises:
        DataError: no mask could be read.
    """
    splits = [dataset.split(name) for name in dataset.splits]
    total, before = sum(map(len, splits)), 0
    results = []
    failures: list[Failure] = []
    for split in splits:

        def advance(done: int, _: int, before: int = before) -> None:
            if progress:
                progress(before + done, total)

        results.append(_measure_split(split, dataset, failures, advance))
        before += len(split)
    if failures and len(failures) == total:
        raise DataError(f"{dataset.root}: no mask can be read; the first: {failures[0].message}")
    source = "instance masks" if dataset.instances else "connected regions"
    return DataStats(dataset.root, dataset.layout, source, tuple(results), tuple(failures))


def _measure_split(
    split: Split, dataset: DataSet, failures: list[Failure], progress: Progress
) -> SplitStats:
    """Count a split; masks that cannot be counted are added to ``failures``."""
    num_classes = len(split.labels)
    pixels, images = np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int64)
    void = 0
    shapes: Counter[tuple[int, int]] = Counter()
    sizes: list[list[float]] = [[] for _ in range(num_classes)]

    def one(index: int) -> tuple[LabelMap, list[tuple[int, float]]] | Failure:
        try:
            return read(index)
        except Exception as error:
            pair = split.pairs[index]
            return failure_of(index, str(pair.mask), error, doing="count it")

    def read(index: int) -> tuple[LabelMap, list[tuple[int, float]]]:
        """The labels of a photo, and (class, size) of every object in it."""
        labels = split.read_labels(index)
        path = dataset.instances.get(split.pairs[index].name)
        instances = read_instances(path, labels, max_pixels=split.max_pixels)
        if instances is None:
            return labels, _region_sizes(labels, split.labels.background)
        return labels, _instance_sizes(labels, instances, num_classes)

    measured = prefetch(one, range(len(split)), workers=num_cores())
    for done, item in enumerate(measured, start=1):
        progress(done, len(split))
        if isinstance(item, Failure):
            failures.append(item)
            continue
        labels, objects = item
        counts = _class_pixels(labels, num_classes)
        pixels += counts
        images += counts > 0
        void += int((labels == VOID).sum())
        shapes[labels.shape[0], labels.shape[1]] += 1
        for index, size in objects:
            sizes[index].append(size)
    valid = int(pixels.sum())
    classes = tuple(
        ClassStats(
            name=name,
            pixels=int(pixels[i]),
            share=float(pixels[i] / max(valid, 1)),
            images=int(images[i]),
            objects=len(sizes[i]),
            object_sizes=tuple(np.quantile(sizes[i], QUANTILES).tolist()) if sizes[i] else (),
        )
        for i, name in enumerate(split.labels.names)
    )
    return SplitStats(
        name=split.name,
        images=shapes.total(),
        valid_pixels=valid,
        void_share=void / max(valid + void, 1),
        image_sizes=tuple((h, w, n) for (h, w), n in shapes.most_common()),
        classes=classes,
    )


def _boxes(regions: npt.NDArray[np.integer[Any]]) -> list[tuple[int, float, tuple[slice, slice]]]:
    """(number, size, window) of every region with a number from 1 on in an (H, W) map."""
    height, width = regions.shape
    found = []
    windows = ndimage.find_objects(regions.astype(np.int32, copy=False))
    for number, window in enumerate(windows, start=1):
        if window is not None:
            rows, columns = window
            size = max((rows.stop - rows.start) / height, (columns.stop - columns.start) / width)
            found.append((number, size, window))
    return found


def _instance_sizes(
    labels: LabelMap, instances: npt.NDArray[np.integer[Any]], num_classes: int
) -> list[tuple[int, float]]:
    """(class, size) of every instance; its class is that of most of its pixels."""
    instances = np.where(instances == VOID, 0, instances)
    found = []
    for number, size, window in _boxes(instances):
        inside = labels[window][instances[window] == number]
        votes = np.bincount(inside, minlength=256)[:num_classes]
        if votes.any():
            found.append((int(votes.argmax()), size))
    return found


def _region_sizes(labels: LabelMap, background: int | None) -> list[tuple[int, float]]:
    """(class, size) of every connected region; the background is no object."""
    regions = connected_regions(labels)
    areas = np.bincount(regions.ravel())
    found = []
    for number, size, window in _boxes(regions):
        if areas[number] >= SMALLEST_REGION:
            index = int(labels[window][regions[window] == number][0])
            if index != background:
                found.append((index, size))
    return found
