"""The commands ``upscore edges``: train the edge network, score edge maps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from upscore.core.failures import Failure, failure_of
from upscore.core.files import make_folder
from upscore.core.lock import claim
from upscore.core.option_values import require_at_least
from upscore.core.progress import OnProgress, count_items, ignore_progress
from upscore.core.run_folder import RunFolder
from upscore.core.runtime import describe_start, installed_version, select_runtime
from upscore.data.formats.bsds import BSDSImage, find_bsds
from upscore.edges.benchmark.files import (
    edge_scores_to_dict,
    find_edge_map,
    read_edge_map,
    write_edge_scores,
)
from upscore.edges.benchmark.score import EdgeScores, Item, Strength
from upscore.edges.benchmark.score import evaluate_edges as score_edges
from upscore.edges.network import EdgeNetwork
from upscore.edges.samples import EdgeSamples
from upscore.errors import DataError, NotFoundError, SettingsError, UpscoreError
from upscore.proposals.sources import EDGES, REMOVED_EDGES, make_edges, removed
from upscore.training.progress import report_status
from upscore.training.setup import launch
from upscore.training.trainer import Training
from upscore.workflows.edge_training import (
    WEIGHTS,
    EdgeBatches,
    EdgeRecipe,
    EdgeTask,
    prepare_run,
)

StrengthOf = Callable[[BSDSImage], Strength]
"""Makes or reads the edge map of an image."""


@dataclass(frozen=True)
class TrainedEdges:
    """Result of :func:`train_edges`.

    Attributes:
        iteration: optimiser steps done.
        seconds: wall time over all sessions.
        interrupted: stopped by Ctrl-C; the same call with ``resume`` continues.
        weights: ``model.safetensors``; it exists when the training is finished.
    """

    iteration: int
    seconds: float
    interrupted: bool
    weights: Path

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"seconds": round(self.seconds, 2), "weights": str(self.weights)}


def train_edges(
    recipe: EdgeRecipe,
    data: Path,
    out: Path,
    *,
    resume: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> TrainedEdges:
    """Train the edge network on BSDS500 into the run folder ``out``, from random weights.

    A killed training resumes from its last state and ends with the same weights. Ctrl-C saves and
    stops.

    Args:
        data: BSDS500: folders of photos and boundaries, one for each split.
        resume: resume the run in ``out``, or start it.

    Raises:
        SettingsError: a split does not exist, or ``out`` is taken.
        RunError: ``out`` holds a different run.
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
    run.is_begun(resume=resume)  # before anything is written there
    samples = EdgeSamples(
        images,
        recipe.views,
        deviation=recipe.deviation,
        anyone=recipe.anyone,
        seed=recipe.seed,
    )
    with claim(out, "a training"):
        prepare_run(run, recipe, resume=resume, names=[image.name for image in images])
        torch.manual_seed(recipe.seed)
        outcome = Training(
            recipe,
            run=run,
            fabric=launch(runtime),
            model=EdgeNetwork(),
            task=EdgeTask(recipe.boost, recipe.sides),
            source=EdgeBatches(samples, recipe.batch, recipe.workers),
            model_folder=run.path,
            show=report_status(on_progress),
        ).fit()
    return TrainedEdges(outcome.iteration, outcome.seconds, outcome.interrupted, out / WEIGHTS)


@dataclass(frozen=True)
class EvaluatedEdges:
    """Result of :func:`evaluate_edges`.

    Attributes:
        scores: ODS, OIS, AP, the curve, every image, failures.
        about: data set, edges, command, seconds.
        out: folder of scores.json, images.csv, curve.csv and precision_recall.png; None: nothing
            was written.
    """

    scores: EdgeScores
    about: Mapping[str, Any]
    out: Path | None

    def to_dict(self) -> dict[str, Any]:
        return edge_scores_to_dict(self.scores, self.about)


