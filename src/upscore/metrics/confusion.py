"""The confusion matrix, and the scores that are ratios of its entries.

Formulas: FCN paper section 5; definitions in docs/evaluation.md. A ratio without a denominator is
None, never NaN.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.labels import MAX_CLASSES, VOID, LabelMap
from upscore.errors import DataError, SettingsError

Matrix = npt.NDArray[np.int64]
"""(C, C) int64 pixel counts, rows truth, columns prediction."""


class Confusion:
    """Pixel counts over any number of images; everything else is derived at the end."""

    def __init__(self, num_classes: int) -> None:
        """An empty matrix. Raises SettingsError unless 1 <= num_classes <= 255."""
        require_num_classes(num_classes)
        self.matrix: Matrix = np.zeros((num_classes, num_classes), dtype=np.int64)

    @classmethod
    def of(cls, matrix: npt.ArrayLike) -> Confusion:
        """A copy of a square matrix of counts >= 0 (DataError for anything else)."""
        array = np.asarray(matrix)
        if array.ndim != 2 or array.shape[0] != array.shape[1] or array.dtype.kind not in "iu":
            raise DataError(
                f"a confusion matrix is square and of integers; this one is {array.shape} "
                f"{array.dtype}"
            )
        if array.size and int(array.min()) < 0:
            raise DataError(f"a confusion matrix holds counts; this one holds {array.min()}")
        confusion = cls(len(array))
        confusion.matrix += array.astype(np.int64)
        return confusion

    @property
    def num_classes(self) -> int:
        return len(self.matrix)

    def update(self, truth: LabelMap, prediction: LabelMap) -> None:
        """Count one image; see :func:`count` for shapes, ranges and errors."""
        self.matrix += count(truth, prediction, self.num_classes)

    def __add__(self, other: Confusion) -> Confusion:
        if self.num_classes != other.num_classes:
            raise SettingsError(
                f"cannot add confusion matrices of {self.num_classes} and {other.num_classes} "
                "classes"
            )
        return Confusion.of(self.matrix + other.matrix)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Confusion) and np.array_equal(self.matrix, other.matrix)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Confusion({self.num_classes} classes, {int(self.matrix.sum())} pixels)"

    @classmethod
    def merge(cls, parts: Iterable[Confusion]) -> Confusion:
        """The sum of one or more, for example of the shards of a split."""
        parts = list(parts)
        if not parts:
            raise SettingsError("nothing to merge: no confusion matrix given")
        return sum(parts, cls(parts[0].num_classes))

    def scores(self) -> Scores:
        return score(self.matrix)

    def to_json(self) -> list[list[int]]:
        rows: list[list[int]] = self.matrix.tolist()
        return rows

    @classmethod
    def from_json(cls, rows: Sequence[Sequence[int]]) -> Confusion:
        """The inverse of :meth:`to_json`. Raises DataError for anything that is no count matrix."""
        try:
            array = np.array(rows)
        except (ValueError, TypeError, OverflowError) as error:
            raise DataError(f"not a confusion matrix: {error}") from error
        return cls.of(array)


def require_num_classes(num_classes: int) -> None:
    """Raise SettingsError unless 1 <= num_classes <= 255."""
    if not 1 <= num_classes <= MAX_CLASSES:
        raise SettingsError(f"num_classes is {num_classes}; allowed: 1 to {MAX_CLASSES}")


def count(truth: LabelMap, prediction: LabelMap, num_classes: int) -> Matrix:
    """Confusion matrix of one image.

    Args:
        truth: (H, W) uint8, 0..C-1, or 255 for void, which is not counted.
        prediction: (H, W) uint8, 0..C-1 everywhere, also where the truth is void.

    Returns:
        (C, C) int64, rows truth, columns prediction; sums to the number of pixels not void.

    Raises:
        DataError: not uint8, other shapes, or a value outside the classes.
    """
    _require_alike(truth, prediction)
    if prediction.size == 0:
        return np.zeros((num_classes, num_classes), dtype=np.int64)
    if int(prediction.max()) >= num_classes:
        raise DataError(_outside("prediction", prediction, num_classes))
    # One pass without masks: 255 * C + C - 1 still fits uint16, and void has its own row.
    codes = truth.astype(np.uint16)
    codes *= np.uint16(num_classes)
    codes += prediction
    full = np.bincount(codes.ravel(), minlength=(VOID + 1) * num_classes)
    full = full.reshape(VOID + 1, num_classes)
    if full[num_classes:VOID].any():
        raise DataError(_outside("truth", truth[truth != VOID], num_classes))
    return full[:num_classes].astype(np.int64)


def require_maps(truth: LabelMap, prediction: LabelMap, num_classes: int) -> None:
    """Raise DataError as :func:`count` does, for scores without a confusion matrix."""
    _require_alike(truth, prediction)
    for name, array in (("prediction", prediction), ("truth", truth)):
        known = array[array != VOID] if name == "truth" else array
        if known.size and int(known.max()) >= num_classes:
            raise DataError(_outside(name, known, num_classes))


def _require_alike(truth: LabelMap, prediction: LabelMap) -> None:
    for name, array in (("truth", truth), ("prediction", prediction)):
        if array.dtype != np.uint8:
            raise DataError(f"{name} is {array.dtype}; label maps are uint8")
    if truth.shape != prediction.shape:
        raise DataError(f"prediction is {prediction.shape}, the truth {truth.shape}; must be equal")


def _outside(name: str, array: LabelMap, num_classes: int) -> str:
    values, counts = np.unique(array[array >= num_classes], return_counts=True)
    found = ", ".join(f"{v} ({n} pixels)" for v, n in zip(values[:8], counts[:8], strict=True))
    allowed = f"0 to {num_classes - 1}" + (" and 255 for void" if name == "truth" else "")
    return f"{name} holds {found}; allowed with {num_classes} classes: {allowed}"


@dataclass(frozen=True)
class ClassScores:
    """One class: its IoU, the share of its predicted pixels that are right (precision) and of its
    true pixels that were found (recall), in [0, 1] or None where undefined; ``pixels`` are true."""

    iou: float | None
    precision: float | None
    recall: float | None
    pixels: int
    predicted: int


@dataclass(frozen=True)
class Scores:
    """All scores of one confusion matrix, in [0, 1]; None where there is nothing to score.

    ``classes_averaged`` is the number of classes with any pixel in truth or prediction, over which
    ``miou`` is the mean; ``mean_accuracy`` is the mean recall of those in the truth, and
    ``frequency_weighted_iou`` weighs each IoU by the class's share of the true pixels.
    """

    pixel_accuracy: float | None
    mean_accuracy: float | None
    miou: float | None
    frequency_weighted_iou: float | None
    classes_averaged: int
    valid_pixels: int
    per_class: tuple[ClassScores, ...]

    def to_json(self) -> dict[str, Any]:
        """The overall scores, without the classes."""
        return {key: value for key, value in asdict(self).items() if key != "per_class"}

    def baseline(self) -> tuple[int, float] | None:
        """The commonest class of the truth, and the mIoU of calling every pixel so; None without.

        Its IoU is its share of the pixels, and that of the other classes in the truth is 0.
        """
        pixels = [one.pixels for one in self.per_class]
        if not any(pixels):
            return None
        commonest = max(range(len(pixels)), key=pixels.__getitem__)
        return commonest, pixels[commonest] / sum(pixels) / sum(map(bool, pixels))


def score(matrix: Matrix) -> Scores:
    """Every score of a matrix (C, C) int64."""
    hits, truth, predicted = np.diagonal(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    iou, precision, recall = class_iou(matrix), ratios(hits, predicted), ratios(hits, truth)
    total = int(matrix.sum())
    weighted = [
        int(n) / total * value for n, value in zip(truth, iou, strict=True) if value is not None
    ]
    return Scores(
        pixel_accuracy=pixel_accuracy(matrix),
        mean_accuracy=mean_of_known(recall),
        miou=mean_of_known(iou),
        frequency_weighted_iou=sum(weighted) if total else None,
        classes_averaged=sum(value is not None for value in iou),
        valid_pixels=total,
        per_class=tuple(
            ClassScores(iou[i], precision[i], recall[i], int(truth[i]), int(predicted[i]))
            for i in range(len(matrix))
        ),
    )


def pixel_accuracy(matrix: Matrix) -> float | None:
    """Share of the pixels that are right."""
    total = int(matrix.sum())
    return int(np.trace(matrix)) / total if total else None


def mean_iou(matrix: Matrix) -> float | None:
    """Mean IoU of the classes that occur in truth or prediction."""
    return mean_of_known(class_iou(matrix))


def class_iou(matrix: Matrix) -> list[float | None]:
    """Intersection over union by class; None for a class in neither truth nor prediction."""
    hits = np.diagonal(matrix)
    return ratios(hits, matrix.sum(axis=0) + matrix.sum(axis=1) - hits)


def ratios(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> list[float | None]:
    """Element by element; None where the denominator is 0."""
    pairs = zip(above.tolist(), below.tolist(), strict=True)
    return [a / b if b else None for a, b in pairs]


def mean_of_known(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are not None; None without any."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
