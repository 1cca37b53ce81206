"""Edge maps as arrays: checks at the border, orientation from strength, thinning.

An edge map is a strength (H, W) float32 in [0, 1] and, for each pixel, the orientation of the
edge's normal, (H, W) float32 in [0, pi): 0 for an edge that runs from top to bottom, pi/2 for one
that runs from left to right, growing from the x axis towards the y axis, which points down.
"""

# mypy: disable-error-code="assignment,arg-type,no-any-return"
# (kernels mix Python's and numpy's numbers, which the compiler makes the same)

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from upscore.core.jit.compile import jit, jit_inline, log_compilation
from upscore.errors import DataError, SettingsError

Map = npt.NDArray[np.float32]

PI = np.float32(np.pi)
"""A little more than pi: the largest number that rounding makes of an angle below it."""

ROUNDING = 1e-4
"""How far above 1 a strength may lie and count as 1: resizing and float16 lead there."""

LEVEL = np.float32(1 + 1e-6)
"""A neighbour that is stronger by rounding alone is as strong."""


def require_strength(strength: object) -> Map:
    """An edge strength (H, W) as float32 in [0, 1], rows one after the other.

    Raises:
        DataError: no array of floats with two axes and at least one pixel; NaN; outside [0, 1].
    """
    given = _require_map(strength, "edge strength", "divide bytes by 255 first")
    low, high = given.min(), given.max()
    if np.isnan(low):
        raise DataError(f"an edge strength holds NaN {_where(np.isnan(given))}; expected [0, 1]")
    if low < 0 or high > 1 + ROUNDING:
        bad = (given < 0) | (given > 1 + ROUNDING)
        fix = "divide by its largest value" if low >= 0 else "clip it or rescale it"
        raise DataError(
            f"an edge strength lies in {low:g}..{high:g}, first wrong {_where(bad)}; "
            f"expected [0, 1] ({fix})"
        )
    return np.ascontiguousarray(np.minimum(given, 1) if high > 1 else given, np.float32)


def require_orientation(orientation: object, shape: tuple[int, ...]) -> Map:
    """An orientation (H, W) as float32 in [0, pi); pi itself, which rounding makes, becomes 0.

    Raises:
        DataError: no array of floats of the strength's ``shape``; NaN; outside [0, pi).
    """
    given = _require_map(orientation, "edge orientation", "expected radians")
    if given.shape != shape:
        raise DataError(
            f"an edge orientation has shape {given.shape} and the strength {shape}; must be equal"
        )
    low, high = given.min(), given.max()
    if np.isnan(low):
        raise DataError(
            f"an edge orientation holds NaN {_where(np.isnan(given))}; expected [0, pi)"
        )
    if low < 0 or high > PI:
        bad = (given < 0) | (given > PI)
        fix = "np.deg2rad, then np.mod(..., np.pi)" if high > 7 else "np.mod(orientation, np.pi)"
        raise DataError(
            f"an edge orientation lies in {low:g}..{high:g}, first wrong {_where(bad)}; "
            f"expected radians in [0, pi) (take {fix})"
        )
    plain = np.ascontiguousarray(given, np.float32)
    return np.where(plain >= PI, np.float32(0), plain) if high >= PI else plain


def require_edges(strength: object, orientation: object = None) -> tuple[Map, Map]:
    """A strength and its orientation, checked; the orientation is computed where it is None.

    Raises:
        DataError: as :func:`require_strength` and :func:`require_orientation`.
    """
    plain = require_strength(strength)
    if orientation is None:
        return plain, edge_orientation(plain)
    return plain, require_orientation(orientation, plain.shape)


def edge_orientation(strength: object, *, radius: int = 4) -> Map:
    """Orientation of the normal of the edges in a strength map (H, W), float32 in [0, pi).

    The strength is smoothed by a triangle filter of ``radius``; of its second derivatives, that
    across the edge is the larger: tan(orientation) = +-Oyy / Oxx, with the sign of -Oxy
    (structured forests' and EdgeBoxes' way). Where nothing varies it is 0 or pi/2.

    Raises:
        DataError: as :func:`require_strength`.
        SettingsError: a radius below 0.
    """
    if radius < 0:
        raise SettingsError(f"radius is {radius}; expected 0 or more pixels")
    plain = require_strength(strength)
    with log_compilation("edge maps"):
        smooth = _smooth(np.pad(plain, radius, mode="symmetric"), radius)
        across, down = _gradient(smooth, 1), _gradient(smooth, 0)
        return _orientation(_gradient(across, 1), _gradient(down, 1), _gradient(down, 0))


def _gradient(values: Map, axis: int) -> Map:
    """Central differences, one-sided at the ends; 0 along an axis of one pixel."""
    if values.shape[axis] == 1:
        return np.zeros_like(values)
    result: Map = np.gradient(values, axis=axis)
    return result


