"""Training of the edge network on BSDS500: settings, loss, and a loop that can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from torch import Tensor
from torch.nn import functional as F

from upscore.core.files import make_folder, write_text
from upscore.core.parallel.prefetch import prefetch
from upscore.core.run_folder import RunFolder
from upscore.core.runtime import (
    DeviceName,
    Precision,
    describe_start,
    peak_memory_bytes,
    select_runtime,
)
from upscore.core.settings import Settings, build, load_yaml, set_dotted
from upscore.data.formats.bsds import find_bsds
from upscore.edges.network import EdgeNetwork
from upscore.edges.samples import EdgeSamples, EdgeViews
from upscore.edges.weight_files import save_edge_network
from upscore.errors import RunError, SettingsError, WorkError
from upscore.training.graceful_stop import GracefulStop
from upscore.training.optim import (
    OptimSettings,
    ScheduleSettings,
    make_optimizers,
    schedule_factor,
    set_learning_rate,
)
from upscore.training.state import Clock, Position, load_state, save_state
from upscore.training.trainer import Status
from upscore.training.weight_average import WeightAverage

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

    def to_yaml(self) -> str:
        """Every setting, defaults included."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


@dataclass(frozen=True)
class EdgeOutcome:
    """How a session of training ended."""

    iteration: int
    seconds: float
    interrupted: bool


def load_edge_recipe(path: Path | None, assignments: tuple[str, ...] = ()) -> EdgeRecipe:
    """The shipped recipe (``None``) or a YAML file, with ``a.b=value`` assignments applied.

    Raises:
        NotFoundError: a file that is not there.
        SettingsError: wrong settings, all of them listed.
    """
    if path is None:
        shipped = resources.files("upscore") / "proposals" / "weights" / "learned-edges.yaml"
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
        Scalar.
    """
    wanted = target.expand_as(logits)
    losses = F.binary_cross_entropy_with_logits(
        logits, wanted, weight=1.0 + boost * wanted, reduction="none"
    ).mean(dim=(0, 2, 3))
    return losses[0] + sides * losses[1:].mean()


def train_edges(
    recipe: EdgeRecipe,
    *,
    data: Path,
    out: Path,
    resume: bool = False,
    show: Callable[[Status], None] = lambda _: None,
) -> EdgeOutcome:
    """Train into the run folder ``out``; its ``model.safetensors`` is for ``LearnedEdges``.

    A killed training goes on from its last state and ends with the same weights. Ctrl-C saves
    and stops.

    Raises:
        SettingsError: a split that is not there, or ``out`` is taken.
        RunError: ``out`` holds another run than this.
        WorkError: the loss is not finite.
    """
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
    position, kept = _open_run(run, recipe, resume=resume, names=[i.name for i in images])
    samples = EdgeSamples(
        images,
        recipe.views,
        deviation=recipe.deviation,
        anyone=recipe.anyone,
        seed=recipe.seed,
    )

    torch.manual_seed(recipe.seed)
    device = runtime.torch_device
    network = EdgeNetwork().to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = WeightAverage(network, recipe.average)
    optimizers = make_optimizers(network, recipe.optim)
    if kept:
        network.load_state_dict(kept["network"])
        average.model.load_state_dict(kept["average"])
        for optimizer, state in zip(optimizers, kept["optimizers"], strict=True):
            optimizer.load_state_dict(state)

    def save() -> None:
        position.seconds = clock.seconds
        tensors = {
            "network": network.state_dict(),
            "average": average.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        }
        save_state(run.state / "resume.pt", position, tensors)

    clock, begun = Clock(position.seconds), position.iteration
    start = clock.seconds
    numbers = count(begun)
    batches = prefetch(
        lambda number: samples.batch(recipe.batch, number),
        numbers,
        workers=recipe.workers,
        depth=2 * recipe.workers,
    )
    network.train()
    stop = GracefulStop()
    with closing(batches), stop.listening():
        while position.iteration < recipe.iterations and not stop.wanted:
            photos, targets = (part.to(device) for part in next(batches))
            fraction = position.iteration / recipe.iterations
            set_learning_rate(optimizers, schedule_factor(recipe.schedule, fraction))
            with torch.autocast(device.type, runtime.dtype, enabled=runtime.precision != "fp32"):
                logits = network(photos.contiguous(memory_format=torch.channels_last))
            loss = edge_loss(logits.float(), targets, boost=recipe.boost, sides=recipe.sides)
            value = loss.item()
            if value != value:
                raise WorkError(
                    f"{out}: the loss is not finite at iteration {position.iteration}; lower "
                    "optim.lr"
                )
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            for optimizer in optimizers:
                optimizer.step()
            position.iteration += 1
            average.update(network, position.iteration)
            position.window_loss += value
            position.window_count += 1
            if position.iteration % recipe.log_every == 0:
                done = position.iteration - begun
                mean = position.window_loss / position.window_count
                position.window_loss, position.window_count = 0.0, 0
                left = (clock.seconds - start) / done * (recipe.iterations - position.iteration)
                _log(run, position.iteration, clock.seconds, mean)
                show(
                    Status(
                        iteration=position.iteration,
                        fraction=position.iteration / recipe.iterations,
                        loss=mean,
                        lr=optimizers[-1].param_groups[0]["lr"],
                        images_per_second=done * recipe.batch / (clock.seconds - start),
                        seconds_left=left,
                        memory_mib=peak_memory_bytes() >> 20,
                        best=None,
                        phase="training",
                    )
                )
            if position.iteration % recipe.save_every == 0:
                save()
    position.finished = position.iteration == recipe.iterations
    if position.finished:
        save_edge_network(average.model.state_dict(), run.path / "model.safetensors")
    save()
    return EdgeOutcome(position.iteration, clock.seconds, interrupted=not position.finished)


def _open_run(
    run: RunFolder, recipe: EdgeRecipe, *, resume: bool, names: list[str]
) -> tuple[Position, Mapping[str, Any]]:
    """Where to begin, and the tensors to begin from; makes the folder of a new run."""
    if not run.is_begun(resume=resume):
        make_folder(run.path)
        write_text(run.recipe, recipe.to_yaml())
        write_text(run.log, "iteration,seconds,loss\n")
        run.write_manifest(
            {
                **describe_start(),
                "threads": torch.get_num_threads(),
                "photos": names,
            }
        )
        return Position(), {}
    manifest = RunFolder.open(run.path).read_manifest()
    if build(EdgeRecipe, load_yaml(run.recipe), str(run.recipe)) != recipe:
        raise RunError(
            f"{run.path}: was begun with other settings (see {run.recipe}); resume with the same, "
            "or choose another --out"
        )
    if manifest.get("photos") != names:
        raise RunError(f"{run.path}: was begun on other photos; choose another --out")
    state = run.state / "resume.pt"
    if not state.exists():
        return Position(), {}
    position, tensors = load_state(state)
    if position.finished:
        raise RunError(f"{run.path}: this training is finished; choose another --out")
    return position, tensors


def _log(run: RunFolder, iteration: int, seconds: float, loss: float) -> None:
    """A row of log.csv; rows of a training that was killed after its last state come twice."""
    with run.log.open("a", encoding="utf-8") as stream:
        stream.write(f"{iteration},{seconds:.1f},{loss:.6f}\n")
