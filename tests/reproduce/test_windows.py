"""The pixels of a box that DeconvNet gets: the same in training and in prediction.

Training's side comes from its own crops (``object_crops``, ``proposal_crops``, Pillow's resize);
inference's from run folders through pipeline files (boxes' rules, our own resize).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from upscore.core.labels import RGBImage
from upscore.core.progress import ignore_progress
from upscore.core.runtime import Runtime
from upscore.data import DataSet, open_dataset
from upscore.data.transforms import resize_pair
from upscore.inference.pipeline.run import load_pipeline
from upscore.inference.pipeline.templates import write_pipeline
from upscore.proposals.base import Proposals, image_key
from upscore.proposals.store import ProposalStore, StoredPhoto, write_store
from upscore.reproduce.budget import Budget
from upscore.reproduce.context import Context
from upscore.reproduce.deconvnet_stages import DECONVNET, trainings, write_stages
from upscore.reproduce.folder import Folder
from upscore.training.object_crops import object_crops, proposal_crops
from upscore.training.recipe import Recipe, load_recipe, shipped_recipes
from upscore.training.setup import train
from upscore.training.trainer import Validation

OBJECT = (4, 10, 44, 26)
"""Wide, and near enough to the border that its window leaves the photo."""
TINY = (
    "model.options={width: 0.03125, fc_width: 8, fc_kernel: 1}",
    "init.weights=none",
    "augment.resize=[40, 40]",
    "augment.crop=[32, 32]",
    "batch={size: 2, accumulate: 1}",
    "budget.iterations=2",
    "validate={every: 100, images: 1}",
    "statistics.batches=0",
    "precision=fp32",
    "device=cpu",
)
WINDOWS = [(square, growth) for square in (True, False) for growth in (1.0, 1.2)]
RECIPES = [name for name in shipped_recipes() if load_recipe(name).crops.kind != "photos"]


def no_validation(*_given: object) -> Any:
    """In place of one, which would take most of the time."""
    return lambda _network, _limit: Validation(0.5, 0.5, 0.0, 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos of one object each, one for training and one for validation."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (root / part).mkdir()
    for name in ("a", "b"):
        photo = rng.integers(1, 256, (60, 80, 3), dtype=np.uint8)
        mask = np.zeros((60, 80), np.uint8)
        x1, y1, x2, y2 = OBJECT
        mask[y1:y2, x1:x2] = 1
        Image.fromarray(photo).save(root / "images" / f"{name}.png")
        Image.fromarray(mask).save(root / "masks" / f"{name}.png")
    (root / "train.txt").write_text("a")
    (root / "val.txt").write_text("b")
    (root / "classes.txt").write_text("background\ncat\n")
    return root


def store_of(dataset: DataSet, split: str, path: Path) -> Path:
    """A store that has the object's box alone."""
    with write_store(path, settings={"kind": "test"}, data={}) as writer:
        part = dataset.split(split)
        for index, pair in enumerate(part.pairs):
            image = part.read(index).image
            found = Proposals(np.array([OBJECT], np.float32), np.ones(1, np.float32))
            writer.add(StoredPhoto(pair.name, image_key(image), image.shape[:2], 1), found)
    return path


def seen_in_training(recipe: Recipe, dataset: DataSet, store: Path) -> RGBImage:
    """The object of the training photo, before the random part of it is cut out."""
    last = recipe.stage_recipes()[-1] if recipe.stages else recipe
    split = dataset.split("train")
    crops = (
        object_crops(dataset, split, last.crops)
        if last.crops.kind == "objects"
        else proposal_crops(dataset, split, last.crops, ProposalStore.open(store))
    )
    sample = crops.read(0)
    assert last.augment.crop is not None
    return resize_pair(sample.image, sample.labels, last.augment.crop)[0]


def seen_in_inference(pipeline: Path, image: RGBImage, monkeypatch: Any) -> RGBImage:
    """What the network of the stage ``deconvnet`` is given for the first box."""
    segmenter = load_pipeline(pipeline, device="cpu", precision="fp32", stages=["deconvnet"])
    network = segmenter._stages["deconvnet"].network
    seen: list[np.ndarray] = []

    def look(self: Any, pixels: torch.Tensor) -> torch.Tensor:
        seen.append(pixels.numpy().copy())
        return torch.zeros(len(pixels), len(self.labels), *pixels.shape[1:3])

    monkeypatch.setattr(type(network), "__call__", look)
    segmenter.predict(image)
    ((pixels, *_),) = seen
    return pixels


