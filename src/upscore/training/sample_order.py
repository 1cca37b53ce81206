"""In which order samples are drawn: functions of (seed, position) alone, so resuming is exact."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Order = Callable[[int, int], int]
"""(seed, position) -> index of the sample at that position of the endless stream."""

WINDOW = 64
"""Photos whose crops are mixed: few enough to stay decoded, many enough that batches differ."""


def shuffled(size: int) -> Order:
    """Each sample once an epoch, every epoch in another order."""

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


def by_photo(photos: npt.NDArray[np.integer], per_read: int) -> Order:
    """Shuffled crops, in an order that decodes a photo once for about ``per_read`` of its crops.

    A cycle draws each crop once. It is cut into parts, each with every so-manieth crop of each
    photo; a part goes through the photos in random order and mixes the crops of ``WINDOW`` of them.

    Args:
        photos: (K,) the photo of each crop.
        per_read: crops of a photo, on average, that one part holds.
    """
    size = len(photos)
    mean = size / len(np.unique(photos))
    parts = max(1, min(size, round(mean / per_read)))
    starts = np.cumsum([0, *(len(range(part, size, parts)) for part in range(parts))])

    @lru_cache(maxsize=2)
    def part_order(seed: int, cycle: int, part: int) -> npt.NDArray[np.int64]:
        rng = np.random.default_rng([seed, 3, cycle])
        drawn = rng.permutation(size)
        # random within each photo; taking every so-manieth spreads a photo's crops over the parts
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
