"""Validation of a CRF's input arrays: probabilities, energies, images.

Every error names the first offending pixel and how to fix it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.errors import DataError

MIN_PROBABILITY = 1e-37
"""Floor of the probabilities, just above the smallest normal float32. Its energy, 85.2, is too high
for terms of usual weights to overcome, so a class of probability 0 stays at 0."""

MAX_ENERGY = 1e30
"""Ceiling of the energies (and of infinity), relative to the lowest energy of the pixel."""

SUM_TOLERANCE = 0.01
"""Allowed deviation of a pixel's sum of probabilities from 1, for float16 and for resized maps."""

Energies = npt.NDArray[np.float32]
"""(C, *shape) float32; the lowest energy of each pixel is 0."""

Marginals = npt.NDArray[np.float32]
"""(C, *shape) float32 in [0, 1], the classes of a pixel sum up to one."""


def energies_from_probabilities(probabilities: object) -> Energies:
    """Energies -log(p) of probabilities (C, *shape), shifted so that each pixel's lowest is 0.

    Raises:
        DataError: no float array with a class axis and at least one pixel; NaN, negative numbers;
            a pixel whose classes do not sum to one within ``SUM_TOLERANCE``, for example to zero.
    """
    p = _require_class_array(probabilities, "probabilities")
    if p.dtype.kind != "f":
        raise DataError(
            f"probabilities have dtype {p.dtype}; expected floats in [0, 1] that sum to one over "
            "the first axis (labels go through upscore.crf.unary)"
        )
    low = p.min()
    if not low >= 0:  # NaN is not, either
        bad = np.isnan(p) if np.isnan(low) else p < 0
        what = "NaN" if np.isnan(low) else "a negative number"
        raise DataError(
            f"probabilities hold {what} {_where(bad)}; expected numbers in [0, 1] (for logits or "
            "other scores: pass their softmax, or energies=-scores)"
        )
    sums = p.sum(axis=0, dtype=np.float32)
    off = ~(np.abs(sums - 1) <= SUM_TOLERANCE)
    if off.any():
        first = np.unravel_index(int(off.argmax()), off.shape)
        raise DataError(
            f"probabilities sum to {float(sums[first]):g} over the classes at pixel "
            f"{_index(first)} ({int(off.sum())} pixels like it); expected 1 everywhere "
            "(divide by probabilities.sum(axis=0); for other scores pass energies=)"
        )
    energies = np.log(np.maximum(p, p.dtype.type(_floor(p.dtype))))
    np.subtract(energies.max(axis=0), energies, out=energies)
    return np.ascontiguousarray(energies, np.float32)


def energies_from_energies(energies: object) -> Energies:
    """Unary energies (C, *shape) of any real numbers, shifted so that each pixel's lowest is 0.

    Plus infinity (impossible) is allowed as long as a class remains.

    Raises:
        DataError: no array of numbers with a class axis and at least one pixel; NaN, minus infinity
            or a pixel without any possible class.
    """
    u = _require_class_array(energies, "energies")
    if u.dtype.kind not in "fiu":
        raise DataError(f"energies have dtype {u.dtype}; expected real numbers, best float32")
    if u.dtype.kind != "f" or u.dtype.itemsize < 4:
        u = u.astype(np.float32)
    low = u.min(axis=0)
    bad = ~np.isfinite(low)
    if bad.any():
        first = np.unravel_index(int(bad.argmax()), bad.shape)
        column = np.moveaxis(u, 0, -1)[first]
        if np.isnan(column).any():
            what, fix = "NaN", "expected real numbers"
        elif np.isneginf(column).any():
            what, fix = "minus infinity", "give the certain class 0 and the others infinity"
        else:
            what, fix = "infinity for every class", "leave at least one class possible"
        raise DataError(f"energies hold {what} at pixel {_index(first)}; {fix}")
    with np.errstate(over="ignore"):
        difference = u - low
    return np.ascontiguousarray(np.minimum(difference, MAX_ENERGY), np.float32)


def require_image(
    image: object, shape: tuple[int, ...], *, deviation: float = 0.0
) -> npt.NDArray[np.float32]:
    """Check an image (*shape, channels) of finite numbers and convert it to float32.

    Args:
        deviation: the smallest deviation of the colours. If it is 1 or more, a float image within
            0..1 is refused: the deviation is meant for 0..255, so colours would have no effect.

    Raises:
        DataError: no image, another size than the class maps, no channel axis, NaN, or within 0..1
            as above.
    """
    if image is None:
        raise DataError("there is no image, but the CRF has a bilateral term; pass image=")
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"an image is a {type(image).__name__}; expected an array (*{shape}, channels)"
        )
    if image.dtype.kind not in "fiub":
        raise DataError(f"an image has dtype {image.dtype}; expected uint8 or other numbers")
    if image.shape == shape:
        raise DataError(
            f"an image has shape {image.shape}; expected {(*shape, 'channels')} "
            "(for one channel: image[..., None])"
        )
    if image.shape[:-1] != shape or image.shape[-1] == 0:
        raise DataError(
            f"an image has shape {image.shape} and the classes' maps {shape}; expected "
            f"{(*shape, 'channels')}, the same size as the maps"
        )
    values = image.astype(np.float32)
    if image.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(f"an image holds NaN or infinity {_where(~np.isfinite(values))}")
    if image.dtype.kind == "f" and deviation >= 1:
        low, high = float(values.min()), float(values.max())
        if 0 <= low < high <= 1:
            raise DataError(
                f"a float image within 0..1, and colours deviate by {deviation:g}: they would not "
                "count; pass (image * 255).round().astype(np.uint8), or srgb in the image's units"
            )
    return values


def _require_class_array(array: object, name: str) -> npt.NDArray[Any]:
    if not isinstance(array, np.ndarray):
        raise DataError(
            f"{name} are a {type(array).__name__}; expected a numpy array (C, H, W) "
            "(for a torch tensor: .detach().cpu().numpy())"
        )
    if array.ndim < 2 or 0 in array.shape:
        raise DataError(
            f"{name} have shape {array.shape}; expected (C, H, W), classes first, not empty"
        )
    return array


def _floor(dtype: np.dtype[Any]) -> float:
    return max(MIN_PROBABILITY, float(np.finfo(dtype).smallest_subnormal))


def _where(bad: npt.NDArray[np.bool_]) -> str:
    return f"at index {_index(np.unravel_index(int(bad.argmax()), bad.shape))}"


def _index(index: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in index)
