"""Selective search as OpenCV does it, where its crashes can do no harm."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.util import Finalize
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from benchmarks.peers.opencv import require_opencv
from upscore.core.images import require_rgb
from upscore.core.json import JSONObject
from upscore.core.labels import RGBImage
from upscore.core.parallel.processes import end_with_parent
from upscore.errors import DataError, MissingExtraError, SettingsError
from upscore.proposals.base import Proposals

Mode = Literal["fast", "quality"]

FEWEST_PIXELS = 100
"""OpenCV's first segmentation has no region below this, so smaller images are a single region."""


@dataclass(frozen=True)
class SelectiveSearch:
    """Selective search (Uijlings et al., IJCV 2013): regions merged by likeness.

    OpenCV's code works in a process of its own, as it ends the whole program on some images. That
    process is spawned with the first image, so a script needs ``if __name__ == "__main__":``; it
    serves all of this process and ends with it. Images of one colour or of fewer than 100 pixels do
    not get there: their box is the image.

    OpenCV ranks its boxes by the step of the merging times a random number (as the authors do), and
    gives no scores; here the score is 1 for the first box and falls evenly with the rank.

    Attributes:
        mode: ``fast``, or ``quality`` with several times the boxes and the time.
        max_boxes: how many of the first are kept.
        seed: of the random numbers; the same gives the same boxes in the same order on the same
            system.

    Raises:
        SettingsError: another mode, ``max_boxes`` below 1, ``seed`` outside 0 to 2147483647.
    """

    mode: Mode = "fast"
    max_boxes: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise SettingsError(f"mode is {self.mode!r}; allowed: {', '.join(get_args(Mode))}")
        if self.max_boxes < 1:
            raise SettingsError(f"max_boxes is {self.max_boxes}; allowed: 1 or more")
        if not 0 <= self.seed < 2**31:
            raise SettingsError(f"seed is {self.seed}; allowed: 0 to {2**31 - 1}")

    def settings(self) -> JSONObject:
        return {
            "kind": "SelectiveSearch",
            "mode": self.mode,
            "max_boxes": self.max_boxes,
            "seed": self.seed,
        }

    def __call__(self, image: RGBImage, *, name: str = "") -> Proposals:  # noqa: ARG002
        """Boxes of an image (H, W, 3) uint8 RGB.

        Raises:
            DataError: not such an image, or OpenCV failed on it.
            MissingExtraError: no OpenCV, or one without its extra modules.
        """
        require_rgb(image)
        height, width, _ = image.shape
        if height * width < FEWEST_PIXELS or bool((image == image[0, 0]).all()):
            boxes = np.array([[0, 0, width, height]], np.int32)
        else:
            boxes = _in_another_process(image, self.mode == "fast", self.seed)
        boxes = boxes[: self.max_boxes]
        ranks = np.arange(len(boxes), dtype=np.float32)
        return Proposals(boxes.astype(np.float32), 1 - ranks / np.float32(len(boxes)))


_lock = threading.Lock()
_pool: ProcessPoolExecutor | None = None
_pool_owner = 0
"""The process in which OpenCV works, and which process started it (a fork may not use it)."""


def _in_another_process(image: RGBImage, fast: bool, seed: int) -> npt.NDArray[np.int32]:
    """What :func:`selective_search_opencv` gives; a crash ends the other process alone."""
    global _pool, _pool_owner
    with _lock:
        if _pool is None or _pool_owner != os.getpid():
            _pool = ProcessPoolExecutor(
                1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=end_with_parent,
            )
            _pool_owner = os.getpid()
            # a process of multiprocessing waits for its children before it ends executors
            Finalize(None, _pool.shutdown, exitpriority=100)
        pool = _pool
        try:
            return pool.submit(
                selective_search_opencv, np.ascontiguousarray(image), fast=fast, seed=seed
            ).result()
        except MissingExtraError:
            raise
        except KeyboardInterrupt:  # which reaches the other process too
            _pool = None
            raise
        except Exception as error:
            if isinstance(error, BrokenProcessPool):
                _pool = None
            height, width, _ = image.shape
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"OpenCV's selective search failed on an image of {width}x{height} ({reason}); "
                "leave the image out, or take another source of boxes"
            ) from error


def selective_search_opencv(
    image: RGBImage, *, fast: bool = True, seed: int = 0
) -> npt.NDArray[np.int32]:
    """Boxes (K, 4) int32 xyxy of an image (H, W, 3) uint8 RGB, in OpenCV's order.

    Regions of a segmentation are merged by likeness; each one that occurs on the way is a box
    (Uijlings et al., IJCV 2013). The order is by the step of the merging times a random number,
    which comes from the C library's ``rand``; so this seeds the whole process.

    Native crashes are known; :class:`SelectiveSearch` is the safe way here.

    Args:
        fast: few colour spaces and measures of likeness; otherwise more of both.
        seed: 0 to 2**31 - 1.

    Raises:
        MissingExtraError: no OpenCV.
    """
    cv2 = require_opencv()
    cv2.setNumThreads(1)
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(image[..., ::-1]))  # it reads blue first
    if fast:
        search.switchToSelectiveSearchFast()
    else:
        search.switchToSelectiveSearchQuality()
    library = ctypes.CDLL("ucrtbase" if os.name == "nt" else None)
    library.srand(ctypes.c_uint(seed + 1))  # to GNU's, 0 is the same as 1
    found = np.asarray(search.process(), np.int32).reshape(-1, 4)
    boxes: npt.NDArray[np.int32] = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:]], 1)
    return boxes
