"""From a recipe and a data set to a running training: checks first, then folders, then work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from upscore.core.files import make_folder, write_text
from upscore.core.images import InputSpec
from upscore.core.labels import Labels
from upscore.core.run_folder import RunFolder
from upscore.core.runtime import (
    Runtime,
    describe_start,
    select_runtime,
)
from upscore.core.settings import build, load_yaml
from upscore.data import DataSet, Split, open_data
from upscore.data.stats import class_frequencies
from upscore.errors import RunError
from upscore.models.catalog import create_model
from upscore.models.weights import initialise
from upscore.training.loop import Outcome, Status, Training, Validate
from upscore.training.loss import median_frequency_weights
from upscore.training.recipe import Recipe
from upscore.training.sampler import Sampler
from upscore.training.state import load_state

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FABRIC_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}

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
) -> Outcome:
    """Train ``recipe`` on the data set at ``data`` into the run folder ``out``.

    Args:
        resume: go on with the run in ``out``, or begin it where there is none yet.

    Raises:
        SettingsError: a split, device or recipe that does not fit, or ``out`` is taken.
        RunError: ``out`` holds another run than this, or a damaged one.
        WorkError: the loss is not finite.
    """
    runtime = select_runtime(recipe.device, recipe.precision)
    fabric = _launch(recipe, runtime)
    dataset = open_data(data)
    train_split = dataset.split(recipe.data.train_split)
    val_split = dataset.split(recipe.data.val_split)
    run = RunFolder(out)
    input_spec = InputSpec.named(recipe.input)
    torch.manual_seed(recipe.seed)
    model = create_model(recipe.model.name, num_classes=len(dataset.labels), **recipe.model.options)
    if recipe.init.weights != "none" and not (run.state / "resume.pt").exists():
        initialise(model, recipe.init.weights)
    class_weights = _class_weights(recipe, train_split)
    if fabric.is_global_zero:  # last: whatever is wrong so far leaves no folder behind
        _prepare_folder(run, recipe, dataset, data, resume, runtime)
    fabric.barrier()

    training = Training(
        recipe,
        run=run,
        fabric=fabric,
        model=model,
        labels=dataset.labels,
        input_spec=input_spec,
        sampler=Sampler(
            train_split,
            recipe.augment,
            seed=recipe.seed,
            batch=recipe.batch.size,
            accumulate=recipe.batch.accumulate,
            processes=fabric.world_size,
            rank=fabric.global_rank,
            sampling=recipe.data.sampling,
            workers=recipe.data.workers,
        ),
        validation_images=len(val_split),
        validate=make_validate(val_split, input_spec, runtime),
        class_weights=class_weights,
        show=show,
    )
    return training.fit()


def _launch(recipe: Recipe, runtime: Runtime) -> Fabric:
    from lightning_fabric import Fabric

    fabric = Fabric(
        accelerator=runtime.device,
        devices=recipe.processes,
        strategy="ddp" if recipe.processes > 1 else "auto",
        precision=FABRIC_PRECISION[runtime.precision],  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


def _class_weights(recipe: Recipe, split: Split) -> torch.Tensor | None:
    kind = recipe.loss.class_weights
    if kind == "none":
        return None
    pixels, present = class_frequencies(split)
    weights = median_frequency_weights(torch.from_numpy(pixels), torch.from_numpy(present))
    return weights.sqrt() if kind == "sqrt_median_frequency" else weights


def _prepare_folder(
    run: RunFolder, recipe: Recipe, dataset: DataSet, data: Path, resume: bool, runtime: Runtime
) -> None:
    if run.is_begun(resume=resume):
        _check_same_run(RunFolder.open(run.path), recipe, dataset)
        return
    make_folder(run.path)
    write_text(run.recipe, recipe.to_yaml())
    run.write_manifest(_manifest(recipe, dataset, data, runtime))


def _check_same_run(run: RunFolder, recipe: Recipe, dataset: DataSet) -> None:
    kept = build(Recipe, load_yaml(run.recipe), str(run.recipe))
    different = _differences(
        kept.model_dump(mode="json", by_alias=True), recipe.model_dump(mode="json", by_alias=True)
    )
    if different:
        raise RunError(
            f"{run.path}: was begun with other settings; a resumed run keeps its own. Different: "
            + "; ".join(different)
        )
    manifest = run.read_manifest()
    trained_on = manifest.get("data", {}).get("fingerprint")
    if trained_on != dataset.fingerprint():
        raise RunError(
            f"{run.path}: was begun on another data set ({manifest.get('data', {}).get('path')}, "
            f"fingerprint {trained_on}) than {dataset.root} (fingerprint {dataset.fingerprint()})"
        )
    state = run.state / "resume.pt"
    if state.exists() and load_state(state)[0].finished:
        raise RunError(
            f"{run.path}: this training is finished; evaluate it, or train into another --out"
        )


def _differences(kept: dict[str, Any], given: dict[str, Any], prefix: str = "") -> list[str]:
    lines = []
    for key in kept:
        ours, theirs = kept[key], given.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            every = {**dict.fromkeys(theirs), **ours}
            lines += _differences(every, theirs, f"{prefix}{key}.")
        elif ours != theirs:
            lines.append(f"{prefix}{key} is {ours} in the run, {theirs} now")
    return lines


def _manifest(recipe: Recipe, dataset: DataSet, data: Path, runtime: Runtime) -> dict[str, Any]:
    labels: Labels = dataset.labels
    return {
        **describe_start(),
        "device": runtime.device,
        "precision": runtime.precision,
        "threads": torch.get_num_threads(),
        "seed": recipe.seed,
        "data": {
            "path": str(data),
            "layout": dataset.layout,
            "fingerprint": dataset.fingerprint(),
            "splits": {name: len(pairs) for name, pairs in dataset.splits.items()},
            "classes": list(labels.names),
        },
    }
