"""Settings of crops, loss, optimiser, schedule and head warm-up; torch is not imported here."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import model_validator

from upscore.core.settings import Count, Settings, Side

Fraction = Annotated[float, Ge(0), Le(1)]


class HeadSettings(Settings):
    """A warm-up of the head before the training."""

    crops: Annotated[int, Ge(0), Le(10**6)] = 0
    """Augmented crops whose features are computed, once; no more than the samples of a budget in
    iterations. 0: no warm-up. From random weights (init.weights none) there is none either."""
    passes: Annotated[int, Ge(1), Le(10**6)] = 20
    """Times that the head sees each of them."""


class LossSettings(Settings):
    reduction: Literal["mean", "sum"] = "mean"
    """mean: over the valid pixels of the whole step; sum: over them, as in the papers (heavy
    learning)."""
    class_weights: Literal["none", "median_frequency", "sqrt_median_frequency"] = "none"
    """Weights by class, from the training split's frequencies."""
    max_weight: Annotated[float, Gt(0)] | None = None
    """Larger weights of classes become this one: with very rare classes among many, a few pixels
    would rule the gradient. Null: as they are."""
    focal: Annotated[float, Ge(0), Le(10)] = 0.0
    """Cross-entropy of a pixel times (1 - p)**focal, p the probability of its class (Lin et al.
    2017): pixels that are right already count less. 0: plain cross-entropy."""
    region: Literal["none", "dice", "tversky", "lovasz"] = "none"
    """A loss of whole regions, each class alike, added to the cross-entropy: dice (1 - F1 of soft
    regions), tversky (as dice, with the weights of ``tversky``), lovasz (a surrogate of 1 - IoU,
    Berman et al. 2018)."""
    region_weight: Annotated[float, Gt(0), Le(100)] = 1.0
    """Factor of the loss of regions, where the cross-entropy has 1."""
    region_step: Side = 1
    """The loss of regions uses one row and column of so many: at 2 it takes a quarter of the time
    (lovasz sorts all pixels for each class)."""
    tversky: tuple[Annotated[float, Ge(0)], Annotated[float, Ge(0)]] = (0.3, 0.7)
    """Of tversky: weights of false positives and of false negatives (Salehi et al. 2017)."""

    @model_validator(mode="after")
    def _check(self) -> LossSettings:
        if self.max_weight is not None and self.class_weights == "none":
            raise ValueError(
                f"max_weight is {self.max_weight:g}, but class_weights is none; set class_weights "
                "to median_frequency or sqrt_median_frequency, or leave max_weight out"
            )
        if self.region == "tversky" and not any(self.tversky):
            raise ValueError(
                "tversky is (0, 0), with which no mistake counts; expected a number above 0 for "
                "false positives or for false negatives, for example [0.3, 0.7]"
            )
        return self


class OptimSettings(Settings):
    name: Literal["sgd", "adam", "adamw", "muon"] = "adamw"
    """sgd with momentum (the papers), adam with coupled weight decay (the report), adamw, or muon
    for the hidden convolutions and adamw for the rest."""
    lr: Annotated[float, Gt(0)] = 1e-3
    """Learning rate at the top of the schedule."""
    kernel_lr: Annotated[float, Gt(0)] = 0.02
    """Of muon: learning rate of the hidden convolutions; ``lr`` is that of the rest."""
    weight_decay: Annotated[float, Ge(0)] = 1e-4
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    """Of sgd; the first beta of adam and adamw. Muon's hidden convolutions have 0.95."""
    nesterov: bool = False
    """Nesterov's form of the momentum, sgd only."""
    bias_lr: Annotated[float, Gt(0)] = 1.0
    """Factor of the learning rate for biases; Caffe's networks use 2."""
    decay: Literal["all", "weights", "weights_and_norms"] = "weights"
    """Parameters with weight decay: all; weights without biases and norms; or weights and norms
    without biases (Caffe's defaults)."""
    backbone_rate: Annotated[float, Gt(0)] = 1.0
    """Factor of all learning rates in the backbone; pretrained ones need less than the rest."""
    clip: Annotated[float, Gt(0)] | None = None
    """Upper limit of the gradient's norm, or null. Not with muon, whose updates have one size."""

    @model_validator(mode="after")
    def _check(self) -> OptimSettings:
        if self.name == "muon" and self.clip is not None:
            raise ValueError(
                f"clip is {self.clip:g} with muon, whose updates have one size; leave clip out"
            )
        if self.nesterov and (self.name != "sgd" or not self.momentum):
            raise ValueError(
                f"nesterov is true with {self.name} and momentum {self.momentum:g}; it needs sgd "
                "and a momentum above 0; change them, or leave nesterov out"
            )
        return self


class ScheduleSettings(Settings):
    """Factor of the learning rate as a function of the used fraction of the budget."""

    name: Literal["constant", "step", "poly", "cosine", "plateau"] = "constant"
    steps: tuple[Fraction, ...] = ()
    """Of step: fractions of the budget at which the rate is multiplied by ``factor``."""
    factor: Annotated[float, Gt(0), Lt(1)] = 0.1
    """Of step and plateau."""
    power: Annotated[float, Gt(0)] = 0.9
    """Of poly."""
    patience: Count = 3
    """Of plateau: validations without a better score before the rate is cut."""
    warmup: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Fraction of the budget over which the rate rises linearly from 0, with any schedule."""

    @model_validator(mode="after")
    def _check(self) -> ScheduleSettings:
        if self.name == "step" and (not self.steps or list(self.steps) != sorted(self.steps)):
            raise ValueError("step needs steps, fractions of the budget in rising order")
        return self


class CropSettings(Settings):
    """Training samples: whole images or crops of them."""

    kind: Literal["photos", "objects", "proposals"] = "photos"
    """photos: whole images; objects: a crop for each annotated object (DeconvNet's stage 1);
    proposals: one for each stored box that overlaps an object (stage 2)."""
    growth: Annotated[float, Gt(0)] = 1.2
    """Factor on a box's width and height about its centre, to include context."""
    square: bool = False
    """Enlarge boxes to squares of their longer side."""
    leave_image: bool = True
    """true: boxes may reach outside the image, and crops are padded there, black in the image and
    void in the target; false: boxes are clipped to the image."""
    others: Literal["keep", "background"] = "keep"
    """Target of the other objects in a crop, of kind objects: keep their classes, or background. In
    a data set without a class called background they keep their classes."""
    min_area: Count = 100
    """Objects of fewer pixels are left out."""
    store: str | None = None
    """Of kind proposals: the file that `upscore proposals make` wrote for the training split; or
    make, which makes one of EdgeBoxes in the run folder first."""
    overlap: Annotated[float, Gt(0), Le(1)] = 0.5
    """Of kind proposals: least IoU of a stored box with the box of an object. The paper says that
    they overlap the true segmentation, not by how much; this number is ours."""
    balance: Annotated[float, Ge(0), Le(1)] = 1.0
    """Crops of rare classes are repeated up to 20 times: (crops of the most frequent class / crops
    of this class) to this power. 0: no repeats; 1: all classes equally often."""
    per_read: Annotated[int, Ge(1), Le(65536)] = 8
    """Average number of an image's crops that are drawn each time the image is decoded (crops per
    decode): more is faster and mixes batches less."""

    @model_validator(mode="after")
    def _check(self) -> CropSettings:
        if self.others == "background" and self.kind != "objects":
            raise ValueError(f"others is background, which is for kind objects, not {self.kind}")
        if self.store is not None and self.kind != "proposals":
            raise ValueError(f"store is {self.store!r}, which is for kind proposals")
        return self
