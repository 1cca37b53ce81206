"""Pixels that two networks label wrongly, and their labels in the ensemble."""

from __future__ import annotations

from typing import Any

import numpy as np

from upscore.core.labels import VOID, LabelMap
from upscore.reproduce.labelling import LabelStore

KINDS = ("both right", "only the first right", "only the second right", "both wrong")


def count_repairs(
    truth: LabelMap, first: LabelMap, second: LabelMap, ensemble: LabelMap
) -> list[list[int]]:
    """Pixels of one photo, by who is right: for each of ``KINDS``, [ensemble right, wrong]."""
    valid = truth != VOID
    right_first, right_second = first == truth, second == truth
    of = (
        right_first & right_second,
        right_first & ~right_second,
        ~right_first & right_second,
        ~right_first & ~right_second,
    )
    good = (ensemble == truth) & valid
    return [
        [int(np.count_nonzero(kind & good)), int(np.count_nonzero(kind & valid & ~good))]
        for kind in of
    ]


def repairs(store: LabelStore, first: str, second: str, ensemble: str) -> dict[str, Any]:
    """Counts over all photos that the three stages have labelled.

    Returns:
        ``kinds``, ``pixels`` [kind][ensemble right, wrong] summed up, and for each photo of
        ``photos`` its ``place`` and pixels that the ensemble ``mended`` (one member wrong, the
        ensemble right) and ``spoilt`` (one member right, the ensemble wrong).
    """
    total = np.zeros((len(KINDS), 2), np.int64)
    photos = []
    for place, truth, maps in store.complete((first, second, ensemble)):
        found = count_repairs(truth, *maps)
        total += found
        photos.append(
            {
                "place": place,
                "mended": found[1][0] + found[2][0],
                "spoilt": found[1][1] + found[2][1],
                "pixels": sum(map(sum, found)),
            }
        )
    return {"kinds": list(KINDS), "pixels": total.tolist(), "photos": photos}