def thin_edges(
    strength: object,
    orientation: object,
    *,
    radius: int = 2,
    border: int = 0,
    multiplier: float = 1.0,
) -> Map:
    """Non-maximum suppression along the normal: (H, W) float32, 0 where an edge is not at its peak.

    A pixel stays, with its strength, unless one of the places at distance 1 to ``radius`` on
    either side along the normal (bilinear between pixels) is stronger than ``multiplier`` times
    its own.

    Args:
        border: strengths fade linearly to 0 over so many pixels towards the image's border, where
            detectors are unsure.
        multiplier: at least 1; 1.01 leaves ridges with a flat top unbroken.

    Raises:
        DataError: as :func:`require_strength` and :func:`require_orientation`.
        SettingsError: a radius below 1, a border below 0, a multiplier below 1.
    """
    if radius < 1:
        raise SettingsError(f"radius is {radius}; expected 1 or more pixels")
    if border < 0:
        raise SettingsError(f"border is {border}; expected 0 or more pixels")
    if not (math.isfinite(multiplier) and multiplier >= 1):
        raise SettingsError(f"multiplier is {multiplier:g}; expected 1 or more")
    plain = require_strength(strength)
    normal = require_orientation(orientation, plain.shape)
    with log_compilation("edge maps"):
        return _thin(plain, normal, radius, border, np.float32(multiplier))


@jit
def _smooth(padded: Map, radius: int) -> Map:
    """Triangle filter of ``radius`` in both directions; what was padded falls away."""
    height, width = padded.shape[0] - 2 * radius, padded.shape[1] - 2 * radius
    result = np.empty((height, width), np.float32)
    row = np.empty(padded.shape[1], np.float32)
    unit = np.float32(1.0 / (radius + 1) ** 2)
    for y in range(height):
        row[:] = 0
        for tap in range(2 * radius + 1):
            weight = unit * np.float32(radius + 1 - abs(tap - radius))
            source = padded[y + tap]
            for x in range(row.size):
                row[x] += weight * source[x]
        line = result[y]
        line[:] = 0
        for tap in range(2 * radius + 1):
            weight = unit * np.float32(radius + 1 - abs(tap - radius))
            shifted = row[tap : tap + width]
            for x in range(width):
                line[x] += weight * shifted[x]
    return result


@jit
def _orientation(xx: Map, xy: Map, yy: Map) -> Map:
    """From the second derivatives."""
    result = np.empty(xx.shape, np.float32)
    for y in range(xx.shape[0]):
        for x in range(xx.shape[1]):
            along_y = -yy[y, x] if xy[y, x] > 0 else yy[y, x]
            angle = math.atan(along_y / (xx[y, x] + np.float32(1e-5)))
            if angle < 0:
                angle += PI
            result[y, x] = angle if angle < PI else np.float32(0)
    return result


@jit_inline
def _between_pixels(values: Map, x: float, y: float) -> float:
    """Bilinear; beyond the border counts the border."""
    height, width = values.shape
    x = min(max(x, np.float32(0)), np.float32(width - 1))
    y = min(max(y, np.float32(0)), np.float32(height - 1))
    left, top = int(x), int(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    u, v = x - np.float32(left), y - np.float32(top)
    one = np.float32(1)
    return (one - v) * ((one - u) * values[top, left] + u * values[top, right]) + v * (
        (one - u) * values[bottom, left] + u * values[bottom, right]
    )


@jit
def _thin(strength: Map, orientation: Map, radius: int, border: int, multiplier: float) -> Map:
    height, width = strength.shape
    result = np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            own = strength[y, x]
            if own <= 0:
                continue
            bar = own * multiplier * LEVEL
            step_x = np.float32(math.cos(orientation[y, x]))
            step_y = np.float32(math.sin(orientation[y, x]))
            stays = True
            for distance in range(1, radius + 1):
                dx, dy = np.float32(distance) * step_x, np.float32(distance) * step_y
                here_x, here_y = np.float32(x), np.float32(y)
                if (
                    _between_pixels(strength, here_x + dx, here_y + dy) > bar
                    or _between_pixels(strength, here_x - dx, here_y - dy) > bar
                ):
                    stays = False
                    break
            if stays:
                inwards = min(x, y, width - 1 - x, height - 1 - y)
                fade = np.float32(inwards) / np.float32(border) if inwards < border else 1
                result[y, x] = own * np.float32(fade)
    return result


def _require_map(values: object, what: str, fix: str) -> npt.NDArray[np.floating]:
    if not isinstance(values, np.ndarray):
        raise DataError(f"an {what} is a {type(values).__name__}; expected a float array (H, W)")
    if values.dtype.kind != "f":
        raise DataError(f"an {what} has dtype {values.dtype}; expected floats ({fix})")
    if values.ndim != 2:
        raise DataError(f"an {what} has shape {values.shape}; expected (H, W)")
    if values.size == 0:
        raise DataError(f"an {what} has shape {values.shape}, no pixel; expected at least one")
    return values


def _where(bad: npt.NDArray[np.bool_]) -> str:
    y, x = np.unravel_index(int(bad.argmax()), bad.shape)
    return f"at row {y}, column {x} ({int(bad.sum())} pixels like it)"
