"""Unary energies from softmax probabilities or from hard labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.labels import VOID
from upscore.errors import DataError, SettingsError

Energies = npt.NDArray[np.float32]
"""(C, *shape) float32; lower is likelier."""


def unary_from_softmax(
    probabilities: npt.ArrayLike, scale: float = 1.0, clip: float | None = 1e-5
) -> Energies:
    """Unary energies of a network's softmax, mixed with the uniform distribution and floored.

    ``u = -log(max(scale * p + (1 - scale) / C, clip))``

    ``scale`` below 1 corrects an overconfident network; ``clip`` bounds the confidence of a single
    pixel (``u`` is at most ``-log(clip)``, 11.5 for 1e-5).

    Args:
        probabilities: (C, *shape) floating point in [0, 1].
        scale: weight of the network, above 0 and at most 1.
        clip: floor of the probabilities, above 0 and below 1; None for no floor: a class of
            probability 0 then has infinite energy.

    Returns:
        (C, *shape) float32, a new array.

    Raises:
        SettingsError: ``scale`` or ``clip`` out of range.
        DataError: not floating point, fewer than two axes, empty, values outside [0, 1] or NaN.
    """
    if not 0 < scale <= 1:
        raise SettingsError(f"scale is {scale}; expected more than 0 and up to 1")
    if clip is not None and not 0 < clip < 1:
        raise SettingsError(
            f"clip is {clip}; expected more than 0 and less than 1, or None for none"
        )
    p = np.asarray(probabilities)
    if not np.issubdtype(p.dtype, np.floating):
        raise DataError(f"probabilities have dtype {p.dtype}; expected float16, float32 or float64")
    if p.ndim < 2 or p.size == 0:
        raise DataError(
            f"probabilities have shape {p.shape}; expected (C, H, W) or another (C, *shape) that "
            "is not empty"
        )
    low, high = float(p.min()), float(p.max())
    if not (low >= 0 and high <= 1 + 1e-3):  # also where one is NaN; 1e-3: half precision
        raise DataError(
            f"probabilities go from {low:g} to {high:g}; expected numbers in [0, 1] (of scores, "
            "take the softmax over the first axis)"
        )
    mixed = np.array(p, dtype=np.float32)
    if scale != 1:
        mixed *= scale
        mixed += (1 - scale) / p.shape[0]
    if clip is not None:
        np.maximum(mixed, clip, out=mixed)
    with np.errstate(divide="ignore"):  # without clip, log(0) is intended
        np.log(mixed, out=mixed)
    np.negative(mixed, out=mixed)
    return mixed


def unary_from_labels(
    labels: npt.NDArray[np.integer[Any]],
    num_classes: int,
    confidence: float,
    *,
    unlabelled: int | None = VOID,
) -> Energies:
    """Unary energies of hard labels that are right with probability ``confidence``.

    A pixel with label ``l``: ``u[l] = -log(confidence)`` and, for each of the C - 1 others,
    ``u = -log((1 - confidence) / (C - 1))``. A pixel without a label: ``u = log(C)`` for all
    classes, so that only its neighbours count.

    Args:
        labels: (*shape) integers, 0..C-1 or ``unlabelled``.
        num_classes: C, at least 2.
        confidence: above 1/C (below, a label would count against its class) and below 1.
        unlabelled: the value of pixels without a label; None where every pixel has one.

    Returns:
        (C, *shape) float32.

    Raises:
        SettingsError: ``num_classes`` or ``confidence`` out of range, ``unlabelled`` the index of
            a class.
        DataError: labels that are not integers, are empty, or have other values.
    """
    if num_classes < 2:
        raise SettingsError(
            f"num_classes is {num_classes}; expected 2 or more (one class leaves nothing to refine)"
        )
    if not 1 / num_classes < confidence < 1:
        raise SettingsError(
            f"confidence is {confidence}; expected more than {1 / num_classes:.3g} (chance among "
            f"{num_classes} classes) and less than 1"
        )
    if unlabelled is not None and 0 <= unlabelled < num_classes:
        raise SettingsError(
            f"unlabelled is {unlabelled}, which is one of the {num_classes} classes; expected "
            "another number, or None"
        )
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"labels have dtype {labels.dtype}; expected integers: class indices")
    if labels.ndim < 1 or labels.size == 0:
        raise DataError(f"labels have shape {labels.shape}; expected (H, W), at least one pixel")
    void = np.zeros(labels.shape, dtype=np.bool_) if unlabelled is None else labels == unlabelled
    wrong = labels[((labels < 0) | (labels >= num_classes)) & ~void]
    if wrong.size:
        value = int(wrong.flat[0])
        also = "" if unlabelled is None else f" and {unlabelled} (no label)"
        raise DataError(
            f"labels hold {value} ({np.count_nonzero(wrong == value)} pixels); allowed: 0 to "
            f"{num_classes - 1}{also}"
        )
    others = -np.log((1 - confidence) / (num_classes - 1))
    energies: Energies = np.full((num_classes, *labels.shape), others, dtype=np.float32)
    known = np.where(void, 0, labels).astype(np.intp)
    np.put_along_axis(energies, known[None], np.float32(-np.log(confidence)), axis=0)
    energies[:, void] = np.log(num_classes)
    return energies
