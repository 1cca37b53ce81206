"""DeconvNet's switches exchanged between two objects of a class (section 4.2 of the paper).

Unpooling keeps what is specific to an example, where its parts are; deconvolution has learned what
is specific to a class, which shape such objects have. So scores that are decoded from the features
of one object by the switches of another should lie where that other one lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from upscore.core.labels import Labels
from upscore.metrics.bootstrap import mean_interval
from upscore.models.checkpoint import SavedModel
from upscore.models.deconvnet import DeconvNet
from upscore.report.document import Row, Sheet, Table
from upscore.reproduce.activations import enlarged, heat
from upscore.reproduce.differences import interval
from upscore.reproduce.objects import ObjectCrop

PAIRS = 20
"""Largest number of pairs of objects whose switches are exchanged."""

LETTERS = "AB"
PLACES = ((0, 0), (1, 1), (0, 1), (1, 0))
"""Objects whose features and whose switches are used; first each object's own."""


def decoded(saved: SavedModel, pair: Sequence[ObjectCrop]) -> Tensor:
    """Class probabilities of two objects by their own and by each other's switches.

    Returns:
        (2, 2, C, h, w): [features of, switches of].
    """
    model = saved.model.eval()
    assert isinstance(model, DeconvNet)
    crops = torch.from_numpy(np.stack([one.crop for one in pair])).permute(0, 3, 1, 2)
    with torch.no_grad():
        features, switches = model.encode(saved.input_spec.apply(crops.contiguous()))
        own = model.decode(features, switches).softmax(dim=1)
        other = model.decode(features.flip(0), switches).softmax(dim=1)
    return torch.stack(
        [torch.stack([own[0], other[1]]), torch.stack([other[0], own[1]])]
    )  # other[1] has A's features and B's switches


def overlap(map_: npt.NDArray[np.bool_], example: ObjectCrop) -> float:
    """IoU of a map (h, w) and an object's mask, over the pixels that have a class."""
    predicted = map_ & example.valid
    either = np.count_nonzero(predicted | example.mask)
    return float(np.count_nonzero(predicted & example.mask) / either) if either else 0.0


def overlaps_of(probabilities: Tensor, pair: Sequence[ObjectCrop]) -> list[list[list[float]]]:
    """IoU [features of][switches of][mask of] of where the network says the class."""
    maps = (probabilities.argmax(dim=2) == pair[0].label).numpy()
    return [[[overlap(map_, example) for example in pair] for map_ in of] for of in maps]


def summary(pairs: Sequence[Sequence[Sequence[Sequence[float]]]]) -> dict[str, Any]:
    """Whether exchanged maps cover the object of the switches or that of the features.

    Args:
        pairs: of :func:`overlaps_of`.

    Returns:
        ``pairs``, their number; ``own``, mean IoU of maps that are not exchanged with their object;
        of exchanged ones, mean IoU with the object of the ``switches`` and of the ``features``, and
        their ``difference``, with a 95 % bootstrap interval over the pairs, in the form that
        :mod:`upscore.reproduce.differences` reads; all None without a pair.
    """
    if not pairs:
        return {"pairs": 0, "own": None, "switches": None, "features": None, "difference": None}
    follows = [(iou[0][1][1] + iou[1][0][0]) / 2 for iou in pairs]
    stays = [(iou[0][1][0] + iou[1][0][1]) / 2 for iou in pairs]
    margins = [a - b for a, b in zip(follows, stays, strict=True)]
    low, high = mean_interval(margins)
    return {
        "pairs": len(pairs),
        "own": fmean((iou[0][0][0] + iou[1][1][1]) / 2 for iou in pairs),
        "switches": fmean(follows),
        "features": fmean(stays),
        "difference": {"miou": fmean(margins), "low": low, "high": high},
    }


def exchange_items(
    saved: SavedModel, pair: Sequence[ObjectCrop], labels: Labels
) -> tuple[Sheet, Table]:
    """A figure of two objects with their own and with each other's switches, and its IoU."""
    probabilities = decoded(saved, pair)
    iou = overlaps_of(probabilities, pair)
    name = labels.names[pair[0].label]
    rows = []
    for features, switches in PLACES:
        of = probabilities[features, switches]
        winners = of.argmax(dim=0).byte().numpy()
        rows.append(
            Row(
                _title(features, switches),
                (
                    (f"features: {LETTERS[features]}", enlarged(pair[features].crop)),
                    (f"switches: {LETTERS[switches]}", enlarged(pair[switches].crop)),
                    ("labels", enlarged(labels.colorize(winners))),
                    (f"probability of {name}", heat(of[pair[0].label], low=0, high=1)),
                ),
                of_data=frozenset({0, 1}),
            )
        )
    return (
        Sheet(
            "figure-switches",
            f"Two objects of one class, {name}: A in {pair[0].photo}, B in {pair[1].photo}, with "
            "their own switches, and with fc7's features of one and the switches of the other.",
            tuple(rows),
            labels,
        ),
        Table(
            "switches",
            f"IoU of where the network says {name} in these four maps with the true masks of the "
            "two objects.",
            ("map", "IoU with A", "IoU with B"),
            tuple((_title(f, s), *iou[f][s]) for f, s in PLACES),
        ),
    )


def _title(features: int, switches: int) -> str:
    if features == switches:
        return LETTERS[features]
    return f"features of {LETTERS[features]}, switches of {LETTERS[switches]}"


def measure_pairs(saved: SavedModel, pairs: Sequence[Sequence[ObjectCrop]]) -> dict[str, Any]:
    """:func:`summary` of pairs, JSON values, with ``iou`` of each pair."""
    found = [overlaps_of(decoded(saved, pair), pair) for pair in pairs]
    return {**summary(found), "iou": found}


def exchange_text(exchanged: Mapping[str, Any]) -> str:
    """The result of the exchange as text, for a check."""
    if not exchanged["pairs"]:
        return "no two photos with objects of one class"
    return (
        f"{exchanged['pairs']} pairs of objects: mean IoU {exchanged['own']:.3f} with their own "
        f"switches; exchanged, with the object of the switches {exchanged['switches']:.3f}, with "
        f"that of the features {exchanged['features']:.3f}, difference "
        f"{interval(exchanged) or 'missing'}"
    )
