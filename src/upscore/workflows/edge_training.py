"""Training of the edge network on BSDS500: settings, loss and batches for the trainer."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from importlib import resources
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import torch
import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from upscore.core.files import make_folder, write_text
from upscore.core.parallel.prefetch import prefetch
from upscore.core.run_folder import RunFolder
from upscore.core.runtime import DeviceName, Precision, describe_start, select_runtime
from upscore.core.settings import Settings, build, load_yaml, set_dotted
from upscore.data.formats.bsds import find_bsds
from upscore.edges.network import EdgeNetwork
from upscore.edges.samples import EdgeSamples, EdgeViews
from upscore.edges.weight_files import save_edge_network
from upscore.errors import RunError, SettingsError
from upscore.training.optim import OptimSettings, ScheduleSettings
from upscore.training.recipe import BudgetSettings
from upscore.training.sample_stream import Batch
from upscore.training.setup import is_finished, launch
from upscore.training.trainer import Outcome, Status, Training

WEIGHTS = "model.safetensors"
"""File in the run folder."""

Count = Annotated[int, Ge(1)]


class EdgeRecipe(Settings):
    """A whole training of the edge network. ``upscore edges train`` takes the shipped one."""

    description: str = ""
    splits: tuple[str, ...] = ("train", "val")
    """Splits of BSDS500 to learn from."""
    deviation: Annotated[float, Gt(0)] = 1.5
    """Pixels by which people are forgiven to disagree about where a boundary lies."""
    anyone: Annotated[float, Ge(0), Le(1)] = 0.4
    """Share of "anyone drew it" in the target; the rest is the share of people who drew it."""
    views: EdgeViews = Field(default_factory=EdgeViews)
    boost: Annotated[float, Ge(0)] = 1.0
    """Weight of a pixel in the loss is 1 + boost * target."""
    sides: Annotated[float, Ge(0)] = 0.5
    """Weight of the loss of the side outputs, their mean, beside that of the fused map."""
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
    """Threads that prepare views ahead of the network."""
    precision: Precision = "auto"
    device: DeviceName = "auto"

    @property
    def budget(self) -> BudgetSettings:
        """The iterations, as the trainer wants them."""
        return BudgetSettings(iterations=self.iterations)

    def to_yaml(self) -> str:
        """Every setting, defaults included."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_edge_recipe(path: Path | None, assignments: tuple[str, ...] = ()) -> EdgeRecipe:
    """The shipped recipe (``None``) or a YAML file, with ``a.b=value`` assignments applied.

    Raises:
        NotFoundError: a file that is not there.
        SettingsError: wrong settings, all of them listed.
    """
    if path is None:
        shipped = resources.files("upscore") / "edges" / "weights" / "learned-edges.yaml"
        content: dict[str, Any] = yaml.safe_load(shipped.read_text("utf-8"))
        source = "the shipped recipe of edges"
    else:
        content, source = load_yaml(path), str(path)
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
    """Edge detection: the loss of a batch, as the trainer wants it."""

    boost: float
    sides: float

    def num_targets(self, batch: Batch) -> int:
        return batch.labels.numel()

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        logits = network(batch.images.contiguous(memory_format=torch.channels_last))
        return edge_loss(logits.float(), batch.labels, boost=self.boost, sides=self.sides)

    def save(self, folder: Path, network: nn.Module) -> None:
        save_edge_network(network.state_dict(), folder / WEIGHTS)


@dataclass(frozen=True)
class EdgeBatches:
    """Batches of random views of the photos, one a step, prepared ahead in threads."""

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


def train_edge_network(
    recipe: EdgeRecipe,
    *,
    data: Path,
    out: Path,
    resume: bool = False,
    show: Callable[[Status], None] = lambda _: None,
) -> Outcome:
    """Train into the run folder ``out``; see :func:`upscore.workflows.edges.train_edges`."""
    runtime = select_runtime(recipe.device, recipe.precision)
    splits = find_bsds(data)
    missing = [name for name in recipe.splits if name not in splits]
    if missing:
        raise SettingsError(
            f"{data}: no split {', '.join(missing)}; there are {', '.join(splits)} "
            "(choose with --set 'splits=[train]')"
        )
    images = [image for name in recipe.splits for image in splits[name]]
    run = RunFolder(out)
    _prepare_folder(run, recipe, resume=resume, names=[image.name for image in images])
    samples = EdgeSamples(
        images,
        recipe.views,
        deviation=recipe.deviation,
        anyone=recipe.anyone,
        seed=recipe.seed,
    )
    torch.manual_seed(recipe.seed)
    return Training(
        recipe,
        run=run,
        fabric=launch(runtime),
        model=EdgeNetwork(),
        task=EdgeTask(recipe.boost, recipe.sides),
        source=EdgeBatches(samples, recipe.batch, recipe.workers),
        model_folder=run.path,
        show=show,
    ).fit()


def _prepare_folder(run: RunFolder, recipe: EdgeRecipe, *, resume: bool, names: list[str]) -> None:
    """Begin the folder, or check that its run is this one and not finished."""
    if not run.is_begun(resume=resume):
        make_folder(run.path)
        write_text(run.recipe, recipe.to_yaml())
        run.write_manifest(
            {**describe_start(), "threads": torch.get_num_threads(), "photos": names}
        )
        return
    manifest = RunFolder.open(run.path).read_manifest()
    if build(EdgeRecipe, load_yaml(run.recipe), str(run.recipe)) != recipe:
        raise RunError(
            f"{run.path}: was begun with other settings (see {run.recipe}); resume with the same, "
            "or choose another --out"
        )
    if manifest.get("photos") != names:
        raise RunError(f"{run.path}: was begun on other photos; choose another --out")
    if is_finished(run):
        raise RunError(f"{run.path}: this training is finished; choose another --out")
