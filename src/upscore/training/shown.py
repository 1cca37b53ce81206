"""Number of images and crops that a training draws from, and overlap of training and validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from upscore.core.plural import plural
from upscore.data.dataset import Split
from upscore.training.recipe import Recipe


@dataclass(frozen=True)
class Shown:
    """Numbers of images, crops and samples of one training (or stage).

    Attributes:
        photos: of the training split.
        held_out: photos that validate and are not trained on.
        crops: of objects or proposals in them, each counted once; None where it sees whole photos.
        epoch: samples of an epoch: crops with the repeats of rare classes, or photos.
    """

    recipe: Recipe
    photos: int
    crops: int | None
    epoch: int
    held_out: int = 0

    @property
    def step(self) -> int:
        """Samples of one optimiser step."""
        batch = self.recipe.batch
        return batch.size * batch.accumulate * self.recipe.processes

    def __str__(self) -> str:
        """One line of text."""
        text = plural(self.photos, "photo")
        if self.held_out:
            text += f", {self.held_out:,} more held out for validation"
        if self.crops is not None:
            kind = self.recipe.crops.kind
            text = f"{plural(self.crops, 'crop')} of {kind} in {text}"
            if self.epoch != self.crops:
                text += f", with repeats of rare classes {self.epoch:,}"
        budget = self.recipe.budget
        iterations = budget.num_iterations(epoch=self.epoch, step=self.step)
        if iterations is None:
            return f"{text}; {self.step} samples an iteration"
        drawn = plural(iterations * self.step, "sample")
        if budget.epochs is not None:
            return f"{text}; {budget.epochs:g} epochs draw {drawn}"
        draw = "draws" if iterations == 1 else "draw"
        return f"{text}; {plural(iterations, 'iteration')} of {self.step} {draw} {drawn}"

    def to_json(self, *, drawn: int) -> dict[str, Any]:
        """For the manifest; ``drawn`` samples so far, each as often as it came."""
        return {
            "photos": self.photos,
            "crops": self.crops,
            "kind": self.recipe.crops.kind,
            "epoch": self.epoch,
            "drawn": drawn,
        }


def num_common(train: Split, val: Split) -> int:
    """Number of photos of ``val`` that are in ``train``, too."""
    images = {pair.image for pair in train.pairs}
    return sum(pair.image in images for pair in val.pairs)


def overlap_warning(train: Split, val: Split) -> str | None:
    """A sentence where a training is validated on photos that it learns from, else None."""
    common = num_common(train, val)
    if not common:
        return None
    if train.name == val.name:
        return (
            f"split {train.name!r} both trains and validates: validation scores will be better "
            "than on new photos"
        )
    return (
        f"{common:,} of the {len(val):,} photos of {val.name!r}, which validates, are in "
        f"{train.name!r}, which is trained on: validation scores will be better than on new photos"
    )
