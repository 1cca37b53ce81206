"""Large photos in overlapping tiles that are blended without a seam."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from upscore.core.images import require_rgb
from upscore.core.labels import LabelMap, RGBImage
from upscore.core.limits import DEFAULT_TILE
from upscore.errors import SettingsError
from upscore.inference.segmenter import ScoreMap, Segmenter, softmax

STRIDE = 32
"""Five pools of two: in tiles that begin at its multiples, pools fall as in the whole photo."""

MIN_TILE = 4 * STRIDE


def require_tile(tile: int) -> None:
    """Refuse a side that is neither 0 nor a multiple of 32 from 128 (SettingsError)."""
    if tile == 0 or (tile >= MIN_TILE and tile % STRIDE == 0):
        return
    below = max(MIN_TILE, tile // STRIDE * STRIDE)
    raise SettingsError(
        f"tile is {tile}; want 0 (never) or a multiple of {STRIDE} from {MIN_TILE} on, "
        f"for example --tile {below}"
    )


class Tiled(Segmenter):
    """Another segmenter, applied tile by tile to photos with a side over ``tile`` pixels.

    Neighbours overlap by a quarter of a tile. The scores change from one tile to the other along a
    smooth ramp over the middle half of the overlap. The outer quarters, next to which the network
    had only padding, do not count. Besides the result only one row of tiles is in memory:
    ``predict`` needs memory in proportion to the photo's width, not its area.

    Args:
        base: the segmenter of a tile.
        tile: side in pixels, a multiple of 32 from 128 on.

    Raises:
        SettingsError: another ``tile``.
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
        whole: ScoreMap = np.empty((len(self.labels), *image.shape[:2]), dtype=np.float32)
        for top, rows in self._finished_rows(image):
            whole[:, top : top + rows.shape[1]] = rows
        return whole

    def probabilities(self, image: RGBImage) -> ScoreMap:
        require_rgb(image)
        return self.base.probabilities(image) if self._fits(image) else softmax(self.scores(image))

    def predict(self, image: RGBImage) -> LabelMap:
        require_rgb(image)
        if self._fits(image):
            return self.base.predict(image)
        whole: LabelMap = np.empty(image.shape[:2], dtype=np.uint8)
        for top, rows in self._finished_rows(image):
            whole[top : top + rows.shape[1]] = rows.argmax(axis=0)
        return whole

    def predict_batch(self, images: Sequence[RGBImage]) -> list[LabelMap]:
        """Label maps of several images; those that need no tiles are one batch."""
        for image in images:
            require_rgb(image)
        whole = iter(self.base.predict_batch([image for image in images if self._fits(image)]))
        return [next(whole) if self._fits(image) else self.predict(image) for image in images]

    def _fits(self, image: RGBImage) -> bool:
        return bool(max(image.shape[:2]) <= self.tile)

    def _finished_rows(self, image: RGBImage) -> Iterator[tuple[int, ScoreMap]]:
        """(First row, final scores (C, rows, W)) of pieces of the photo, from top to bottom."""

        def score(rows: slice, columns: slice) -> ScoreMap:
            return self.base.scores(image[rows, columns])

        height, width, _ = image.shape
        return blended_rows(score, len(self.labels), height, width, tile=self.tile)


ScoreWindow = Callable[[slice, slice], ScoreMap]
"""Rows and columns of a photo -> class scores (C, rows, columns) of that window."""


def blended_rows(
    score: ScoreWindow, num_classes: int, height: int, width: int, *, tile: int
) -> Iterator[tuple[int, ScoreMap]]:
    """Blended scores of a photo of ``height`` x ``width``, in pieces from top to bottom.

    Yields:
        First row of the piece, and its final scores (C, rows, W) float32.
    """
    overlap = tile // 4 // STRIDE * STRIDE
    tops = starts(height, tile=tile, overlap=overlap)
    above: ScoreMap | None = None  # the rows of the band before that overlap with this one
    for index, top in enumerate(tops):
        bottom = min(top + tile, height)
        band = _band(score, num_classes, slice(top, bottom), width, tile, overlap)
        if above is not None:
            _blend(above, band[:, : above.shape[1]], axis=1)
            band[:, : above.shape[1]] = above
        if index + 1 < len(tops):
            cut = tops[index + 1] - top
            above = band[:, cut:].copy()
            band = band[:, :cut]
        yield top, band


def _band(
    score: ScoreWindow, num_classes: int, rows: slice, width: int, tile: int, overlap: int
) -> ScoreMap:
    """Scores (C, rows, W) of one row of tiles, blended along the width."""
    band: ScoreMap = np.empty((num_classes, rows.stop - rows.start, width), dtype=np.float32)
    end = 0
    for left in starts(width, tile=tile, overlap=overlap):
        right = min(left + tile, width)
        part = score(rows, slice(left, right))
        shared = end - left if end else 0
        if shared:
            _blend(band[:, :, left:end], part[:, :, :shared], axis=2)
        band[:, :, left + shared : right] = part[:, :, shared:]
        end = right
    return band


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
