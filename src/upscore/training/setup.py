"""From a recipe and a data set to a running training: checks first, then folders, then work."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from upscore.core.choices import is_path
from upscore.core.extras import require_extras
from upscore.core.images import InputSpec, read_image
from upscore.core.lock import claim
from upscore.core.parallel.prefetch import prefetch
from upscore.core.parallel.processes import num_cores
from upscore.core.plural import plural
from upscore.core.progress import OnProgress, ignore_progress
from upscore.core.quoting import join
from upscore.core.run_folder import DRAWN_VALIDATION, GUESS, RunFolder, told_guess
from upscore.core.runtime import (
    Runtime,
    cpu_threads,
    describe_start,
    installed_version,
    select_runtime,
)
from upscore.core.settings import Settings, build, load_yaml
from upscore.data import DataSet, Split, open_dataset
from upscore.data.drawn_splits import VAL
from upscore.data.notices import tell_listing, tell_meaning
from upscore.data.record import DataRecord, summary
from upscore.data.stats import Known, absent_classes, class_frequencies
from upscore.errors import DataError, RunError, SettingsError
from upscore.models.base import Network
from upscore.models.checkpoint import rename_classes
from upscore.models.factory import create_model
from upscore.models.pretrained import IMAGENET, initialise, weights_path
from upscore.training.batchnorm import estimate_statistics, require_several_values
from upscore.training.expected import Documented
from upscore.training.head_warmup import BATCH, require_head, warm_up_head
from upscore.training.log_hooks import require_hooks
from upscore.training.loss import class_weights
from upscore.training.object_crops import MAKE, CropSplit, balanced, object_crops, proposal_crops
from upscore.training.recipe import Recipe, StatisticsSettings, TrainingStage
from upscore.training.sample_order import Order, grouped_by_image, random_order, with_replacement
from upscore.training.sample_stream import Sampler
from upscore.training.settings import HeadSettings
from upscore.training.shown import Shown, num_common, overlap_warning
from upscore.training.state import Position, load_state
from upscore.training.task import Segmentation
from upscore.training.trainer import BEST, Outcome, Status, Training, Validate, ValidationPlan

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from upscore.proposals.store import ProposalStore

logger = logging.getLogger(__name__)

FABRIC_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}

MADE_BOXES = 2000
"""Boxes of a photo in a store that the training makes for itself, as many as in the paper."""
READ_BEFORE = 100
"""Photos up to which all are read before the training begins."""
FEW_VALIDATED = 10
"""With fewer validation photos there is a warning."""
WEIGHED_CROPS = 2000
"""Crops that class weights are counted on, spread over all."""

MakeValidate = Callable[[Split, InputSpec, Runtime], Validate]
"""Builds the validation from a split; given from outside, for training imports no metric."""


def train(
    recipe: Recipe,
    *,
    data: Path,
    out: Path,
    resume: bool,
    make_validate: MakeValidate,
    show: Callable[[Status], None] = lambda _: None,
    on_progress: OnProgress = ignore_progress,
    changed_data: bool = False,
) -> Outcome:
    """Train ``recipe`` on the data set at ``data`` into the run folder ``out``.

    A recipe of stages trains each one from the best weights of the one before: the last into
    ``out``, the others into run folders of their own, ``out/stages/NAME``.

    Args:
        resume: resume the run in ``out``, or begin it if there is none yet.
        show: called with the state after each step.
        on_progress: called with the progress of the work before the first step.
        changed_data: continue although the data set has changed since the run began.

    Raises:
        SettingsError: a split, device or recipe that does not fit, or ``out`` is taken, or in use.
        RunError: ``out`` holds another run than this, or a damaged one, or one of other data.
        DataError: photos, masks or stored boxes that cannot be trained on.
        WorkError: the loss is not finite, or a hook of ``log_to`` does not start.
        MissingExtraError: a package that the recipe uses is not installed.
    """
    runtime = select_runtime(recipe.device, recipe.precision)
    _require_installed(recipe)
    fabric = launch(runtime, processes=recipe.processes)
    dataset = open_dataset(data)
    run = RunFolder(out)
    session = _Session(
        fabric, runtime, dataset, data, recipe, run, make_validate, show, on_progress, changed_data
    )
    with contextlib.ExitStack() as stack:
        if fabric.is_global_zero:
            run.is_begun(resume=resume)  # before anything is written there
            stack.enter_context(claim(out, "a training"))
            if run.is_begun(resume=resume):
                session.check(run, recipe)
            tell_listing(dataset)
            train_split, val_split = _splits(recipe, dataset)
            pairs = [*dict.fromkeys((*train_split.pairs, *val_split.pairs))]
            tell_meaning(dataset, pairs, told=told_guess(out) if resume else None)
            if len(pairs) <= READ_BEFORE:
                _require_readable(dataset.unchecked("all", tuple(pairs)), session.known)
        _require_two_classes(recipe, dataset, session.known)
        if fabric.is_global_zero:
            _describe_data(recipe, dataset, session.known)
        with cpu_threads(recipe.threads):
            if recipe.stages:
                return session.train_stages(resume=resume)
            return session.train(recipe, run, resume=resume)


@dataclass(frozen=True)
class _Session:
    """Device, data set, recipe, run folder, callbacks and counts of masks that all stages share."""

    fabric: Fabric
    runtime: Runtime
    dataset: DataSet
    data: Path
    recipe: Recipe
    run: RunFolder
    make_validate: MakeValidate
    show: Callable[[Status], None]
    on_progress: OnProgress
    changed_data: bool
    known: Known = field(default_factory=dict)

    def train_stages(self, *, resume: bool) -> Outcome:
        """The stages of the recipe, one after another."""
        stages = self.recipe.stage_recipes()
        for stage in stages:  # all of them before the first one is trained
            _check_data(stage, self.dataset, self.data)
        self.prepare(self.run, self.recipe, resume)
        start, seconds = None, 0.0
        iterations: list[tuple[str, int]] = []
        for part, stage in zip(self.recipe.stages, stages, strict=True):
            last = part is self.recipe.stages[-1]
            folder = self.run if last else RunFolder(self.run.path / "stages" / part.name)
            before = None if last else finished_position(folder)
            if before is None:
                outcome = self.train(stage, folder, resume=True, part=part, start=start)
                seconds += outcome.seconds
                iterations.append((part.name, outcome.iteration))
                if outcome.interrupted:
                    break
            else:
                seconds += before.seconds
                iterations.append((part.name, before.iteration))
            start = folder.path
        return replace(outcome, seconds=seconds, stages=tuple(iterations))

    def prepare(self, run: RunFolder, recipe: Recipe, resume: bool) -> None:
        """Create the folder of this training, or check that its run is this one, not finished."""
        if self.fabric.is_global_zero:
            if run == self.run:
                recipe = self.recipe  # whole, where this is the last of several stages
            if run.is_begun(resume=resume):
                if run != self.run:  # which was checked before all else
                    self.check(run, recipe)
            else:
                _record(recipe, self.dataset, known=DataRecord.read(self.run.data)).write(run.data)
                manifest = _manifest(recipe, self.dataset, self.data, self.runtime)
                run.begin(recipe.to_yaml(), manifest)
        self.fabric.barrier()

    def check(self, run: RunFolder, recipe: Recipe) -> None:
        """Check that a begun run is this one, on the same data, and not finished."""
        if is_finished(RunFolder.open(run.path)):  # whatever the settings
            raise RunError(
                f"{run.path}: this training is finished. Evaluate it; or train on from its weights "
                f"into another folder: --set init.weights={run.path} --out OTHER"
            )
        accepted = self.data if self.changed_data else None
        _check_same_settings(run, recipe, self.dataset, accepted)

    def train(
        self,
        recipe: Recipe,
        run: RunFolder,
        *,
        resume: bool,
        part: TrainingStage | None = None,
        start: Path | None = None,
    ) -> Outcome:
        """One training into ``run``.

        Args:
            recipe: the settings of this training.
            part: the stage that it is, where there are several.
            start: run folder of the stage before.
        """
        if recipe.crops.store == MAKE:  # the store is written into the folder
            self.prepare(run, recipe, resume)
            resume = True
        train_split, val_split = _splits(recipe, self.dataset)
        input_spec = _input_spec(recipe)
        torch.manual_seed(recipe.seed)
        model = _make_network(recipe, self.dataset)
        weights = recipe.init.weights if start is None else str(start)
        if start is None:
            _require_weights_to_freeze(recipe, model)
        from_weights = weights != "none" and not (run.state / "resume.pt").exists()
        if from_weights:
            initialise(
                model,
                weights,
                input_spec=input_spec,
                file_input=recipe.init.input if start is None else None,
            )
        held_out = len(val_split) - num_common(train_split, val_split)
        samples, num_crops = train_split, None
        if recipe.crops.kind != "photos":
            # validated on crops of objects even where it learns from those of proposals
            size = recipe.augment.crop or recipe.augment.resize
            val_split = object_crops(self.dataset, val_split, recipe.crops, size=size)
            crops = self._crops(recipe, train_split)
            num_crops = len(crops)
            samples = balanced(crops, recipe.crops.balance, seed=recipe.seed)
        class_weights, class_pixels = _weigh_classes(recipe, samples, self.known)
        if class_weights is not None:
            class_weights = class_weights.to(self.fabric.device)
        self.prepare(run, recipe, resume)  # last: an error before leaves no folder behind
        shown = Shown(
            recipe,
            photos=len(train_split),
            crops=num_crops,
            epoch=len(samples),
            held_out=held_out,
        )
        if self.fabric.is_global_zero:
            logger.info("%s", shown if part is None else f"{part.name}: {shown}")
            drawn = run.read_manifest().get("samples", {}).get("drawn", 0)
            run.update_manifest(samples=shown.to_json(drawn=drawn))

        sampler = Sampler(
            samples,
            recipe.augment,
            _order(recipe, samples),
            seed=recipe.seed,
            batch=recipe.batch.size,
            accumulate=recipe.batch.accumulate,
            processes=self.fabric.world_size,
            rank=self.fabric.global_rank,
            workers=recipe.data.workers,
            class_pixels=class_pixels,
        )
        prepared = 0.0
        if recipe.init.head.crops and from_weights and start is None:
            prepared = warm_up_head(
                model,
                sampler,
                _head_settings(recipe),
                input_spec=input_spec,
                class_weights=class_weights,
                device=self.fabric.device,
                on_progress=self.on_progress,
            )
        training = Training(
            recipe,
            run=run,
            fabric=self.fabric,
            model=model,
            task=Segmentation(
                self.dataset.labels,
                input_spec,
                class_weights,
                mean=recipe.loss.reduction == "mean",
                crops=recipe.crop_geometry,
                loss_settings=recipe.loss,
                photos=self.dataset.photo_values,
                origin=_origin(self.dataset, recipe),
            ),
            source=sampler,
            model_folder=run.model,
            validation=ValidationPlan(
                self.make_validate(val_split, input_spec, self.runtime),
                len(val_split),
                recipe.validate_,
            ),
            finish=partial(
                _measure_statistics,
                settings=recipe.statistics,
                sampler=sampler,
                input_spec=input_spec,
                device=self.fabric.device,
            )
            if recipe.statistics.batches
            else None,
            note=lambda at, fraction: run.update_manifest(
                samples=shown.to_json(drawn=shown.step * at.iteration),
                progress={
                    "iterations": at.iteration,
                    "fraction": round(fraction, 4),
                    "finished": at.finished,
                },
            ),
            log_to=recipe.log_to,
            documented=Documented.of(self.recipe, part),
            prepared=prepared,
            show=lambda status: self.show(replace(status, stage=part.name if part else "")),
        )
        return training.fit()

    def _crops(self, recipe: Recipe, split: Split) -> CropSplit:
        """Crops to learn from; a store of boxes is made first where ``crops.store`` is ``make``."""
        settings = recipe.crops
        if settings.kind == "objects":
            return object_crops(self.dataset, split, settings)
        if settings.store != MAKE:
            store = _given_store(recipe, split, self.data)
        else:
            from upscore.proposals import EdgeBoxes
            from upscore.proposals.build_store import Photo, make_store
            from upscore.proposals.store import ProposalStore

            path = self.run.path / "proposals.parquet"
            if self.fabric.is_global_zero:
                photos = [Photo(pair.name, pair.image) for pair in split.pairs]
                made = make_store(
                    photos, EdgeBoxes(max_boxes=MADE_BOXES), path, values=self.dataset.photo_values
                )
                made.check()
            self.fabric.barrier()
            store = ProposalStore.open(path)
        return proposal_crops(self.dataset, split, settings, store)


RunStatus = Literal["new", "begun", "finished"]
"""Progress of a training."""


def run_status(
    run: RunFolder, recipe: Recipe, dataset: DataSet, *, accepted: Path | None = None
) -> RunStatus:
    """Whether the training of ``recipe`` into ``run`` is new, begun or finished.

    Args:
        accepted: path of ``dataset`` if the run continues with it although it has changed.

    Raises:
        SettingsError: the folder is taken by something that is no run.
        RunError: it holds another run than this, or a damaged one.
    """
    if not run.is_begun(resume=True):
        return "new"
    _check_same_settings(RunFolder.open(run.path), recipe, dataset, accepted)
    return "finished" if is_finished(run) else "begun"


def check_training(recipe: Recipe, dataset: DataSet, data: Path) -> None:
    """Check that a training can begin, without beginning it; the network is built once.

    Args:
        data: path of ``dataset``, for messages.

    Raises:
        SettingsError: an unknown device, split, network or option.
        NotFoundError, RunError, DataError: initial weights or stored boxes are missing.
        MissingExtraError: a package that the recipe uses is not installed.
    """
    select_runtime(recipe.device, recipe.precision)
    _require_installed(recipe)
    for one in recipe.stage_recipes() or [recipe]:
        _check_data(one, dataset, data)
    if recipe.init.weights not in ("none", *IMAGENET):
        weights_path(recipe.init.weights)
    every = recipe.stage_recipes() or [recipe]
    for one in every:
        _input_spec(one)
        model = _make_network(one, dataset)
        if one is every[0]:  # later stages start from the one before
            _require_weights_to_freeze(one, model)


def _require_installed(recipe: Recipe) -> None:
    """Check that the packages that a training uses are installed. Raises MissingExtraError."""
    require_extras("a training", "train")
    if any(one.crops.kind == "proposals" for one in recipe.stage_recipes() or [recipe]):
        require_extras("a recipe with crops.kind=proposals", "proposals")
    require_hooks(recipe.log_to)


def _splits(recipe: Recipe, dataset: DataSet) -> tuple[Split, Split]:
    """The splits for training and for validation."""
    return dataset.train_and_val(recipe.data.train_split, recipe.data.val_split)


def _draws_validation(recipe: Recipe, dataset: DataSet) -> bool:
    """Whether the training is validated on photos that are drawn from the training split."""
    return recipe.data.val_split == VAL and dataset.draws_validation


def _require_readable(split: Split, known: Known) -> None:
    """Read every photo and mask. Raises DataError for the first that is damaged."""
    read = partial(read_image, max_pixels=split.max_pixels, values=split.photo_values)
    paths = (pair.image for pair in split.pairs)
    for _ in prefetch(read, paths, workers=num_cores()):
        pass
    class_frequencies(split, known=known)


def _require_two_classes(recipe: Recipe, dataset: DataSet, known: Known) -> None:
    """Refuse photos that show nothing to distinguish.

    Raises:
        DataError: the masks show fewer than two classes, or some of those cannot be read.
    """
    split, _ = _splits(recipe, dataset)
    absent = absent_classes(split, known=known)
    shown = [name for name in dataset.labels.names if name not in absent]
    if len(shown) > 1:
        return
    class_frequencies(split, known=known)  # masks that cannot be read come first
    raise DataError(
        f"{dataset.root}: the masks of split {split.name!r} show "
        f"{f'only {shown[0]!r}' if shown else 'no class'} (255 is void, which is not learned); a "
        "training needs two classes or more. Label the rest as a class, such as background, or "
        "say in a dataset.yaml what each mask value means (see docs/data.md)"
    )


def _describe_data(recipe: Recipe, dataset: DataSet, known: Known) -> None:
    """Say what a person should know about the splits before the training starts."""
    train, val = _splits(recipe, dataset)
    if _draws_validation(recipe, dataset):
        logger.info(
            "no split %r: %s of split %r, drawn by name, will validate and %s will train",
            VAL,
            plural(len(val), "photo"),
            train.name,
            plural(len(train), "photo"),
        )
    warning = overlap_warning(train, val)
    if warning is not None:
        logger.warning("%s", warning)
    missing = absent_classes(train, known=known)
    if missing:
        logger.warning(
            "%s in no photo of split %r, so the network cannot learn %s",
            _are(missing),
            train.name,
            "it" if len(missing) == 1 else "them",
        )
    missing = [name for name in absent_classes(val, known=known) if name not in missing]
    if missing:
        logger.warning(
            "%s in no photo of split %r, which validates: IoU 0 if predicted there, otherwise left "
            "out of the mean; to score every class, list the photos of each split yourself (see "
            "docs/data.md)",
            _are(missing),
            val.name,
        )
    if len(val) < FEW_VALIDATED:
        logger.warning(
            "split %r has %s, and with fewer than %d the validation score varies by chance",
            val.name,
            plural(len(val), "photo"),
            FEW_VALIDATED,
        )


def _are(classes: Sequence[str]) -> str:
    """``class road is``, ``classes road, sky are``."""
    return f"class {classes[0]} is" if len(classes) == 1 else f"classes {join(classes)} are"


def _input_spec(recipe: Recipe) -> InputSpec:
    """How photos are prepared: for a network of one channel they become grey.

    Raises:
        SettingsError: a network of other channels than photos have.
    """
    channels = recipe.model.options.get("in_channels", 3)
    spec = InputSpec.named(recipe.input)
    if channels == 1:
        return spec.grey()
    if channels != 3:
        raise SettingsError(
            f"model.options.in_channels is {channels}, but every photo is read as RGB (grey ones "
            "are repeated, alpha is composed with white); allowed: 3, or 1 to train on grey"
        )
    return spec


def _require_weights_to_freeze(recipe: Recipe, model: Network) -> None:
    """Refuse to freeze layers or norms that have learned nothing. Raises SettingsError."""
    init = recipe.init
    if init.weights != "none" or (init.freeze is None and not init.freeze_norms):
        return
    names = ", ".join(model.backbone.imagenet_files)
    if init.freeze is not None:
        raise SettingsError(
            f"init.freeze is {init.freeze!r}, but init.weights is none, so random layers "
            f"would never learn; name weights ({names}, a file or a run), or leave init.freeze out"
        )
    raise SettingsError(
        "init.freeze_norms is true, but init.weights is none, so the norms have no statistics to "
        f"keep; name weights ({names}, a file or a run), or set init.freeze_norms=false"
    )


def _make_network(recipe: Recipe, dataset: DataSet) -> Network:
    """The network with fresh weights, its layers frozen as ``init`` says.

    Raises:
        SettingsError: an unknown network, option or stage, or nothing to freeze.
    """
    model = create_model(recipe.model.name, num_classes=len(dataset.labels), **recipe.model.options)
    init = recipe.init
    if init.freeze_norms or init.freeze is not None:
        setting = "freeze" if init.freeze is not None else "freeze_norms"
        if not model.has_backbone:
            raise SettingsError(
                f"init.{setting} is set, but {model.architecture} has no backbone to freeze; leave "
                "it out"
            )
        model.backbone.norms_frozen = init.freeze_norms
    if init.freeze is not None:
        try:
            model.backbone.freeze(init.freeze)
        except SettingsError as error:
            raise SettingsError(f"init.freeze: {error}") from error
    require_head(model, init.head, fixed_size=recipe.augment.fixed_size)
    size = recipe.augment.crop or (recipe.augment.resize if recipe.augment.fixed_size else None)
    require_several_values(model, batch=recipe.batch.size, size=size)
    return model


def _check_data(recipe: Recipe, dataset: DataSet, data: Path) -> None:
    split, _ = _splits(recipe, dataset)
    if recipe.crops.kind == "proposals" and recipe.crops.store != MAKE:
        store = _given_store(recipe, split, data)
        store.require_photos(pair.name for pair in split.pairs)


def _given_store(recipe: Recipe, split: Split, data: Path) -> ProposalStore:
    """The store of boxes that the recipe names."""
    from upscore.proposals.store import ProposalStore

    if recipe.crops.store is None:
        raise SettingsError(
            "crops.store is not set, and crops of proposals need one: upscore proposals make "
            f"--data {data} --split {split.name} --out FILE.parquet, then --set "
            "crops.store=FILE.parquet (or crops.store=make)"
        )
    return ProposalStore.open(Path(recipe.crops.store))


def is_finished(run: RunFolder) -> bool:
    """Whether a training in this folder has used its whole budget. Raises RunError."""
    return finished_position(run) is not None


def finished_position(run: RunFolder) -> Position | None:
    """Where a training that has used its whole budget ended; None of another. Raises RunError."""
    state = run.state / "resume.pt"
    if not state.exists() or any(run.state.glob(f"{BEST}*")):  # killed while they were put in place
        return None
    position = load_state(state)[0]
    return position if position.finished else None


def _head_settings(recipe: Recipe) -> HeadSettings:
    """The warm-up of the head, on no more crops than the training itself will see."""
    head, iterations = recipe.init.head, recipe.budget.iterations
    if iterations is None:
        return head
    samples = iterations * recipe.batch.size * recipe.batch.accumulate
    return head.model_copy(update={"crops": min(head.crops, max(samples, BATCH))})


def _order(recipe: Recipe, samples: Split) -> Order:
    """The order in which samples are drawn."""
    if recipe.data.sampling == "replacement":
        return with_replacement(len(samples))
    if isinstance(samples, CropSplit):
        return grouped_by_image(samples.crops.photos, recipe.crops.per_read)
    return random_order(len(samples))


def _origin(dataset: DataSet, recipe: Recipe) -> dict[str, Any]:
    """Where a network comes from, for its config.json; no paths of this machine."""
    return {
        "upscore": installed_version("upscore"),
        "data": dataset.root.resolve().name,
        "data_fingerprint": dataset.fingerprint(),
        "train_split": recipe.data.train_split,
        "initial_weights": _name_alone(recipe.init.weights),
        "seed": recipe.seed,
        "date": datetime.now(UTC).date().isoformat(),
    }


def _name_alone(weights: str) -> str:
    """Of a path its last part: it may hold names of people and machines."""
    return Path(weights).name if is_path(weights) else weights


def _measure_statistics(
    network: nn.Module,
    settings: StatisticsSettings,
    sampler: Sampler,
    input_spec: InputSpec,
    device: torch.device,
) -> None:
    """Measure the batch norms' statistics again, where the recipe asks for it."""
    if not settings.batches:
        return
    sampler = replace(sampler, batch=settings.size, accumulate=1, processes=1, rank=0)
    with contextlib.closing(sampler.steps(0)) as steps:
        estimate_statistics(
            network,
            (
                input_spec.apply(batch.images.to(device))
                for (batch,) in islice(steps, settings.batches)
            ),
        )


