"""Edge detectors: image -> strength and orientation of its edges. ``learned`` holds the network's.

All follow :class:`EdgeDetector`. Strengths are not thinned; :func:`upscore.edges.maps.thin_edges`
does that.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy import ndimage

from upscore.core.images import require_rgb
from upscore.core.json import JSONObject
from upscore.core.labels import RGBImage
from upscore.edges.maps import PI, Map, require_edges
from upscore.errors import DataError, SettingsError

STRONG = 0.99
"""The gradient that so many pixels stay below becomes strength 1 ..."""

FAINTEST = 0.02
"""... unless it is fainter than this: noise of a one-coloured image is not an edge. Grey levels
differ by 1 in units of black to white."""


class EdgeDetector(Protocol):
    """Where edges come from. Detectors pickle, and load what they need when first called."""

    def __call__(self, image: RGBImage) -> tuple[Map, Map]:
        """Edges of an image (H, W, 3) uint8 RGB.

        Returns:
            Strength (H, W) float32 in [0, 1], and orientation (H, W) float32 in [0, pi): of the
            edge's normal, from the x axis towards the y axis, which points down.

        Raises:
            DataError: no such image.
        """
        ...

    def settings(self) -> JSONObject:
        """What edges depend on beside the image: JSON values, ``kind`` among them."""
        ...


@dataclass(frozen=True)
class GradientEdges:
    """Colour gradients at several scales: no model, no training.

    Derivatives of Gaussians of each colour channel make a 2x2 tensor (Di Zenzo 1986); tensors of
    all scales are added, each times its scale squared. Strength is the root of the larger
    eigenvalue, divided by what 99 % of the image's pixels stay below; orientation is the direction
    of its eigenvector. A one-coloured image has no edges.

    Attributes:
        scales: standard deviations of the Gaussians in pixels.

    Raises:
        SettingsError: no scale, or one outside 0.3..50.
    """

    scales: tuple[float, ...] = (1.0, 2.0, 4.0)

    def __post_init__(self) -> None:
        scales = tuple(float(scale) for scale in self.scales)
        wrong = [scale for scale in scales if not 0.3 <= scale <= 50]
        if wrong or not scales:
            raise SettingsError(
                f"GradientEdges has scales {scales}; expected at least one, each in 0.3..50 pixels"
            )
        object.__setattr__(self, "scales", scales)

    def __call__(self, image: RGBImage) -> tuple[Map, Map]:
        require_rgb(image)
        colours = np.moveaxis(image, 2, 0).astype(np.float32) / np.float32(255)
        xx, xy, yy = np.zeros((3, *colours.shape[1:]), np.float32)
        for scale in self.scales:
            for channel in colours:
                blurred = ndimage.gaussian_filter1d(channel, scale, axis=0)
                along_x = scale * ndimage.gaussian_filter1d(blurred, scale, axis=1, order=1)
                blurred = ndimage.gaussian_filter1d(channel, scale, axis=1)
                along_y = scale * ndimage.gaussian_filter1d(blurred, scale, axis=0, order=1)
                xx += along_x * along_x
                xy += along_x * along_y
                yy += along_y * along_y
        spread = np.sqrt((xx - yy) ** 2 + 4 * xy * xy)
        strength = np.sqrt((xx + yy + spread) / 2)
        strength /= max(float(np.quantile(strength, STRONG)), FAINTEST)
        orientation = np.mod(np.arctan2(2 * xy, xx - yy) / 2, PI)
        orientation[orientation >= PI] = 0
        return np.minimum(strength, 1).astype(np.float32), orientation.astype(np.float32)

    def settings(self) -> JSONObject:
        return {"kind": "GradientEdges", "scales": list(self.scales)}


@dataclass(frozen=True, eq=False)
class FromArray:
    """Edges that were computed elsewhere, for one image.

    Attributes:
        strength: (H, W) floats in [0, 1].
        orientation: (H, W) floats in [0, pi); computed from the strength where it is not given.

    Raises:
        DataError: NaN, other ranges or shapes.
    """

    strength: Map
    orientation: Map | None = None
    _orientation: Map = field(init=False, repr=False)

    def __post_init__(self) -> None:
        strength, orientation = require_edges(self.strength, self.orientation)
        object.__setattr__(self, "strength", strength)
        object.__setattr__(self, "_orientation", orientation)

    def __call__(self, image: RGBImage) -> tuple[Map, Map]:
        """The edges that were given.

        Raises:
            DataError: the image has another size.
        """
        require_rgb(image)
        shape = image.shape[:2]
        if shape != self.strength.shape:
            raise DataError(
                f"an image has {shape} rows and columns and the edge strength "
                f"{self.strength.shape}; expected the same (FromArray holds the edges of one image)"
            )
        return self.strength.copy(), self._orientation.copy()

    def settings(self) -> JSONObject:
        """With the SHA-256 of the arrays."""
        digest = hashlib.sha256(f"{self.strength.shape}".encode())
        digest.update(self.strength.tobytes())
        digest.update(np.ascontiguousarray(self._orientation).tobytes())
        return {"kind": "FromArray", "edges": digest.hexdigest()}
