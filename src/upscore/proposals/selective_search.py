"""Selective search as OpenCV does it, where its crashes can do no harm."""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from upscore.core.images import require_rgb
from upscore.core.labels import RGBImage
from upscore.errors import DataError, MissingExtraError, SettingsError
from upscore.proposals.base import Proposals, Settings

Mode = Literal["fast", "quality"]

FEWEST_PIXELS = 100
"""OpenCV's first segmentation has no region below this, so smaller images are a single region."""


@dataclass(frozen=True)
class SelectiveSearch:
    """Selective search (Uijlings et al., IJCV 2013): regions merged by likeness.

    OpenCV's code works in a process of its own, as it ends the whole program on some images. That
    process begins with the first image (some 0.3 s), serves all of this process and ends with it.
    Images of one colour or of fewer than 100 pixels do not get there: their box is the image.

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

    def settings(self) -> Settings:
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
            boxes = _opencv.boxes(image, fast=self.mode == "fast", seed=self.seed)
        boxes = boxes[: self.max_boxes]
        ranks = np.arange(len(boxes), dtype=np.float32)
        return Proposals(boxes.astype(np.float32), 1 - ranks / np.float32(len(boxes)))


class _OtherProcess:
    """The process in which OpenCV works: started when needed, started again after it died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def boxes(self, image: RGBImage, *, fast: bool, seed: int) -> npt.NDArray[np.int32]:
        with self._lock:
            what, answer = self._ask({"image": np.ascontiguousarray(image), "fast": fast,
                                      "seed": seed})  # fmt: skip
        height, width, _ = image.shape
        if what == "missing":
            raise MissingExtraError(answer)
        if what == "error":
            raise DataError(
                f"OpenCV's selective search failed on an image of {width}x{height} ({answer}); "
                "leave the image out, or take another source of boxes"
            )
        boxes: npt.NDArray[np.int32] = answer
        return boxes

    def _ask(self, request: dict[str, Any]) -> tuple[str, Any]:
        """("boxes", array), or ("missing" or "error", message)."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pickle.dump(request, process.stdin)
            process.stdin.flush()
            what, answer = pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            self._process = None
            _end(process)
            code = process.returncode
            return "error", f"signal {-code}" if code < 0 else f"exit status {code}"
        except BaseException:  # Ctrl-C: an answer that is still to come would be taken for the next
            self._process = None
            process.kill()
            _end(process)
            raise
        return what, answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid():  # another's, inherited by a fork
            self._process = subprocess.Popen(
                [sys.executable, "-m", "upscore.proposals.selective_search_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            self._owner = os.getpid()
        return self._process

    def close(self) -> None:
        if self._process is not None and self._owner == os.getpid():
            _end(self._process)
        self._process = None


def _end(process: subprocess.Popen[bytes]) -> None:
    """It ends when nothing more can come."""
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        with contextlib.suppress(OSError):
            stream.close()
    process.wait()


_opencv = _OtherProcess()
atexit.register(_opencv.close)