def launch(runtime: Runtime, *, processes: int = 1) -> Fabric:
    """Lightning Fabric on the device and in the precision of ``runtime``."""
    from lightning_fabric import Fabric

    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.WARNING)  # no line about the precision, which the manifest has
    try:
        fabric = Fabric(
            accelerator=runtime.device,
            devices=processes,
            strategy="ddp" if processes > 1 else "auto",
            precision=FABRIC_PRECISION[runtime.precision],  # type: ignore[arg-type]
        )
    finally:
        logger.setLevel(level)
    fabric.launch()
    return fabric


def _weigh_classes(
    recipe: Recipe, split: Split, known: Known
) -> tuple[torch.Tensor | None, npt.NDArray[np.int64] | None]:
    """Weights of the classes in the loss and their pixels, (C,) each, where the recipe has a use
    for them."""
    if recipe.loss.class_weights == "none" and not recipe.augment.rare:
        return None, None
    if isinstance(split, CropSplit):
        pixels, present = class_frequencies(split.spread(WEIGHED_CROPS))
    else:
        pixels, present = class_frequencies(split, known=known)
    return class_weights(recipe.loss, torch.from_numpy(pixels), torch.from_numpy(present)), pixels


def _check_same_settings(
    run: RunFolder, recipe: Recipe, dataset: DataSet, accepted: Path | None
) -> None:
    require_same_settings(run, recipe, command=f"upscore train {run.recipe} --resume")
    kept = DataRecord.read(run.data)
    now = _record(recipe, dataset, known=kept)
    different = _data_differences(run, dataset, kept, now)
    if different and accepted is not None and _same_classes(run, dataset):
        logger.warning("the data set has changed since the training began: %s", summary(different))
        _accept_data(run, recipe, dataset, accepted)
    elif different:
        fix = "Continue anyway with --changed-data, or train into another --out"
        if not _same_classes(run, dataset):
            fix = (
                "The network cannot take other classes: train into another --out, from these "
                f"weights with --set init.weights={run.path}"
            )
        raise RunError(f"{run.path}: was begun on another data set: {summary(different)}. {fix}")
    if now != kept:  # accepted, or the same files at other times, so that the next look is quick
        now.write(run.data)  # last: what is killed before is refused, and accepted again


