"""Edge maps to look for boxes in."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from upscore.edges.maps import edge_orientation, thin_edges


def blobs(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A thin edge map like a photo's, and its orientation."""
    noise = np.random.default_rng(seed).random((height, width))
    smooth = ndimage.gaussian_filter(noise, 3)
    strength = np.hypot(*np.gradient(smooth))
    strength = (strength / strength.max()).astype(np.float32)
    orientation = edge_orientation(strength)
    return thin_edges(strength, orientation), orientation
