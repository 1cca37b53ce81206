"""Gains in mIoU of an ensemble and of a CRF over the same network."""

from __future__ import annotations

from typing import Any

import numpy as np

from upscore.metrics.bootstrap import difference_interval, overlaps
from upscore.metrics.confusion import count, mean_iou
from upscore.reproduce.labelling import LabelStore


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
    matrices: dict[str, list[Any]] = {name: [] for name in stages}
    for _, truth, maps in store.complete([*stages.values()]):
        for name, map_ in zip(stages, maps, strict=True):
            matrices[name].append(count(truth, map_, num_classes))

    def gain(first: str, second: str) -> dict[str, Any]:
        if not matrices[first]:
            return {"difference": None}
        before, after = (mean_iou(np.sum(matrices[name], axis=0)) for name in (first, second))
        low, high = difference_interval(
            *(np.stack([overlaps(one) for one in matrices[name]]) for name in (first, second))
        )
        found = None if before is None or after is None else after - before
        return {"difference": {"miou": found, "low": low, "high": high}}

    return {
        "network": network,
        "ensemble": gain("network", "ensemble"),
        "crf": gain("network", "crf"),
        # (ensemble - network) - (crf - network): the network cancels, in each draw too
        "more": gain("crf", "ensemble"),
    }
