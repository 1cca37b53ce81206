"""Score edge maps against what several people drew, as the Berkeley benchmark (BSDS500) does."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sized
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from upscore.core.failures import Failure
from upscore.core.jit.compile import log_compilation
from upscore.core.parallel.map import map_items
from upscore.edges.benchmark.matching import Matching
from upscore.edges.benchmark.thinning import deletable, thin_flat
from upscore.edges.maps import edge_orientation, require_strength, thin_edges
from upscore.errors import DataError, SettingsError

TOLERANCE = 0.0075
"""How far apart two pixels may lie and still be the same edge: this share of the diagonal."""

STEPS = 100
"""Places looked at between two thresholds for the best F, both ends included."""

Strength = npt.NDArray[np.float32]
Boundaries = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Item = tuple[str, Strength, Boundaries]


@dataclass(frozen=True)
class EdgeCounts:
    """Pixels of one image, or summed over images; each int64 (T,), one a threshold.

    Attributes:
        found: true pixels that are matched, summed over annotators.
        true: true pixels, summed over annotators; the same at each threshold.
        right: detected pixels that are matched with a pixel of any annotator.
        detected: detected pixels, after thinning.
    """

    found: Counts
    true: Counts
    right: Counts
    detected: Counts

    @classmethod
    def zeros(cls, num: int) -> EdgeCounts:
        return cls(*np.zeros((4, num), np.int64))

    def __add__(self, other: EdgeCounts) -> EdgeCounts:
        return EdgeCounts(*map(np.add, vars(self).values(), vars(other).values()))

    def at(self, place: int) -> EdgeCounts:
        """Those of one threshold."""
        return EdgeCounts(*(values[place : place + 1] for values in vars(self).values()))

    @property
    def recall(self) -> Values:
        """Share of the true pixels that are found; 0 where there is none."""
        return self.found / np.maximum(self.true, 1)

    @property
    def precision(self) -> Values:
        """Share of the detected pixels that are right; 0 where there is none."""
        return self.right / np.maximum(self.detected, 1)

    @property
    def f(self) -> Values:
        return f_measure(self.precision, self.recall)


@dataclass(frozen=True)
class Best:
    """Where F is highest."""

    f: float
    threshold: float
    precision: float
    recall: float


@dataclass(frozen=True)
class ImageEdges:
    """One image: its counts, and the best F that a threshold of its own could give."""

    name: str
    counts: EdgeCounts
    best: Best


@dataclass(frozen=True)
class EdgeScores:
    """Scores of edge maps; ``images`` and ``failures`` are in the order given.

    ODS is the best F over one threshold for all images, OIS the F where each image has its own best
    threshold, AP the area under the precision-recall curve. :func:`evaluate_edges` defines them.
    """

    thresholds: Values
    counts: EdgeCounts
    images: tuple[ImageEdges, ...]
    failures: tuple[Failure, ...]

    @property
    def precision(self) -> Values:
        """(T,) over all images."""
        return self.counts.precision

    @property
    def recall(self) -> Values:
        """(T,) over all images."""
        return self.counts.recall

    @property
    def best(self) -> Best:
        """Of one threshold for all images."""
        return best_f(self.thresholds, self.counts)

    @property
    def ods(self) -> float:
        return self.best.f

    @property
    def own_best(self) -> Best:
        """OIS with its precision and recall; the threshold is the mean of the images' own."""
        total = EdgeCounts.zeros(1)
        places = []
        for image in self.images:
            f = image.counts.f
            places.append(len(f) - 1 - int(np.argmax(f[::-1])))
            total += image.counts.at(places[-1])
        return Best(
            float(total.f[0]),
            float(self.thresholds[places].mean()),
            float(total.precision[0]),
            float(total.recall[0]),
        )

    @property
    def ois(self) -> float:
        return self.own_best.f

    @property
    def ap(self) -> float:
        return average_precision(self.precision, self.recall)


def f_measure(precision: Values, recall: Values) -> Values:
    """Harmonic mean; 0 where both are 0."""
    total = precision + recall
    f: Values = 2 * precision * recall / np.where(total > 0, total, 1.0)
    return f


