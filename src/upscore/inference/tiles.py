"""Large photos in overlapping tiles that are blended without a seam."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from upscore.core.images import require_rgb
from upscore.core.labels import LabelMap, RGBImage
from upscore.core.limits import DEFAULT_TILE
from upscore.core.memory import physical_memory
from upscore.core.option_values import STRIDE, require_tile
from upscore.errors import DataError, SettingsError
from upscore.inference.segmenter import ScoreMap, Segmenter, softmax


def require_memory(num_classes: int, height: int, width: int) -> None:
    """Refuse scores of a photo that the machine's memory cannot hold.

    Systems promise more memory than there is, and kill who uses it.

    Raises:
        DataError: with what they need.
    """
    there, needed = physical_memory(), 4 * num_classes * height * width
    if there is not None and needed > there:
        raise DataError(
            f"scores of {num_classes} classes at {width}x{height} pixels need "
            f"{needed / 1e9:.1f} GB of memory, and the machine has {there / 1e9:.1f} GB; make the "
            "photo smaller, or write no probabilities (`upscore predict --save labels,overlay` "
            "with a network, not a pipeline)"
        )


class Tiled(Segmenter):
    """Another segmenter, applied tile by tile to photos with a side over ``tile`` pixels.

    Neighbours overlap by a quarter of a tile. The scores change from one tile to the other along a
    smooth ramp over the middle half of the overlap. The outer quarters, next to which the network
    had only padding, do not count. Besides the result, one tile is in memory and the scores that
    one row of tiles shares with the next: a quarter of a tile's side times the photo's width.

    Args:
        base: the segmenter of a tile.
        tile: side in pixels, a multiple of 32 from 128 on.

    Raises:
        SettingsError: another ``tile``. DataError, from ``scores`` and ``probabilities``: a photo
            whose scores are larger than the machine's memory; ``predict`` does without them.
    """

    def __init__(self, base: Segmenter, *, tile: int = DEFAULT_TILE) -> None:
        require_tile(tile)
        if tile == 0:
            raise SettingsError("tile is 0 (never); use the segmenter itself")
        self.labels = base.labels
        self.base = base
        self.tile = tile

    def scores(self, image: RGBImage) -> ScoreMap:
        require_rgb(image)
        if self._fits(image):
            return self.base.scores(image)
        height, width, _ = image.shape
        require_memory(len(self.labels), height, width)
        whole: ScoreMap = np.empty((len(self.labels), height, width), dtype=np.float32)
        for rows, columns, part in self._finished(image):
            whole[:, rows, columns] = part
            del part
        return whole

    def probabilities(self, image: RGBImage) -> ScoreMap:
        require_rgb(image)
        return self.base.probabilities(image) if self._fits(image) else softmax(self.scores(image))

    def predict(self, image: RGBImage) -> LabelMap:
        require_rgb(image)
        if self._fits(image):
            return self.base.predict(image)
        whole: LabelMap = np.empty(image.shape[:2], dtype=np.uint8)
        for rows, columns, part in self._finished(image):
            whole[rows, columns] = part.argmax(axis=0)
            del part
        return whole

    def predict_batch(self, images: Sequence[RGBImage]) -> list[LabelMap]:
        """Label maps of several images; those that need no tiles are one batch."""
        for image in images:
            require_rgb(image)
        whole = iter(self.base.predict_batch([image for image in images if self._fits(image)]))
        return [next(whole) if self._fits(image) else self.predict(image) for image in images]

    def _fits(self, image: RGBImage) -> bool:
        return bool(max(image.shape[:2]) <= self.tile)

    def _finished(self, image: RGBImage) -> Iterator[FinishedWindow]:
        def score(rows: slice, columns: slice) -> ScoreMap:
            return self.base.scores(image[rows, columns])

        height, width, _ = image.shape
        return blended_windows(score, len(self.labels), height, width, tile=self.tile)


ScoreWindow = Callable[[slice, slice], ScoreMap]
"""Rows and columns of a photo -> class scores (C, rows, columns) of that window, a new array."""

FinishedWindow = tuple[slice, slice, ScoreMap]
"""Rows and columns of a photo, and their final scores (C, rows, columns) float32."""


def blended_windows(
    score: ScoreWindow, num_classes: int, height: int, width: int, *, tile: int
) -> Iterator[FinishedWindow]:
    """Blended scores of a photo of ``height`` x ``width``, window by window.

    The windows cover the photo without overlap, row by row. Their scores may be written to, and are
    to be dropped (``del``) before the next ones are asked for, so that one tile is in memory.
    """
    overlap = tile // 4 // STRIDE * STRIDE
    tops = starts(height, tile=tile, overlap=overlap)
    lefts = starts(width, tile=tile, overlap=overlap)
    # what the row of tiles before shares with this one
    above: ScoreMap = np.empty((num_classes, overlap if tops[1:] else 0, width), np.float32)
    for top, next_top in itertools.zip_longest(tops, tops[1:]):
        rows = slice(top, min(top + tile, height))
        height_done = (next_top or height) - top
        before: ScoreMap | None = None  # what the tile before shares with this one
        for left, next_left in itertools.zip_longest(lefts, lefts[1:]):
            part = score(rows, slice(left, min(left + tile, width)))
            if before is not None:
                _blend(before, part[:, :, :overlap], axis=2)
                part[:, :, :overlap] = before
            if next_left is not None:
                before = part[:, :, next_left - left :].copy()
            columns = slice(left, next_left or width)
            part = part[:, :, : columns.stop - left]
            if top:
                _blend(above[:, :, columns], part[:, :overlap], axis=1)
                part[:, :overlap] = above[:, :, columns]
            if next_top is not None:
                above[:, :, columns] = part[:, height_done:]
            yield slice(top, top + height_done), columns, part[:, :height_done]
            del part


def starts(length: int, *, tile: int, overlap: int) -> list[int]:
    """First pixels of the tiles along a side. Each is ``tile`` long, except for the last.

    The last tile ends with the photo; it may be shorter, but is longer than the overlap.
    """
    step = tile - overlap
    return list(range(0, max(1, length - overlap), step))


def ramp(length: int) -> npt.NDArray[np.float32]:
    """Weights of the later tile over an overlap: 0, a raised cosine over the middle half, 1."""
    position = (np.arange(length, dtype=np.float64) + 0.5) / length
    middle = np.clip(2 * position - 0.5, 0, 1)
    weights: npt.NDArray[np.float32] = (0.5 - 0.5 * np.cos(np.pi * middle)).astype(np.float32)
    return weights


def _blend(earlier: ScoreMap, later: ScoreMap, *, axis: int) -> None:
    """earlier += weight * (later - earlier), in place: equal values stay exactly the same."""
    shape = [1, 1, 1]
    shape[axis] = earlier.shape[axis]
    earlier += ramp(earlier.shape[axis]).reshape(shape) * (later - earlier)
