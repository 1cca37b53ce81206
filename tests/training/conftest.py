"""A tiny data set and a tiny training that takes a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.tiny_stages import TINY as TINY_STAGES
from upscore.data import open_dataset
from upscore.data.toy import make_toy
from upscore.proposals import EdgeBoxes, GradientEdges
from upscore.proposals.build_store import Photo, make_store
from upscore.training.recipe import load_recipe
from upscore.training.setup import MakeValidate, train
from upscore.training.trainer import Outcome, Status, Validation
from upscore.workflows.train import make_validate

TINY = (
    "model.options.channels=[4, 4, 8, 8, 8]",
    "model.options.fc_width=16",
    "augment.crop=[32, 32]",
    "batch.size=2",
    "budget.iterations=6",
    "log_every=2",
    "save_every=2",
    "validate.every=3",
    "validate.images=2",
    "precision=fp32",
    "threads=1",
)


def validation_takes(seconds: float) -> MakeValidate:
    """In place of the real validation: two photos of so many seconds in all, by the log."""
    return lambda *_given: lambda _network, _limit: Validation(0.5, 0.5, seconds, images=2)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    make_toy(folder, num=10, seed=1)
    return folder


@pytest.fixture(scope="session")
def store(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Boxes of the training photos, on the cheapest of edge maps."""
    path = tmp_path_factory.mktemp("boxes") / "späť.parquet"
    photos = [Photo(pair.name, pair.image) for pair in open_dataset(toy).split("train").pairs]
    make_store(photos, EdgeBoxes(GradientEdges(), max_boxes=200), path, workers=1).check()
    return path


@pytest.fixture(scope="session")
def run_tiny(toy: Path) -> Callable[..., Outcome]:
    """Train fcn8s-quick with tiny settings: ``run_tiny(out, *assignments, resume=False)``."""

    def run(
        out: Path,
        *assignments: str,
        recipe: str = "fcn8s-quick",
        resume: bool = False,
        **options: Any,
    ) -> Outcome:
        return train(
            load_recipe(recipe, [*TINY, *assignments]),
            data=options.pop("data", toy),
            out=out,
            resume=resume,
            make_validate=options.pop("make_validate", make_validate),
            **options,
        )

    return run


@pytest.fixture(scope="session")
def run_stages(toy: Path, store: Path) -> Callable[..., Outcome]:
    """Train deconvnet-quick with tiny settings, on the boxes of ``store``."""

    def run(
        out: Path,
        *assignments: str,
        resume: bool = False,
        show: Callable[[Status], None] = lambda _: None,
        recipe: str = "deconvnet-quick",
    ) -> Outcome:
        chosen = load_recipe(recipe, [*TINY_STAGES, f"crops.store={store}", *assignments])
        return train(
            chosen, data=toy, out=out, resume=resume, make_validate=make_validate, show=show
        )

    return run
