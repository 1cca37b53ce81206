"""Orders in which samples are drawn: functions of (seed, position), so that resuming is exact."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Order = Callable[[int, int], int]
"""(seed, position) -> index of the sample at that position of the endless stream."""

WINDOW = 64
"""Images whose crops are mixed: few enough to stay decoded, many enough that batches differ."""


def random_order(size: int) -> Order:
    """Each sample once per epoch, in another random order in every epoch."""

    def index(seed: int, position: int) -> int:
        epoch, place = divmod(position, size)
        return int(_permutation(seed, epoch, size)[place])

    return index


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, size: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, 0, epoch]).permutation(size)


def with_replacement(size: int) -> Order:
    """Uniform draws with replacement, as the FCN release did."""

    def index(seed: int, position: int) -> int:
        return int(np.random.default_rng([seed, 2, position]).integers(size))

    return index


def grouped_by_image(photos: npt.NDArray[np.integer], per_read: int) -> Order:
    """Random order of crops in which an image is decoded once for about ``per_read`` of its crops.

    A cycle draws each crop once. It is divided into parts, and the crops of each image are spread
    evenly over the parts. A part takes the images in random order and mixes the crops of
    ``WINDOW`` images at a time.

    Args:
        photos: (K,) index of the image of each crop.
        per_read: average number of an image's crops in one part.
    """
    size = len(photos)
    mean = size / len(np.unique(photos))
    parts = max(1, min(size, round(mean / per_read)))
    starts = np.cumsum([0, *(len(range(part, size, parts)) for part in range(parts))])

    @lru_cache(maxsize=2)
    def part_order(seed: int, cycle: int, part: int) -> npt.NDArray[np.int64]:
        rng = np.random.default_rng([seed, 3, cycle])
        drawn = rng.permutation(size)
        # random within each image; the stride spreads an image's crops over the parts
        grouped = drawn[np.argsort(photos[drawn], kind="stable")][part::parts]
        rng = np.random.default_rng([seed, 4, cycle, part])
        places = rng.permutation(int(photos.max()) + 1)[photos[grouped]]
        order: npt.NDArray[np.int64] = grouped[
            np.lexsort((rng.random(len(grouped)), places // WINDOW))
        ]
        return order

    def index(seed: int, position: int) -> int:
        cycle, place = divmod(position, size)
        part = int(np.searchsorted(starts, place, side="right")) - 1
        return int(part_order(seed, cycle, part)[place - starts[part]])

    return index