def _record(recipe: Recipe, dataset: DataSet, *, known: DataRecord | None) -> DataRecord:
    return DataRecord.of(dataset, _splits(recipe, dataset), known)


def _data_differences(
    run: RunFolder, dataset: DataSet, kept: DataRecord | None, now: DataRecord
) -> list[str]:
    if kept is not None:
        return kept.differences(now)
    data = run.read_manifest().get("data", {})  # a run of an older upscore
    classes, fingerprint = data.get("classes"), data.get("fingerprint")
    if classes == list(dataset.labels.names) and fingerprint == dataset.fingerprint():
        return []
    return [
        f"{data.get('path')} (classes {', '.join(classes or ())}; fingerprint {fingerprint}) in "
        f"the run, {dataset.root} ({', '.join(dataset.labels.names)}; {dataset.fingerprint()}) now"
    ]


def _same_classes(run: RunFolder, dataset: DataSet) -> bool:
    """Whether there are as many classes as in the run."""
    return len(run.read_manifest().get("data", {}).get("classes", ())) == len(dataset.labels)


def _accept_data(run: RunFolder, recipe: Recipe, dataset: DataSet, data: Path) -> None:
    """Continue a run on another data set, which its manifest and its networks name from now on."""
    run.update_manifest(data=_describe_splits(recipe, dataset, data))
    for folder in (run.model, run.last):
        rename_classes(folder, dataset.labels)


