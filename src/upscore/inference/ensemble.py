"""Ensembles of segmenters (DeconvNet section 4.3: its EDeconvNet is DeconvNet and FCN-8s)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import numpy as np

from upscore.core.images import require_rgb
from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.errors import DataError, SettingsError
from upscore.inference.instance_wise import InstanceWise
from upscore.inference.refine import Refine
from upscore.inference.segmenter import ScoreMap, Segmenter, log_scores, softmax
from upscore.inference.test_time_augmentation import TestTimeAugmentation
from upscore.inference.tiles import Tiled

Combine = Literal["mean", "weighted", "product"]


class Ensemble(Segmenter):
    """Several segmenters of the same classes, combined.

    - ``mean``, the paper's: the mean of the members' probabilities.
    - ``weighted``: the same with a weight for each member.
    - ``product``, of the released code: scores below 0 count as 0, are multiplied class by class,
      and a softmax follows. Where one member has only zeros, all classes are equal.

    Where a member has no information, as ``InstanceWise`` at a pixel that no box covers, it has the
    same probability for all classes, and the other members decide the mean.

    Args:
        members: one or more. The first one gives the order of the classes and their colours.
        combine: see above.
        weights: for ``weighted``, one for each member, 0 or more; only their ratios matter.

    Raises:
        SettingsError: no member, members of different classes (by name), weights that are missing,
            not wanted or invalid, or a member without raw scores in a product.
    """

    def __init__(
        self,
        members: Sequence[Segmenter],
        *,
        combine: Combine = "mean",
        weights: Sequence[float] | None = None,
    ) -> None:
        if not members:
            raise SettingsError("an ensemble has no members; expected one or more")
        if combine not in get_args(Combine):
            raise SettingsError(f"combine is {combine!r}; allowed: {', '.join(get_args(Combine))}")
        self.members = tuple(members)
        self.labels = self.members[0].labels
        self.combine = combine
        self.weights = _shares(weights, len(self.members), combine)
        self._orders = [_order(self.labels, member, n) for n, member in enumerate(members, start=1)]
        if combine == "product":
            for number, member in enumerate(members, start=1):
                _require_raw_scores(member, number)

    @property
    def needs(self) -> Literal["probabilities", "scores"]:
        """The kind of output of the members that :meth:`merge` takes."""
        return "scores" if self.combine == "product" else "probabilities"

    def merge(self, outputs: Iterable[ScoreMap]) -> ScoreMap:
        """The ensemble's probabilities from outputs of its members.

        Args:
            outputs: one for each member, in their order: (C, H, W) float32 of the kind ``needs``,
                in the member's own order of classes. They are not changed.

        Returns:
            (C, H, W) float32 in [0, 1].

        Raises:
            DataError: not one for each member, other numbers of classes, or different sizes.
        """
        combined = self._combine(outputs)
        return softmax(combined) if self.combine == "product" else combined

    def probabilities(self, image: RGBImage) -> ScoreMap:
        return self.merge(self._outputs(image))

    def scores(self, image: RGBImage) -> ScoreMap:
        """The product of scores, or the logarithm of the mean: (C, H, W) float32."""
        combined = self._combine(self._outputs(image))
        return combined if self.combine == "product" else log_scores(combined)

    def predict(self, image: RGBImage) -> LabelMap:
        # without a softmax, after which close scores may be equal
        labels: LabelMap = self._combine(self._outputs(image)).argmax(axis=0).astype(np.uint8)
        return labels

    def _outputs(self, image: RGBImage) -> Iterable[ScoreMap]:
        """Outputs of the members, made one after the other, so that one is in memory at a time."""
        require_rgb(image)
        for member in self.members:
            yield member.scores(image) if self.needs == "scores" else member.probabilities(image)

    def _combine(self, outputs: Iterable[ScoreMap]) -> ScoreMap:
        """The mean of probabilities, or the product of scores."""
        total: ScoreMap | None = None
        number = 0
        for number, output in enumerate(outputs, start=1):
            if number > len(self.members):
                continue
            if total is None:
                total = np.empty(np.shape(output), np.float32)
            if output.shape != total.shape or len(output) != len(self.labels):
                raise DataError(
                    f"member {number} of an ensemble gave an array of shape {output.shape}; "
                    f"expected {(len(self.labels), *total.shape[1:])}"
                )
            order, share = self._orders[number - 1], np.float32(self.weights[number - 1])
            for index, other in enumerate(order):  # class by class: no copy of a whole map
                if self.combine == "product":
                    part = np.maximum(output[other], 0)
                    total[index] = part if number == 1 else total[index] * part
                elif number == 1:
                    np.multiply(output[other], share, out=total[index])
                else:
                    total[index] += output[other] * share
        if total is None or number != len(self.members):
            raise DataError(
                f"an ensemble of {len(self.members)} members was given {number} outputs; expected "
                "one for each, in their order"
            )
        return total


def _shares(weights: Sequence[float] | None, count: int, combine: str) -> tuple[float, ...]:
    """A weight for each member, summing up to one."""
    if combine != "weighted":
        if weights is not None:
            raise SettingsError(
                f"weights are given for an ensemble that combines by {combine}; set "
                "combine: weighted, or leave the weights out"
            )
        return (1 / count,) * count
    if weights is None or len(weights) != count:
        found = "none" if weights is None else f"{len(weights)}"
        raise SettingsError(
            f"an ensemble of {count} members has {found} weights; expected one for each, as "
            f"{[1.0] * count}"
        )
    if any(not (weight >= 0 and math.isfinite(weight)) for weight in weights) or not sum(weights):
        raise SettingsError(
            f"the weights of an ensemble are {list(weights)}; expected numbers of 0 or more, one "
            "at least above 0"
        )
    return tuple(weight / sum(weights) for weight in weights)


def _order(labels: Labels, member: Segmenter, number: int) -> list[int]:
    """The index that each class of ``labels`` has in the member."""
    ours, theirs = labels.names, member.labels.names
    missing = [name for name in ours if name not in theirs]
    unknown = [name for name in theirs if name not in ours]
    if missing or unknown:
        parts = []
        if missing:
            parts.append(f"lacks {', '.join(missing)}")
        if unknown:
            parts.append(f"has {', '.join(unknown)}, which member 1 lacks")
        raise SettingsError(
            f"member {number} of an ensemble has other classes than member 1: it "
            f"{' and '.join(parts)}; expected networks trained on the same classes (their order "
            "does not matter)"
        )
    return [theirs.index(name) for name in ours]


def _require_raw_scores(member: Segmenter, number: int) -> None:
    """Refuse a member whose scores are logarithms of probabilities: in a product all would be 0."""
    while isinstance(member, Tiled):
        member = member.base
    logarithms = isinstance(member, TestTimeAugmentation | Refine) or (
        (isinstance(member, Ensemble) and member.combine != "product")
        or (isinstance(member, InstanceWise) and member.settings.softmax == "before")
    )
    if logarithms:
        raise SettingsError(
            f"member {number} of an ensemble that combines by product is a "
            f"{type(member).__name__} whose scores are logarithms of probabilities, none above 0; "
            "multiply the scores of networks, or combine by mean"
        )
