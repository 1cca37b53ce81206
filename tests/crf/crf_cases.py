"""Images and probabilities for the dense CRF's tests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import zoom

Image = npt.NDArray[np.uint8]
Probabilities = npt.NDArray[np.float32]


def random_case(
    seed: int, shape: tuple[int, ...], num_classes: int, channels: int = 3, noise: float = 4.0
) -> tuple[Image, Probabilities]:
    """A noisy image of a few soft regions, and smooth probabilities that know nothing of it."""
    rng = np.random.default_rng(seed)
    colors = smooth(rng.uniform(0, 255, (channels, *(4 for _ in shape))), shape)
    image = np.moveaxis(colors, 0, -1) + rng.normal(0, noise, (*shape, channels))
    scores = smooth(rng.normal(0, 2, (num_classes, *(4 for _ in shape))), shape)
    return image.clip(0, 255).astype(np.uint8), softmax(scores)


def smooth(coarse: npt.NDArray[np.float64], shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """(K, *coarse) stretched to (K, *shape), linearly."""
    factors = (1.0, *(size / coarse.shape[1] for size in shape))
    result: npt.NDArray[np.float64] = zoom(coarse, factors, order=1)
    return result


def softmax(scores: npt.NDArray[np.floating]) -> Probabilities:
    e = np.exp(scores - scores.max(axis=0))
    return (e / e.sum(axis=0)).astype(np.float32)


def bilinear(maps: npt.NDArray[np.float32], shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """OpenCV's resize of (C, h, w) to ``shape``: pixel centres at half, edges repeated."""

    def axis(size: int, coarse: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
        at = ((np.arange(size) + 0.5) * coarse / size - 0.5).clip(0, coarse - 1)
        low = np.minimum(at.astype(np.intp), max(coarse - 2, 0))
        return low, (at - low).astype(np.float32)

    i, a = axis(shape[0], maps.shape[1])
    j, b = axis(shape[1], maps.shape[2])
    up = np.minimum(i + 1, maps.shape[1] - 1)
    right = np.minimum(j + 1, maps.shape[2] - 1)
    rows = maps[:, i] * (1 - a)[:, None] + maps[:, up] * a[:, None]
    return rows[:, :, j] * (1 - b) + rows[:, :, right] * b
