"""Training of the edge network on BSDS500: settings, loss and batches for the trainer."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import torch
import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from upscore.core.parallel.prefetch import prefetch
from upscore.core.run_folder import RunFolder
from upscore.core.runtime import DeviceName, Precision, describe_start
from upscore.core.settings import Count, Settings, build, load_yaml, set_dotted
from upscore.edges.samples import EdgeSamples, EdgeViews
from upscore.edges.weight_files import save_edge_network, shipped_edge_weights
from upscore.errors import RunError
from upscore.training.recipe import BudgetSettings
from upscore.training.sample_stream import Batch
from upscore.training.settings import OptimSettings, ScheduleSettings
from upscore.training.setup import is_finished, require_same_settings

WEIGHTS = "model.safetensors"
"""File in the run folder."""


class EdgeRecipe(Settings):
    """A whole training of the edge network. ``upscore edges train`` takes the shipped one."""

    description: str = ""
    splits: tuple[str, ...] = ("train", "val")
    """Splits of BSDS500 to learn from."""
    deviation: Annotated[float, Gt(0)] = 1.5
    """Blur of each annotator's boundaries in pixels, since people draw them on different pixels."""
    anyone: Annotated[float, Ge(0), Le(1)] = 0.4
    """Share of "anyone drew it" in the target; the rest is the share of people who drew it."""
    views: EdgeViews = Field(default_factory=EdgeViews)
    boost: Annotated[float, Ge(0)] = 1.0
    """Weight of a pixel in the loss is 1 + boost * target."""
    sides: Annotated[float, Ge(0)] = 0.5
    """Weight of the mean loss of the side outputs; the fused map has weight 1."""
    batch: Count = 8
    optim: OptimSettings = Field(default_factory=OptimSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    iterations: Count = 5000
    average: Annotated[float, Ge(0), Lt(1)] = 0.998
    """Decay of the moving average of the weights that is saved."""
    log_every: Count = 100
    save_every: Count = 250
    seed: Annotated[int, Ge(0), Le(2**31)] = 0
    workers: Count = 2
    """Number of threads that prepare views in advance."""
    precision: Precision = "auto"
    device: DeviceName = "auto"

    @property
    def budget(self) -> BudgetSettings:
        """The iterations as a budget for the trainer."""
        return BudgetSettings(iterations=self.iterations)

    def to_yaml(self) -> str:
        """Every setting, defaults included."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_edge_recipe(path: Path | None, assignments: tuple[str, ...] = ()) -> EdgeRecipe:
    """The shipped recipe (``None``) or a YAML file, with ``a.b=value`` assignments applied.

    Raises:
        NotFoundError: the file does not exist.
        SettingsError: wrong settings; all of them are listed.
    """
    source = "the shipped recipe of edges" if path is None else str(path)
    content = load_yaml(path or shipped_edge_weights().with_suffix(".yaml"))
    for assignment in assignments:
        set_dotted(content, assignment)
    return build(EdgeRecipe, content, source)


def edge_loss(logits: Tensor, target: Tensor, *, boost: float, sides: float) -> Tensor:
    """Cross entropy against soft targets: fused map plus ``sides`` times the mean side output.

    The fused map tends to the expected target where ``boost`` is 0, else to something larger.

    Args:
        logits: (N, 1 + levels, H, W), fused map first.
        target: (N, 1, H, W) in [0, 1].

    Returns:
        Scalar, summed over the N * H * W pixels.
    """
    wanted = target.expand_as(logits)
    losses = F.binary_cross_entropy_with_logits(
        logits, wanted, weight=1.0 + boost * wanted, reduction="none"
    ).sum(dim=(0, 2, 3))
    return losses[0] + sides * losses[1:].mean()


@dataclass(frozen=True)
class EdgeTask:
    """Edge detection for the trainer: the loss of a batch."""

    boost: float
    sides: float

    def num_targets(self, batch: Batch) -> int:
        return batch.labels.numel()

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        logits = network(batch.images.contiguous(memory_format=torch.channels_last))
        return edge_loss(logits.float(), batch.labels, boost=self.boost, sides=self.sides)

    def save(self, folder: Path, network: nn.Module, trained: Mapping[str, Any]) -> None:  # noqa: ARG002
        save_edge_network(network.state_dict(), folder / WEIGHTS)


@dataclass(frozen=True)
class EdgeBatches:
    """Batches of random views of the photos, one per step, prepared in advance by threads."""

    samples: EdgeSamples
    batch: int
    workers: int

    @property
    def step_size(self) -> int:
        return self.batch

    @property
    def num_samples(self) -> int:
        return len(self.samples)

    def names(self, iteration: int) -> list[str]:
        return self.samples.names(self.batch, iteration)

    def steps(self, first_iteration: int) -> Generator[list[Batch]]:
        batches = prefetch(
            self._batch, count(first_iteration), workers=self.workers, depth=2 * self.workers
        )
        with closing(batches):
            for batch in batches:
                yield [batch]

    def _batch(self, iteration: int) -> Batch:
        photos, targets = self.samples.batch(self.batch, iteration)
        return Batch(photos, targets, tuple(self.names(iteration)))


def prepare_run(run: RunFolder, recipe: EdgeRecipe, *, resume: bool, names: list[str]) -> None:
    """Start the run folder, or check that it holds this run and that the run is not finished."""
    if not run.is_begun(resume=resume):
        run.begin(
            recipe.to_yaml(),
            {**describe_start(), "threads": torch.get_num_threads(), "photos": names},
        )
        return
    manifest = RunFolder.open(run.path).read_manifest()
    if is_finished(run):  # whatever the settings
        raise RunError(f"{run.path}: this training is finished; choose another --out")
    command = f"upscore edges train --recipe {run.recipe} --resume"
    require_same_settings(run, recipe, command=command)
    if manifest.get("photos") != names:
        raise RunError(f"{run.path}: was started on other photos; choose another --out")
