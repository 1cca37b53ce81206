"""Sources of proposals to measure, in a module of their own so that other processes find them."""

# ruff: noqa: ARG002  (all sources are asked the same)

from __future__ import annotations

import multiprocessing
import os
from dataclasses import dataclass

import numpy as np

from upscore.errors import DataError, MissingExtraError
from upscore.proposals.base import Proposals


@dataclass(frozen=True)
class Fixed:
    """The same boxes for every photo."""

    boxes: tuple[tuple[float, float, float, float], ...]

    def __call__(self, image, *, name=""):
        boxes = np.array(self.boxes, np.float32).reshape(-1, 4)
        return Proposals(boxes, np.linspace(1, 0.5, len(boxes), dtype=np.float32))

    def settings(self):
        return {"kind": "Fixed", "boxes": [list(box) for box in self.boxes]}


@dataclass(frozen=True)
class Failing(Fixed):
    """Fails on some photos."""

    names: tuple[str, ...] = ()

    def __call__(self, image, *, name=""):
        if name in self.names:
            raise DataError("no edge here; look away")
        return super().__call__(image)


@dataclass(frozen=True)
class Missing(Fixed):
    """Needs what is not installed."""

    def __call__(self, image, *, name=""):
        raise MissingExtraError("needs X; run: pip install X")


@dataclass(frozen=True)
class Dying(Fixed):
    """Ends the process, unless it is the first one."""

    def __call__(self, image, *, name=""):
        if multiprocessing.parent_process() is not None:
            os._exit(3)
        return super().__call__(image)


@dataclass(frozen=True)
class Odd(Fixed):
    """Raises what no source should."""

    def __call__(self, image, *, name=""):
        raise KeyError(name)
