"""Selection of the photos for figures, by their true label maps alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from upscore.core.labels import VOID
from upscore.core.parallel.prefetch import prefetch
from upscore.data.dataset import Split
from upscore.errors import SettingsError, UpscoreError

LARGEST_SHARE = 0.6
"""Objects that cover more of a photo than this are not shown: too little outline is visible."""


def class_shares(
    split: Split, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> dict[str, Any]:
    """Share of each photo's labelled pixels by class, as ``{"shares": [{"3": 0.25}, ...]}``.

    A photo that cannot be read has none.
    """

    def read(place: int) -> dict[str, float]:
        try:
            labels = split.read(place).labels
        except UpscoreError:
            return {}
        values, counts = np.unique(labels[labels != VOID], return_counts=True)
        total = int(counts.sum())
        return {str(int(v)): int(n) / total for v, n in zip(values, counts, strict=True)}

    shares = []
    for found in prefetch(read, range(len(split))):
        shares.append(found)
        progress(len(shares), len(split))
    return {"shares": shares}


def spread(shares: list[dict[str, float]], num: int) -> list[int]:
    """Up to ``num`` places, evenly over the photos with two classes or more, or over all."""
    rich = [place for place, found in enumerate(shares) if len(found) > 1]
    places = rich or [place for place, found in enumerate(shares) if found]
    if len(places) <= num:
        return places
    return [places[round((k + 0.5) * len(places) / num - 0.5)] for k in range(num)]


def _objects(
    shares: list[dict[str, float]], *, background: int | None, wanted: int | None
) -> list[tuple[float, int, int]]:
    """Sort key, place and class of each class in a photo, the largest share first.

    Those that are nearly the whole photo come last. Only of the class ``wanted``, if any.
    """
    found = [
        (-share if share <= LARGEST_SHARE else share, place, int(name))
        for place, of in enumerate(shares)
        for name, share in of.items()
        if int(name) != background and wanted in (None, int(name))
    ]
    return sorted(found)


def large_objects(
    shares: list[dict[str, float]],
    num: int,
    *,
    background: int | None,
    wanted: int | None = None,
) -> list[tuple[int, int]]:
    """Photos and classes with much of one class, but not nearly the whole photo, largest first.

    Args:
        wanted: only this class.
    """
    chosen: dict[int, int] = {}
    for _, place, label in _objects(shares, background=background, wanted=wanted):
        chosen.setdefault(place, label)
    return [*chosen.items()][:num]


def pairs_of_objects(
    shares: list[dict[str, float]],
    num: int,
    *,
    background: int | None,
    wanted: int | None = None,
    photo: int | None = None,
) -> list[tuple[int, int, int]]:
    """Class and two photos with much of it each, those first whose smaller share is largest.

    Photos of a class are paired by their share of it, the largest two, the next two, ...; those
    that are nearly all of one class come last.

    Args:
        wanted: only this class.
        photo: only pairs of this photo with the best other one.
    """
    by_class: dict[int, list[tuple[float, int]]] = {}
    for key, place, label in _objects(shares, background=background, wanted=wanted):
        by_class.setdefault(label, []).append((key, place))
    found: list[tuple[float, int, int, int]] = []
    for label, photos in by_class.items():
        if photo is not None:
            photos.sort(key=lambda item: item[1] != photo)
            photos = photos[:2] if photos[0][1] == photo else []
        for (_, first), (key, second) in zip(photos[::2], photos[1::2], strict=False):
            found.append((key, label, first, second))
    return [(label, first, second) for _, label, first, second in sorted(found)[:num]]


def find_photo(split: Split, name: str) -> int:
    """Place of a photo by its name. Raises SettingsError."""
    names = [pair.name for pair in split.pairs]
    if name not in names:
        raise SettingsError(
            f"--photo is {name!r}; split {split.name!r} has {len(names)} photos, the first "
            f"{', '.join(names[:5])}"
        )
    return names.index(name)


def require_class(shares: list[dict[str, float]], split: Split, name: str) -> int:
    """Index of a class that occurs in the split.

    Raises:
        SettingsError: no such class, or one of which the split has no pixel.
    """
    label = split.labels.index(name)
    if not any(str(label) in of for of in shares):
        there = sorted({int(key) for of in shares for key in of})
        raise SettingsError(
            f"--class is {name!r}, which occurs in no photo of split {split.name!r}, so that "
            "there is no figure of it; there are "
            + ", ".join(split.labels.names[index] for index in there)
        )
    return label
