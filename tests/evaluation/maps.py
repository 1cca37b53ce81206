"""Label maps with a known answer, and slow twins in float64 for the boundary scores."""

from __future__ import annotations

import numpy as np

from upscore.core.labels import VOID, LabelMap


def noisy(
    height: int, width: int, seed: int = 0, *, classes: int = 3, void: bool = True
) -> LabelMap:
    """Blocks of classes with some single pixels changed, and with void in a corner and a line."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, classes, (height // 5 + 1, width // 7 + 1), dtype=np.uint8)
    labels = np.repeat(np.repeat(small, 5, axis=0), 7, axis=1)[:height, :width].copy()
    spots = rng.random((height, width)) < 0.03
    labels[spots] = rng.integers(0, classes, int(spots.sum()), dtype=np.uint8)
    if void:
        labels[: height // 4, : width // 5] = VOID
        labels[:, width // 2] = VOID
    return labels


def square(
    side: int, *, size: int = 40, at: tuple[int, int] = (10, 10), label: int = 1
) -> LabelMap:
    """A square of one class on a background of ``size`` x ``size`` pixels."""
    labels = np.zeros((size, size), np.uint8)
    labels[at[0] : at[0] + side, at[1] : at[1] + side] = label
    return labels


def slow_distances(labels: LabelMap, *, border: bool = False, square: bool = False) -> np.ndarray:
    """(H, W) float64: distance to the nearest pixel of another label, by trying all of them.

    With ``square`` the larger of rows and columns counts, not the Euclidean distance.
    """
    ringed = np.pad(labels.astype(np.int64), 1, constant_values=-1)
    rows, columns = np.indices(ringed.shape)
    out = np.full(labels.shape, np.inf)
    for y, x in np.ndindex(labels.shape):
        other = ringed != labels[y, x]
        if not border:
            other &= ringed >= 0
        down, along = np.abs(rows[other] - y - 1), np.abs(columns[other] - x - 1)
        if down.size:
            far = np.maximum(down, along) if square else np.hypot(down, along)
            out[y, x] = far.min()
    return out


def slow_iou(truth: np.ndarray, prediction: np.ndarray, counted: np.ndarray) -> list[float | None]:
    """IoU of three classes over the pixels counted."""
    found: list[float | None] = []
    for c in range(3):
        a, b = (truth == c) & counted, (prediction == c) & counted
        either = (a | b).sum()
        found.append(float((a & b).sum() / either) if either else None)
    return found
