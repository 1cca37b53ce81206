"""How many crops and samples a training has: on the command line, in the run folder, counted."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.conftest import TINY
from training.tiny_stages import TINY as TINY_STAGES
from upscore.cli.main import main
from upscore.core.regions import connected_regions
from upscore.core.run_folder import RunFolder
from upscore.data import open_dataset
from upscore.data.masks import read_instances
from upscore.proposals.store import ProposalStore
from upscore.training.recipe import load_recipe
from upscore.training.setup import train
from upscore.training.shown import Shown, num_common, overlap_warning
from upscore.training.trainer import Outcome

FEW = "split 'val' has 3 photos, and with fewer than 10 the validation score varies by chance"
"""Of the toy set."""


def samples(run: Path) -> dict:
    return RunFolder.open(run).read_manifest()["samples"]


def count_objects(toy: Path, min_area: int) -> int:
    """Regions of the instance masks, counted here: the toy set's objects."""
    dataset = open_dataset(toy)
    split = dataset.split("train")
    found = 0
    for index, pair in enumerate(split.pairs):
        labels = split.read_labels(index)
        numbers = (
            read_instances(dataset.instances[pair.name], labels, max_pixels=10**6)
            if pair.name in dataset.instances
            else connected_regions(np.where(labels == 255, 0, labels).astype(np.uint8))
        )
        background = (labels == 0) | (labels == 255)
        for number in np.unique(numbers):
            inside = (numbers == number) & ~background
            found += number not in (0, 255) and int(inside.sum()) >= min_area
    return found


def test_the_run_folder_keeps_crops_and_samples_of_each_stage(
    toy: Path, store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = load_recipe("deconvnet-quick", [*TINY_STAGES, f"crops.store={store}"])
    out = tmp_path / "run"

    def never(*_given: object):
        from upscore.training.trainer import Validation

        return lambda _net, _limit: Validation(0.5, 0.5, 0.0, 1)

    with caplog.at_level(logging.INFO, "upscore.training"):
        train(recipe, data=toy, out=out, resume=False, make_validate=never)
    easy, hard = samples(out / "stages" / "easy"), samples(out)
    photos = len(open_dataset(toy).split("train"))
    assert (easy["photos"], hard["photos"]) == (photos, photos)
    assert easy["crops"] == count_objects(toy, recipe.crops.min_area)
    boxes = ProposalStore.open(store).num_boxes
    assert 0 < hard["crops"] < boxes
    assert hard["epoch"] >= hard["crops"]
    assert (easy["drawn"], hard["drawn"]) == (3 * 2, 7 * 2)  # of 10 iterations, by the log too
    for folder, drawn in ((out / "stages" / "easy", 6), (out, 14)):
        with (folder / "log.csv").open(newline="") as stream:
            assert int(list(csv.DictReader(stream))[-1]["images"]) == drawn
    of_training = [r for r in caplog.records if r.name.startswith("upscore.training")]
    few, *lines = [r.getMessage() for r in of_training]
    assert few == FEW
    assert [line.split(":")[0] for line in lines] == ["easy", "hard"]
    assert (
        f"easy: {easy['crops']} crops of objects in {photos} photos, 3 more held out for validation"
        in lines[0]
    )
    assert lines[1].endswith("; 7 iterations of 2 draw 14 samples")


def test_the_command_prints_one_line(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["train", "fcn8s-quick", "--data", str(toy), "--out", str(tmp_path / "run"),
          "--set", *TINY])  # fmt: skip
    told = capsys.readouterr()
    lines = [line for line in (told.out + told.err).splitlines() if " draw " in line]
    photos = len(open_dataset(toy).split("train"))
    assert lines == [
        f"{photos} photos, 3 more held out for validation; 6 iterations of 2 draw 12 samples"
    ]
    kept = samples(tmp_path / "run")
    assert kept == {"photos": photos, "crops": None, "kind": "photos", "epoch": photos, "drawn": 12}


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        ("iterations=20000", "1,464 photos; 20,000 iterations of 64 draw 1,280,000 samples"),
        ("iterations=1", "1,464 photos; 1 iteration of 64 draws 64 samples"),
        ("epochs=2", "1,464 photos; 2 epochs draw 2,944 samples"),  # 46 iterations
        ("minutes=5", "1,464 photos; 64 samples an iteration"),
    ],
)
def test_the_line_of_every_budget(budget: str, text: str) -> None:
    recipe = load_recipe("deconvnet-whole", [f"budget.{budget}"])
    assert str(Shown(recipe, photos=1464, crops=None, epoch=1464)) == text


def test_one_of_each() -> None:
    recipe = load_recipe("fcn8s", ["budget.iterations=1"])
    assert str(Shown(recipe, photos=1, crops=None, epoch=1)).startswith("1 photo; 1 iteration of")


def test_photos_that_are_held_out_are_told() -> None:
    recipe = load_recipe("quick")
    text = str(Shown(recipe, photos=30, crops=None, epoch=30, held_out=7))
    assert text.startswith("30 photos, 7 more held out for validation; ")


def test_repeats_are_told() -> None:
    recipe = load_recipe("deconvnet-stage2")
    text = str(Shown(recipe, photos=1464, crops=2_700_000, epoch=3_000_000))
    assert text.startswith(
        "2,700,000 crops of proposals in 1,464 photos, with repeats of rare classes 3,000,000; "
    )


def test_a_resumed_training_counts_all(run_tiny: Callable[..., Outcome], tmp_path: Path) -> None:
    from upscore.training.trainer import Training

    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        left = iter(range(2))
        patch.setattr(Training, "_stopping", lambda _: next(left, None) is None)
        assert run_tiny(out).interrupted
    assert samples(out)["drawn"] == 4
    run_tiny(out, resume=True)
    assert samples(out)["drawn"] == 12


def test_validation_photos_in_the_training_split_are_told(
    toy: Path, tmp_path: Path, run_tiny: Callable[..., Outcome], caplog: pytest.LogCaptureFixture
) -> None:
    val = open_dataset(toy).split("val")
    run_tiny(tmp_path / "fair")
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == [FEW]
    caplog.clear()
    run_tiny(tmp_path / "both", "data.train_split=trainval")
    line, few = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert few == FEW
    assert re.match(
        rf"{len(val)} of the {len(val)} photos of 'val', which validates, are in 'trainval', which "
        "is trained on: validation scores will be better than on new photos",
        line,
    )
    manifests = [RunFolder.open(tmp_path / name).read_manifest() for name in ("fair", "both")]
    assert [m["data"]["num_trained_and_validated"] for m in manifests] == [0, len(val)]
    assert manifests[1]["data"]["train_split"] == "trainval"


def test_common_photos_are_counted(toy: Path) -> None:
    dataset = open_dataset(toy)
    train_, val, both = (dataset.split(name) for name in ("train", "val", "trainval"))
    assert (num_common(train_, val), num_common(both, val)) == (0, len(val))
    assert overlap_warning(train_, val) is None
    assert str(overlap_warning(val, val)).startswith("split 'val' both trains and validates: ")
    part = both.take([0, 1, 2])
    common = {p.name for p in part.pairs} & {p.name for p in val.pairs}
    assert num_common(part, val) == len(common) > 0
