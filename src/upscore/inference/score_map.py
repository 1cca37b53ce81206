"""One map of class scores to which windows of a photo add what they know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from upscore.inference.crop_resize import Floats, Window, lay_windows, touches

Aggregate = Literal["max", "sum", "mean"]
Start = Literal["zero", "covered"]


class ScoreMap:
    """Scores of windows, aggregated pixel by pixel and class by class.

    Memory is one map, however many windows there are. Inside, the classes of a pixel lie side by
    side, as networks that are laid out channels last give them.

    Args:
        num_classes, height, width: of the map.
        aggregate: ``max``, ``sum`` or ``mean`` over the windows.
        start: ``zero``: a window says 0 of each pixel outside it, so that a maximum is never below
            0 and a mean is one over all windows. ``covered``: a window says nothing there; a pixel
            that none covers still has 0.
        antialias: see :mod:`upscore.inference.crop_resize`.
        offset: every window is laid so many pixels further right and down.
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

    def holds(self, window: Window) -> bool:
        """Whether a window covers a pixel of the map; what others say need not be known."""
        return touches(self._moved(window), *self._map.shape[:2])

    def add(self, scores: Floats, windows: Sequence[Window]) -> None:
        """Lay scores (N, h, w, C) of N windows on the map; any window may lie beside it."""
        if not windows:
            return
        moved = [self._moved(window) for window in windows]
        add = self.aggregate != "max"
        lay_windows(scores, moved, self._map, add=add, antialias=self.antialias)
        if self._covered is not None:
            for x1, y1, x2, y2 in moved:
                self._covered[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] += 1

    def values(self, num_windows: int) -> Floats:
        """(H, W, C): the aggregate of what was added so far. Do not write to it.

        Args:
            num_windows: how many windows there were, with those beside the map that were not added.
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
