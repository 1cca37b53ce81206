"""What an ensemble gains over its members and over a CRF, and which pixels it mends."""

from __future__ import annotations

from typing import Any

import numpy as np

from upscore.core.labels import VOID, LabelMap
from upscore.metrics.bootstrap import overlaps
from upscore.metrics.confusion import count
from upscore.reproduce.differences import paired_difference
from upscore.reproduce.labelling import LabelStore

KINDS = ("both right", "only the first right", "only the second right", "both wrong")


def gains(store: LabelStore, *, network: str, crf: str, ensemble: str) -> dict[str, Any]:
    """Gains in mIoU over a network, of the photos that all three stages have labelled.

    Args:
        network: name of its stage.
        crf, ensemble: of the CRF after it, and of its ensemble with another.

    Returns:
        ``network``; ``ensemble`` and ``crf``, the two gains; and ``more``, by how much the first
        one is larger. The three hold ``difference`` with a 95 % interval by a paired bootstrap over
        the photos, in the form that :mod:`upscore.reproduce.differences` reads. JSON values.
    """
    stages = {"network": network, "crf": crf, "ensemble": ensemble}
    num_classes = len(store.split.labels)
    counts: dict[str, list[Any]] = {name: [] for name in stages}
    for _, truth, maps in store.complete([*stages.values()]):
        for name, map_ in zip(stages, maps, strict=True):
            counts[name].append(overlaps(count(truth, map_, num_classes)))

    def gain(first: str, second: str) -> dict[str, Any]:
        if not counts[first]:
            return {"difference": None}
        return {"difference": paired_difference(np.stack(counts[first]), np.stack(counts[second]))}

    return {
        "network": network,
        "ensemble": gain("network", "ensemble"),
        "crf": gain("network", "crf"),
        # (ensemble - network) - (crf - network): the network cancels, in each draw too
        "more": gain("crf", "ensemble"),
    }


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
