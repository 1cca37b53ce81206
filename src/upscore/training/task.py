"""What the training loop is given: settings, a source of batches, and what is learnt from them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from upscore.core.crop_geometry import CropGeometry
from upscore.core.images import InputSpec
from upscore.core.labels import VOID, Labels
from upscore.core.photo_values import AS_STORED, PhotoValues
from upscore.models.checkpoint import save_model
from upscore.training.batchnorm import explain_single_values
from upscore.training.loss import cross_entropy_sum, region_loss
from upscore.training.recipe import BudgetSettings
from upscore.training.sample_stream import Batch
from upscore.training.settings import LossSettings, OptimSettings, ScheduleSettings


class TrainerSettings(Protocol):
    """The settings of a training that its loop uses; a :class:`Recipe` has them."""

    @property
    def optim(self) -> OptimSettings: ...
    @property
    def schedule(self) -> ScheduleSettings: ...
    @property
    def budget(self) -> BudgetSettings: ...
    @property
    def average(self) -> float: ...
    @property
    def log_every(self) -> int | None: ...
    @property
    def save_every(self) -> int: ...
    @property
    def seed(self) -> int: ...


class BatchSource(Protocol):
    """An endless stream of batches; those of an iteration are always the same."""

    @property
    def step_size(self) -> int:
        """Samples of one optimiser step, over all processes."""
        ...

    @property
    def num_samples(self) -> int:
        """Samples of one epoch."""
        ...

    def steps(self, first_iteration: int) -> Generator[list[Batch]]:
        """This process's batches of each step from ``first_iteration`` on."""
        ...

    def names(self, iteration: int) -> list[str]:
        """Names of this process's samples in one step."""
        ...


class Task(Protocol):
    """What a network learns."""

    def num_targets(self, batch: Batch) -> int:
        """What the loss of a step is divided by, summed over its batches; 0: not divided."""
        ...

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Loss of a batch on the network's device: a scalar, summed over its targets."""
        ...

    def save(self, folder: Path, network: nn.Module, trained: Mapping[str, Any]) -> None:
        """Write the weights so that prediction can load them."""
        ...


@dataclass(frozen=True)
class Segmentation:
    """Semantic segmentation by cross-entropy and, if wanted, a loss of regions; void is ignored.

    Attributes:
        class_weights: (C,) float32 on the network's device, or None.
        mean: divide the loss by the valid pixels of the step, else it is their sum.
        crops: geometry of the crops that the network is trained on, for its config.json.
        photos: how values of photos become 8-bit RGB, likewise.
    """

    labels: Labels
    input_spec: InputSpec
    class_weights: Tensor | None
    mean: bool
    crops: CropGeometry | None = None
    loss_settings: LossSettings = field(default_factory=LossSettings)
    photos: PhotoValues = AS_STORED
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Data and version of the training, for the network's config.json."""

    def num_targets(self, batch: Batch) -> int:
        return int((batch.labels != VOID).sum()) if self.mean else 0

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        with explain_single_values(batch.images):
            scores = network(self.input_spec.apply(batch.images))
        loss = cross_entropy_sum(
            scores, batch.labels, self.class_weights, focal=self.loss_settings.focal
        )
        if self.loss_settings.region == "none":
            return loss
        # a mean, so that it counts like the batch's share of the step's pixels
        regions = region_loss(scores, batch.labels, self.class_weights, settings=self.loss_settings)
        return loss + self.loss_settings.region_weight * regions * (batch.labels != VOID).sum()

    def save(self, folder: Path, network: nn.Module, trained: Mapping[str, Any]) -> None:
        save_model(
            folder,
            network,
            labels=self.labels,
            input_spec=self.input_spec,
            crops=self.crops,
            photos=self.photos,
            trained={**self.origin, **trained},
        )