def evaluate_edges(
    data: Path,
    edges: str = "learned",
    *,
    split: str = "val",
    model: Path | None = None,
    out: Path | None = None,
    thresholds: int = 99,
    thinned: bool = False,
    workers: int = 2,
    on_progress: OnProgress = ignore_progress,
) -> EvaluatedEdges:
    """Score edge maps on BSDS500 as its benchmark does: ODS, OIS, AP.

    Args:
        data: BSDS500: folders of photos and boundaries, one for each split.
        edges: name of a detector, or a folder of edge maps from any tool.
        model: weights of the edge network, in place of the shipped ones.
        out: output folder; it is created before the work.
        thresholds: number of thresholds; the benchmark uses 99.
        thinned: the maps in the folder are already thinned by non-maximum suppression.
        workers: number of processes that match pixels.

    Raises:
        SettingsError: no such split, detector or folder, or an option that does not apply to it.
        NotFoundError, DataError: the data set cannot be read, or no image could be scored.
        OutputError: results cannot be written.
        WorkError: a process died.
    """
    require_at_least(1, thresholds=thresholds, workers=workers)
    splits = find_bsds(data)
    if split not in splits:
        raise SettingsError(f"{data}: no split {split!r}; it has {', '.join(splits)}")
    images = splits[split]
    strength_of, settings = _edge_maps(edges, model, thinned, images)
    about = {
        **describe_start(),
        "upscore": installed_version("upscore"),
        "data": str(data),
        "split": split,
        "edges": settings,
    }
    if out is not None:
        make_folder(out)
    begin = time.perf_counter()
    scores = score_edges(
        _items(images, strength_of),
        thresholds=thresholds,
        workers=min(workers, len(images)),
        thinned=thinned,
        progress=count_items(on_progress, f"edges of {split}"),
        total=len(images),
    )
    about["seconds"] = round(time.perf_counter() - begin, 2)
    if out is not None:
        write_edge_scores(scores, out, about)
        name = edges if edges in EDGES else Path(edges).resolve().name
        from upscore.report.figures.edges import edge_figure
        from upscore.report.figures.scores import write_figure

        write_figure(out / "precision_recall.png", edge_figure({name: scores}))
    return EvaluatedEdges(scores, about, out)


def _edge_maps(
    edges: str, model: Path | None, thinned: bool, images: Sequence[BSDSImage]
) -> tuple[StrengthOf, dict[str, Any]]:
    """A function that makes the edge map of an image, and its settings for the record.

    Raises:
        SettingsError: no such detector or folder, an option that does not apply to it, or a
            folder without a map of any of the photos.
    """
    if edges not in EDGES:
        return _folder(edges, model, thinned, images)
    if thinned:
        raise SettingsError(
            "--thinned is for a folder of edge maps that were thinned before; leave it out"
        )
    detector = make_edges(edges, model=model)

    def detected(image: BSDSImage) -> Strength:
        try:
            strength: Strength = detector(image.read_image())[0]
        except DataError as error:
            path = str(image.image_path)
            raise error if path in str(error) else DataError(f"{path}: {error}") from error
        return strength

    return detected, dict(detector.settings())


def _folder(
    edges: str, model: Path | None, thinned: bool, images: Sequence[BSDSImage]
) -> tuple[StrengthOf, dict[str, Any]]:
    folder = Path(edges)
    if not folder.is_dir():
        if edges in REMOVED_EDGES:
            command = "write_edges --model model.yml.gz --images DIR --out maps"
            raise SettingsError(
                removed(f"--edges {edges}", "edge maps to a folder", command, "give --edges maps")
            )
        raise SettingsError(
            f"--edges {edges}: no such detector and no such folder; allowed: "
            f"{', '.join(EDGES)}, or a folder of edge maps"
        )
    if model is not None:
        raise SettingsError(f"--model {model}: a folder of edge maps has no model; leave it out")
    names = {path.stem for path in folder.iterdir()}
    if not any(image.name in names for image in images):
        raise SettingsError(
            f"{folder}: no edge map of any photo; expected {images[0].name}.png (grey, 8 or 16 "
            f"bits) or {images[0].name}.npy, and so on for all {len(images)}"
        )

    def read(image: BSDSImage) -> Strength:
        return read_edge_map(find_edge_map(folder, image.name))

    return read, {"kind": "folder", "path": str(folder), "thinned": thinned}


def _items(images: Sequence[BSDSImage], strength_of: StrengthOf) -> Iterator[Item | Failure]:
    for index, image in enumerate(images):
        try:
            yield image.name, strength_of(image), image.read_boundaries()
        except Exception as error:
            if isinstance(error, UpscoreError) and not isinstance(error, DataError | NotFoundError):
                raise  # a package is missing, or a setting is wrong: so for all photos
            failure = failure_of(index, str(image.image_path), error, doing="find its edges")
            yield replace(failure, name=image.name)
