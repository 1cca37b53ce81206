"""Photos that EXIF turns, and masks that were drawn on the photo as it is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from upscore.core.labels import LabelMap
from upscore.core.plural import plural
from upscore.data.problem import Problem

DrawnOn = Literal["upright", "stored"]
"""What masks were drawn on: the photo as EXIF turns it, or its pixels as stored."""
Fit = Literal["upright", "stored", "either"]
"""By their sizes, which of the two a mask fits."""
REMEDY = (
    "say `drawn_on: stored` in a dataset.yaml if masks were drawn on the photos as stored, "
    "`drawn_on: upright` if not (see docs/data.md)"
)


@dataclass(frozen=True)
class TurnedPhoto:
    """A photo that EXIF turns: its orientation (2 to 8), and which of its sizes its mask has."""

    path: Path
    turn: int
    fit: Fit


def fit_of(turn: int, upright: Sequence[int], mask: Sequence[int]) -> Fit:
    """Which a mask of this height and width fits, for a photo of this size after its turn.

    A mask of neither size fits the upright one, with which it is compared elsewhere.
    """
    stored = tuple(upright[::-1]) if turn >= 5 else tuple(upright)
    if stored == tuple(upright) == tuple(mask):
        return "either"
    return "stored" if tuple(mask) == stored != tuple(upright) else "upright"


def turn_labels(labels: LabelMap, turn: int) -> LabelMap:
    """(H, W) labels, turned as a photo of this EXIF orientation is."""
    if turn >= 5:
        labels = labels.T
    if turn in (2, 3, 6, 7):
        labels = labels[:, ::-1]
    if turn in (3, 4, 7, 8):
        labels = labels[::-1]
    return np.ascontiguousarray(labels)


def turn_problems(root: Path, turned: Iterable[TurnedPhoto], num_photos: int) -> list[Problem]:
    """One problem where masks may lie on the pixels as stored; none where sizes say upright."""
    turned = list(turned)
    fits = Counter(photo.fit for photo in turned)
    if not turned or (fits["upright"] and not fits["stored"]):
        return []
    which = "stored" if fits["stored"] else "either"
    example = next(photo for photo in turned if photo.fit == which)
    turns = ", ".join(map(str, sorted({photo.turn for photo in turned})))
    text = (
        f"EXIF turns {len(turned)} of {plural(num_photos, 'photo')} (orientation {turns}), such as "
        f"{example.path.name}; "
    )
    if which == "stored":
        fit = plural(fits["stored"], "mask")
        text += f"by size, {fit} fit the photo as stored and not as turned; {REMEDY}"
    else:
        text += (
            "sizes do not show whether the masks fit the turned photos or the stored ones; look at "
            f"one, and {REMEDY}"
        )
    return [Problem.at("exif turn", root, text)]