def assert_same(ours: RGBImage, theirs: RGBImage) -> None:
    """Pillow rounds after each of two passes, our kernel once: a grey level at most."""
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def settings(square: bool, growth: float) -> list[str]:
    return [f"crops.square={str(square).lower()}", f"crops.growth={growth}"]


def test_the_windows_differ_so_that_a_mistake_would_show(data: Path, tmp_path: Path) -> None:
    dataset = open_dataset(data)
    store = store_of(dataset, "train", tmp_path / "s.parquet")
    found = [
        seen_in_training(
            load_recipe("deconvnet", [*TINY, f"crops.store={store}", *settings(*window)]),
            dataset,
            store,
        ).astype(int)
        for window in WINDOWS
    ]
    for number, one in enumerate(found):
        assert all(np.abs(one - other).mean() > 10 for other in found[:number])


def test_these_are_deconvnets_recipes() -> None:
    assert RECIPES == ["deconvnet", "deconvnet-quick", "deconvnet-stage1", "deconvnet-stage2"]


@pytest.mark.parametrize(
    ("name", "square", "growth"),
    [(name, *window) for name, window in zip(RECIPES, WINDOWS, strict=True)]
    + [("deconvnet", *window) for window in WINDOWS[1:]],
)
def test_a_shipped_pipeline_shows_what_training_showed(
    name: str, square: bool, growth: float, data: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    shipped = "edeconvnet-crf-quick" if name.endswith("-quick") else "edeconvnet-crf"
    dataset = open_dataset(data)
    store = store_of(dataset, "train", tmp_path / "boxes.parquet")
    assignments = [*TINY, *settings(square, growth)]
    if load_recipe(name).crops.kind == "proposals":
        assignments.append(f"crops.store={store}")
    recipe = load_recipe(name, assignments)
    run = tmp_path / "run"
    train(recipe, data=data, out=run, resume=False, make_validate=no_validation)
    path = tmp_path / "pipeline.yaml"
    write_pipeline(shipped, path, runs={"fcn": run, "deconvnet": run}, store=store)
    image = dataset.split("train").read(0).image
    if shipped == "edeconvnet-crf-quick":  # which looks at the whole photo first
        path.write_text(path.read_text("utf-8").replace("whole_image: true", "whole_image: false"))
    assert_same(
        seen_in_inference(path, image, monkeypatch), seen_in_training(recipe, dataset, store)
    )


@pytest.mark.parametrize(
    ("budget", "square", "growth"),
    [("papers", True, 1.2), ("papers", False, 1.0), ("minutes=7", True, 1.0),
     ("minutes=7", False, 1.2)],
)  # fmt: skip
def test_reproduce_shows_what_training_showed(
    budget: str, square: bool, growth: float, data: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    dataset = open_dataset(data)
    tiny = [text for text in TINY if not text.startswith("model.options=")]
    context = Context(
        data=data,
        dataset=dataset,
        split=dataset.split("val"),
        folder=Folder(tmp_path),
        budget=Budget.parse(budget),
        assignments=(*tiny, *settings(square, growth)),
        runtime=Runtime("cpu", "fp32"),
        on_progress=ignore_progress,
    )
    store = store_of(dataset, "train", tmp_path / "proposals-train.parquet")
    (plan,) = [plan for plan in trainings(context) if plan.name == DECONVNET]
    small = {"width": 0.03125, "fc_width": 8, "fc_kernel": 1}
    model = plan.recipe.model.model_copy(update={"options": small})
    recipe = plan.recipe.model_copy(update={"model": model})
    train(recipe, data=data, out=context.folder.run(DECONVNET), resume=False,
          make_validate=no_validation)  # fmt: skip
    context.plans = [plan]
    write_stages(context)
    store_of(dataset, "train", tmp_path / "proposals-val.parquet")  # of photo a, which is compared
    photo = dataset.split("train").read(0).image
    assert_same(
        seen_in_inference(tmp_path / "pipeline.yaml", photo, monkeypatch),
        seen_in_training(plan.recipe, dataset, store),
    )