def require_same_settings(run: RunFolder, given: Settings, *, command: str) -> None:
    """Raise RunError that lists the settings of a run that differ from ``given``."""
    kept = build(type(given), load_yaml(run.recipe), str(run.recipe))
    different = setting_differences(
        kept.model_dump(mode="json", by_alias=True), given.model_dump(mode="json", by_alias=True)
    )
    if different:
        raise RunError(
            f"{run.path}: was started with other settings, which a resumed run keeps. To continue "
            f"with them, type `{command}` with the same --data and --out; for the new settings "
            f"choose another --out. Different: {'; '.join(different)}"
        )


def setting_differences(kept: dict[str, Any], given: dict[str, Any], prefix: str = "") -> list[str]:
    """The settings that differ between two recipes as JSON, a line each, in dotted keys."""
    lines = []
    for key in kept:
        ours, theirs = kept[key], given.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            every = {**dict.fromkeys(theirs), **ours}
            lines += setting_differences(every, theirs, f"{prefix}{key}.")
        elif ours != theirs and f"{prefix}{key}" != "description":  # no setting
            before, now = ("null" if value is None else value for value in (ours, theirs))
            lines.append(f"{prefix}{key} is {before} in the run, {now} now")
    return lines


def _manifest(recipe: Recipe, dataset: DataSet, data: Path, runtime: Runtime) -> dict[str, Any]:
    return {
        **describe_start(),
        "device": runtime.device,
        "precision": runtime.precision,
        "threads": torch.get_num_threads(),
        "seed": recipe.seed,
        "data": _describe_splits(recipe, dataset, data),
    }


def _describe_splits(recipe: Recipe, dataset: DataSet, data: Path) -> dict[str, Any]:
    train, val = _splits(recipe, dataset)
    drawn = [pair.name for pair in val.pairs] if _draws_validation(recipe, dataset) else None
    return {
        **dataset.describe(data),
        "splits": {name: len(pairs) for name, pairs in dataset.splits.items()},
        "train_split": recipe.data.train_split,
        "val_split": recipe.data.val_split,
        "num_trained_and_validated": num_common(train, val),
        **({} if drawn is None else {DRAWN_VALIDATION: drawn}),
        **({} if dataset.guess is None else {GUESS: dataset.guess.meaning()}),
        "classes": list(dataset.labels.names),
    }
