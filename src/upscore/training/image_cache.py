"""Cache of decoded images with their labels, least recently used ones dropped first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from upscore.core.labels import LabelMap, RGBImage

KEPT_BYTES = 256 * 2**20
"""Decoded photos of a run: some 280 photos of 500x375."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image (H, W, 3) uint8, its labels (H, W) uint8, and (H, W) int32 numbers of its objects,
    or None where they are not needed."""

    image: RGBImage
    labels: LabelMap
    objects: npt.NDArray[np.int32] | None = None

    @property
    def num_bytes(self) -> int:
        objects = 0 if self.objects is None else self.objects.nbytes
        return self.image.nbytes + self.labels.nbytes + objects


class DecodedPhotos:
    """Cache of decoded images by index; threads that need the same image decode it once.

    Args:
        decode: reads the image of an index.
        kept_bytes: size limit; the last image is always kept.
    """

    def __init__(self, decode: Callable[[int], Decoded], kept_bytes: int = KEPT_BYTES) -> None:
        self._decode = decode
        self._kept_bytes = kept_bytes
        self._photos: OrderedDict[int, Future[Decoded]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __getitem__(self, index: int) -> Decoded:
        """The image of ``index``. Raises the errors of ``decode`` in all waiting threads."""
        with self._lock:
            found = self._photos.get(index)
            ours: Future[Decoded] = Future()
            if found is None:
                self._photos[index] = ours
            else:
                self._photos.move_to_end(index)
        if found is not None:
            return found.result()
        try:
            photo = self._decode(index)
        except BaseException as error:
            with self._lock:
                del self._photos[index]
            ours.set_exception(error)
            raise
        ours.set_result(photo)
        with self._lock:
            self._bytes += photo.num_bytes
            self._drop()
        return photo

    def _drop(self) -> None:
        for index in list(self._photos):
            if self._bytes <= self._kept_bytes or len(self._photos) == 1:
                return
            if self._photos[index].done():
                self._bytes -= self._photos.pop(index).result().num_bytes
