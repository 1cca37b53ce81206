"""Sources of boxes for the tests of the store, which go to new processes. Cheap to import."""

# ruff: noqa: ARG002  (all sources are asked the same)

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np

from upscore.errors import DataError, MissingExtraError
from upscore.proposals.base import Proposals
from waiting import wait_until


@dataclass(frozen=True)
class ByContent:
    """Some boxes that depend on the pixels, fewer than asked in small photos."""

    max_boxes: int = 50

    def settings(self):
        return {"kind": "ByContent", "max_boxes": self.max_boxes, "sides": (4, 8)}

    def __call__(self, image, *, name=""):
        height, width, _ = image.shape
        rng = np.random.default_rng(int(image.sum()))
        count = min(self.max_boxes, height * width // 10)
        corner = rng.integers(0, [width, height], (count, 2))
        boxes = np.concatenate([corner, corner + rng.integers(1, 9, (count, 2))], axis=1)
        return Proposals.sorted(boxes, rng.random(count))


@dataclass(frozen=True)
class Counted(ByContent):
    """Leaves an empty file for each photo in ``log``.

    From the photo ``held`` on, by name, it waits there until the file ``release`` exists.
    """

    log: str = ""
    held: str = ""
    release: str = ""

    def settings(self):
        return ByContent(self.max_boxes).settings()

    def __call__(self, image, *, name=""):
        (Path(self.log) / f"{name}-{os.getpid()}-{uuid4().hex}").touch()
        if self.held and name >= self.held:
            wait_until(Path(self.release).exists)
        return super().__call__(image)


@dataclass(frozen=True)
class Failing(ByContent):
    """Fails on photos by what is in their name."""

    def __call__(self, image, *, name=""):
        if "data" in name:
            raise DataError("this photo is not to its liking")
        if "odd" in name:
            raise ZeroDivisionError("first line\nsecond line")
        if "memory" in name:
            raise MemoryError
        if "extra" in name:
            raise MissingExtraError("pip install 'upscore[nothing]'")
        if "die" in name:
            os._exit(9)
        if "ctrl-c" in name:
            raise KeyboardInterrupt
        return super().__call__(image)


@dataclass(frozen=True)
class Threads(ByContent):
    """Its one box is as wide as there are threads."""

    def __call__(self, image, *, name=""):
        import torch

        return Proposals([[0, 0, torch.get_num_threads(), 1]], [1])


def make_in_a_program(folder: str) -> None:
    """What a program does that is to be interrupted."""
    from upscore.proposals import build_store as make

    make.PART_PHOTOS = 4
    root = Path(folder)
    make.make_store(
        [make.Photo(path.stem, path) for path in sorted((root / "photos").iterdir())],
        Counted(log=str(root / "log"), held="20", release=str(root / "release")),
        root / "boxes.parquet",
        workers=2,
    )