def best_f(thresholds: Values, counts: EdgeCounts) -> Best:
    """The highest F at the thresholds and between them.

    Between two neighbouring thresholds precision and recall are taken to change linearly, and F is
    looked at in 100 places (``maxF`` of the benchmark). The first one counts of several.
    """
    share = np.linspace(0, 1, STEPS)

    def between(values: Values) -> Values:
        steps = values[1:, None] * share + values[:-1, None] * (1 - share)
        return np.concatenate([values[:1], steps.reshape(-1)])

    precision, recall = between(counts.precision), between(counts.recall)
    f = f_measure(precision, recall)
    place = int(np.argmax(f))
    return Best(
        float(f[place]),
        float(between(thresholds)[place]),
        float(precision[place]),
        float(recall[place]),
    )


def average_precision(precision: Values, recall: Values) -> float:
    """Area under precision as a function of recall.

    As the benchmark takes it (``collect_eval_bdry``): precision at the recalls 0, 0.01, ..., 1,
    linear between the curve's points and 0 outside of them, so that a curve that ends early is
    not rewarded for the missing part; the sum of the 101 values, times 0.01. Of points with
    the same recall the one with the lowest threshold counts. A curve of one recall has no area.

    Args:
        precision: (T,), by rising threshold.
        recall: (T,) likewise.
    """
    known, places = np.unique(recall, return_index=True)
    if len(known) < 2:
        return 0.0
    wanted = np.linspace(0, 1, 101)
    return float(0.01 * np.interp(wanted, known, precision[places], left=0.0, right=0.0).sum())


def evaluate_edges(
    items: Iterable[Item | Failure],
    *,
    thresholds: int = 99,
    workers: int = 1,
    thinned: bool = False,
    tolerance: float = TOLERANCE,
    progress: Callable[[int, int], None] | None = None,
    total: int | None = None,
) -> EdgeScores:
    """Score edge maps against boundaries that people drew, as the Berkeley benchmark does.

    Arbelaez, Maire, Fowlkes, Malik, "Contour Detection and Hierarchical Image Segmentation", PAMI
    2011, section 2.1. Each map is thinned by non-maximum suppression along the normal and then, at
    each threshold k / (T + 1), binarised (``strength >= threshold``) and thinned to lines of one
    pixel. What is left is matched with each annotator's boundaries one to one, within 0.0075 of the
    image's diagonal.

    - A detected pixel is right when it is matched with any annotator; precision is right over
      detected pixels. Recall is matched over true pixels, both summed over the annotators. Counts
      are summed over the images first and divided then.
    - **ODS** (optimal data set scale): the best F = 2 P R / (P + R) over the thresholds, where P
      and R between two thresholds are interpolated linearly.
    - **OIS** (optimal image scale): F of the counts summed over the images, each at its own best
      threshold (the highest of several; no interpolation).
    - **AP**: see :func:`average_precision`.

    Args:
        items: name, strength float32 (H, W) in [0, 1] and boundaries bool (A, H, W) of each image,
            taken one after another; a :class:`Failure` in its place is passed on.
        thresholds: how many; 99 are customary, 25 differ little.
        workers: processes that match.
        thinned: the maps had their non-maximum suppression already.
        tolerance: in image diagonals.
        progress: called with (images done, images in all) after each.
        total: how many images there are; where it is None, ``len(items)`` if there is such.

    A map that is no edge map of the boundaries' size, or an image without annotators, goes to
    ``failures``; the rest is done. A map of zeros is scored: it finds nothing. Annotators who drew
    nothing count like any.

    Raises:
        SettingsError: thresholds or workers below 1, a tolerance that is not above 0.
        DataError: no image could be scored.
        WorkError: a process died.
    """
    if thresholds < 1:
        raise SettingsError(f"thresholds is {thresholds}; allowed: 1 or more")
    if workers < 1:
        raise SettingsError(f"workers is {workers}; allowed: 1 or more")
    if not 0 < tolerance < 1:
        raise SettingsError(f"tolerance is {tolerance}; allowed: above 0 and below 1")
    if total is None:
        total = len(items) if isinstance(items, Sized) else 0
    levels = np.arange(1, thresholds + 1) / (thresholds + 1)
    work = _Scoring(levels, thinned, tolerance)
    failures: list[Failure] = []
    counts: dict[int, tuple[str, EdgeCounts]] = {}

    def good() -> Generator[tuple[int, Item], None, None]:
        for index, item in enumerate(items):
            if isinstance(item, Failure):
                failures.append(replace(item, index=index))
            else:
                yield index, item

    outcomes = map_items(work, good(), name=_name, doing="score it", processes=workers)
    with closing(outcomes):
        for (index, (name, _, _)), outcome in outcomes:
            if isinstance(outcome, Failure):
                failures.append(replace(outcome, index=index))
            else:
                counts[index] = name, outcome
            if progress:
                done = len(counts) + len(failures)
                progress(done, max(total, done))
    failures.sort(key=lambda failure: failure.index)
    if not counts:
        reason = f": {failures[0].message}" if failures else ": there is none"
        raise DataError(f"no image could be scored{reason}")
    images = []
    sums = EdgeCounts.zeros(thresholds)
    for _, (name, item_counts) in sorted(counts.items()):
        images.append(ImageEdges(name, item_counts, best_f(levels, item_counts)))
        sums += item_counts
    return EdgeScores(levels, sums, tuple(images), tuple(failures))


