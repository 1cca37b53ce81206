"""Pairwise terms: Gaussian kernels over features of the pixels, with their weights.

Kraehenbuehl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials"
(NIPS 2011), section 2: k(i, j) = weight * exp(-|f_i - f_j|^2 / 2), with f the features divided by
their standard deviations. Equation 3's appearance kernel is :class:`Bilateral`, its smoothness
kernel is :class:`Gaussian`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from upscore.core.quoting import quote
from upscore.errors import DataError, SettingsError

Normalization = Literal["symmetric", "before", "after", "none"]
"""How a kernel K is normalised with n = K 1: n^-1/2 K n^-1/2, K n^-1, n^-1 K, or K itself."""

Deviation = float | tuple[float, ...]
FeatureArray = npt.NDArray[np.float32]
"""(N, D) float32, one row a pixel, already divided by the deviations."""


@dataclass(frozen=True)
class Gaussian:
    """Smoothness term: a Gaussian of the position (equation 3, second kernel).

    ``sxy`` is the standard deviation in pixels, one number or one for each axis of the image with x
    first: (sx, sy), for volumes (sx, sy, sz). ``normalization`` None takes the CRF's.

    Raises:
        SettingsError: a deviation that is not positive, a weight that is not finite.
    """

    needs_image: ClassVar[bool] = False
    sxy: Deviation = 3.0
    weight: float = 3.0
    normalization: Normalization | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sxy", _deviation(self.sxy, "Gaussian", "sxy"))
        require_weight(self.weight, "Gaussian")
        require_normalization(self.normalization, optional=True)

    def rows(self, shape: tuple[int, ...], image: npt.NDArray[np.float32] | None) -> FeatureArray:  # noqa: ARG002
        """Positions of all pixels of ``shape`` in raster order, (N, axes) float32, x first.

        Raises:
            SettingsError: as many deviations as the image has axes, or one, are allowed.
        """
        return _positions(shape, self.sxy, "Gaussian")


@dataclass(frozen=True)
class Bilateral:
    """Appearance term: a Gaussian of position and colour (equation 3, first kernel).

    ``sxy`` as in :class:`Gaussian`; ``srgb`` is the standard deviation in the units of the image (0
    to 255 for uint8), one number or one for each channel.

    Raises:
        SettingsError: a deviation that is not positive, a weight that is not finite.
    """

    needs_image: ClassVar[bool] = True
    sxy: Deviation = 80.0
    srgb: Deviation = 13.0
    weight: float = 10.0
    normalization: Normalization | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sxy", _deviation(self.sxy, "Bilateral", "sxy"))
        object.__setattr__(self, "srgb", _deviation(self.srgb, "Bilateral", "srgb"))
        require_weight(self.weight, "Bilateral")
        require_normalization(self.normalization, optional=True)

    def rows(self, shape: tuple[int, ...], image: npt.NDArray[np.float32] | None) -> FeatureArray:
        """Positions, then colours, of all pixels in raster order: (N, axes + channels) float32.

        Raises:
            SettingsError: neither one deviation nor one for each axis or channel.
        """
        assert image is not None
        assert image.shape[:-1] == shape
        channels = image.shape[-1]
        srgb = _spread(self.srgb, channels, "Bilateral", "srgb", "channels")
        colors = image.reshape(-1, channels) / np.asarray(srgb, np.float32)
        return np.concatenate([_positions(shape, self.sxy, "Bilateral"), colors], axis=1)


@dataclass(frozen=True, eq=False)
class Features:
    """A Gaussian of any features.

    ``features`` is float32 (D, *shape), each feature already divided by its standard deviation.

    Raises:
        SettingsError: a weight that is not finite.
        DataError: features that are no array of finite numbers.
    """

    needs_image: ClassVar[bool] = False
    features: npt.NDArray[np.float32]
    weight: float
    normalization: Normalization | None = None

    def __post_init__(self) -> None:
        require_weight(self.weight, "Features")
        require_normalization(self.normalization, optional=True)
        values = np.asarray(self.features)
        if values.dtype.kind not in "fiu" or values.ndim < 2 or 0 in values.shape:
            raise DataError(
                f"Features holds an array of dtype {values.dtype} and shape {values.shape}; "
                "expected float32 (D, *shape of the image), divided by the standard deviations"
            )
        values = values.astype(np.float32)
        if not np.isfinite(values).all():
            raise DataError("Features holds NaN or infinity; expected finite numbers")
        object.__setattr__(self, "features", values)

    def rows(self, shape: tuple[int, ...], image: npt.NDArray[np.float32] | None) -> FeatureArray:  # noqa: ARG002
        """The features of all pixels in raster order, (N, D) float32.

        Raises:
            DataError: features of another size than the image.
        """
        if self.features.shape[1:] != shape:
            raise DataError(
                f"Features has shape {self.features.shape} and the image {shape}; expected "
                f"{('D', *shape)}"
            )
        return np.ascontiguousarray(self.features.reshape(len(self.features), -1).T)


Term = Gaussian | Bilateral | Features


@dataclass(frozen=True)
class Kernel:
    """A pairwise term as filters need it: features (N, D), weight, normalisation."""

    rows: FeatureArray
    weight: float
    normalization: Normalization


def require_normalization(value: object, *, optional: bool = False) -> None:
    """Refuse anything but the four names (and None if ``optional``).

    Raises:
        SettingsError: lists the names.
    """
    if not (value in get_args(Normalization) or (optional and value is None)):
        raise SettingsError(
            f"normalization is {quote(value)}; allowed: {', '.join(get_args(Normalization))}"
        )


def _deviation(value: object, owner: str, name: str) -> Deviation:
    """Convert to a positive number, or to a tuple of them from any sequence."""
    many = isinstance(value, Sequence | np.ndarray)
    try:
        numbers = tuple(float(v) for v in value) if many else (float(value),)  # type: ignore[arg-type, attr-defined]
    except (TypeError, ValueError):
        numbers = ()
    if (
        isinstance(value, str)
        or not numbers
        or not all(math.isfinite(v) and v > 0 for v in numbers)
    ):
        raise SettingsError(
            f"{owner}: {name} is {quote(value)}; a standard deviation is a positive number, or "
            "one for each axis (leave the term out to do without it)"
        )
    return numbers if many else numbers[0]


def require_weight(value: object, owner: str) -> None:
    """Refuse anything but a finite number. Raises SettingsError."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise SettingsError(f"{owner}: weight is {quote(value)}; expected a number")
    if not math.isfinite(value):
        raise SettingsError(f"{owner}: weight is {quote(value)}; expected a finite number")


def _spread(value: Deviation, num: int, owner: str, name: str, what: str) -> tuple[float, ...]:
    if isinstance(value, float):
        return (value,) * num
    if len(value) != num:
        raise SettingsError(
            f"{owner}: {name} has {len(value)} numbers {value} and the image {num} {what}; "
            f"expected one number or {num}"
        )
    return value


def _positions(shape: tuple[int, ...], sxy: Deviation, owner: str) -> FeatureArray:
    """(N, axes) float32 in raster order: x / sx first, then y / sy, then further axes."""
    deviations = _spread(sxy, len(shape), owner, "sxy", "axes")
    positions = np.empty((*shape, len(shape)), np.float32)
    for column, deviation in enumerate(deviations):
        axis = len(shape) - 1 - column
        along = np.arange(shape[axis], dtype=np.float32) / np.float32(deviation)
        positions[..., column] = along.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return positions.reshape(-1, len(shape))
