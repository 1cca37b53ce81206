"""A map of class scores in which the scores of crops are aggregated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from upscore.inference.crop_resize import Floats, Window

Aggregate = Literal["max", "sum", "mean"]
Start = Literal["zero", "covered"]


class ScoreAccumulator:
    """Scores of windows, aggregated for each pixel and class.

    Memory is one map for any number of windows, in the order (H, W, C), which is that of the output
    of a network in channels-last format.

    Args:
        num_classes, height, width: of the map.
        aggregate: ``max``, ``sum`` or ``mean`` over the windows.
        start: ``zero``: a window has score 0 at each pixel outside it, so that a maximum is never
            below 0 and a mean is over all windows. ``covered``: a window counts only at pixels
            inside it; a pixel without any window has 0.
        antialias: see :mod:`upscore.inference.crop_resize`.
        offset: pixels by which every window is moved to the right and down.
    """

    def __init__(
        self,
        num_classes: int,
        height: int,
        width: int,
        *,
        aggregate: Aggregate,
        start: Start,
        antialias: bool,
        offset: int = 0,
    ) -> None:
        self.aggregate = aggregate
        self.antialias = antialias
        self.offset = offset
        only_covered = start == "covered" and aggregate != "sum"  # no difference to a sum
        first = -np.inf if only_covered and aggregate == "max" else 0
        self._map: Floats = np.full((height, width, num_classes), first, np.float32)
        self._covered = np.zeros((height, width), np.int32) if only_covered else None

    def overlaps(self, window: Window) -> bool:
        """Whether a window covers a pixel of the map; scores of other windows are not needed."""
        from upscore.inference.crop_resize import overlaps  # with numba, a slow import

        return overlaps(self._moved(window), *self._map.shape[:2])

    def add(self, scores: Floats, windows: Sequence[Window]) -> None:
        """Add scores (N, h, w, C) of N windows, some of which may be outside the map."""
        from upscore.inference.crop_resize import paste_crops

        if not windows:
            return
        moved = [self._moved(window) for window in windows]
        add = self.aggregate != "max"
        paste_crops(scores, moved, self._map, add=add, antialias=self.antialias)
        if self._covered is not None:
            for x1, y1, x2, y2 in moved:
                self._covered[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] += 1

    def values(self, num_windows: int) -> Floats:
        """(H, W, C): the aggregate of all scores added so far. Do not write to it.

        Args:
            num_windows: number of windows, including those outside the map that were not added.
        """
        if self._covered is None:
            if self.aggregate == "mean" and num_windows:
                return self._map / np.float32(num_windows)
            return self._map
        if self.aggregate == "mean":
            divisor = np.maximum(self._covered, 1).astype(np.float32)
            mean: Floats = self._map / divisor[:, :, None]
            return mean
        return np.where(self._covered[:, :, None] > 0, self._map, np.float32(0))

    def _moved(self, window: Window) -> Window:
        x1, y1, x2, y2 = (side + self.offset for side in window)
        return x1, y1, x2, y2