@dataclass(frozen=True)
class _Scoring:
    """Counts one image."""

    thresholds: Values
    thinned: bool
    tolerance: float

    def __call__(self, task: tuple[int, Item]) -> EdgeCounts:
        _, (_, strength, boundaries) = task
        plain = _require_item(strength, boundaries)
        thinned = plain if self.thinned else thin_along_normal(plain)
        with log_compilation("the edge evaluation"):
            return count_edges(thinned, boundaries, self.thresholds, tolerance=self.tolerance)


def _name(task: tuple[int, Item]) -> str:
    return task[1][0]


def _require_item(strength: object, boundaries: Boundaries) -> Strength:
    """The strength, checked and as float32. Raises DataError for what cannot be scored."""
    if boundaries.ndim != 3 or boundaries.dtype != np.bool_:
        raise DataError(
            f"boundaries of shape {boundaries.shape}, {boundaries.dtype}; expected bool (A, H, W)"
        )
    if not len(boundaries):
        raise DataError("no annotator drew boundaries; take the image out")
    plain = require_strength(strength)
    height, width = plain.shape
    if boundaries.shape[1:] != plain.shape:
        raise DataError(
            f"an edge map of {width}x{height}, but the boundaries are "
            f"{boundaries.shape[2]}x{boundaries.shape[1]}; make the map at the photo's own size"
        )
    return plain


def thin_along_normal(strength: Strength) -> Strength:
    """Non-maximum suppression with the settings that are customary for scoring.

    Each pixel is compared with its neighbours at distance 1 along the normal, which may be 1 %
    stronger; strengths fade out over the 5 pixels along the border.
    """
    orientation = edge_orientation(strength)
    return thin_edges(strength, orientation, radius=1, border=5, multiplier=1.01)


def count_edges(
    thinned: Strength, boundaries: Boundaries, thresholds: Values, *, tolerance: float = TOLERANCE
) -> EdgeCounts:
    """Count one image.

    Args:
        thinned: strength after non-maximum suppression, float32 (H, W).
        boundaries: bool (A, H, W).
        thresholds: (T,), rising.
        tolerance: in image diagonals.
    """
    height, width = thinned.shape
    distance = tolerance * float(np.hypot(height, width))
    counts = EdgeCounts.zeros(len(thresholds))
    counts.true[:] = np.count_nonzero(boundaries)
    flat = thinned.reshape(-1)
    levels = thresholds.astype(np.float32)
    places = np.flatnonzero(flat >= levels[0])
    annotators = [Matching(places, truth, distance) for truth in boundaries]
    strengths = flat[places]
    stride = width + 2
    ringed = places // width * stride + places % width + stride + 1
    row_of = np.zeros(stride * (height + 2), np.int32)
    row_of[ringed] = np.arange(len(places), dtype=np.int32)
    before: npt.NDArray[np.int64] | None = None
    for number in reversed(range(len(levels))):  # pixels come; few that are there go
        above = ringed[strengths >= levels[number]]
        mask = np.zeros(len(row_of), np.bool_)
        mask[above] = True
        left = thin_flat(mask, stride, above, deletable())
        if before is not None and np.array_equal(left, before):
            for values in (counts.found, counts.right, counts.detected):
                values[number] = values[number + 1]
            continue
        before = left
        rows = row_of[left]
        right = np.zeros(len(rows), np.bool_)
        for matching in annotators:
            matched = matching.update(rows)
            right |= matched
            counts.found[number] += np.count_nonzero(matched)
        counts.right[number] = np.count_nonzero(right)
        counts.detected[number] = len(rows)
    return counts
