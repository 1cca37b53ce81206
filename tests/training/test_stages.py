"""Trainings of two stages, as DeconvNet's: folders, budgets, resuming, what is refused first."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from training.run_files import assert_same_run, rows, weights
from upscore.core.run_folder import RunFolder
from upscore.core.settings import load_yaml
from upscore.errors import DataError, RunError, SettingsError
from upscore.models.checkpoint import load_model
from upscore.proposals import EdgeBoxes, GradientEdges
from upscore.proposals.build_store import Photo, make_store
from upscore.training.recipe import load_recipe
from upscore.training.trainer import Outcome, Training

Run = Callable[..., Outcome]


def test_two_stages_in_one_run_folder(tmp_path: Path, run_stages: Run) -> None:
    out = tmp_path / "run"
    stages: list[str] = []
    outcome = run_stages(out, show=lambda status: stages.append(status.stage))
    assert (outcome.iteration, outcome.interrupted) == (7, False)
    assert outcome.stages == (("easy", 3), ("hard", 7))
    assert list(dict.fromkeys(stages)) == ["easy", "hard"]
    easy = RunFolder.open(out / "stages" / "easy")
    assert [len([r for r in rows(p) if r["loss"]]) for p in (easy.path, out)] == [3, 7]
    assert load_yaml(easy.recipe)["crops"]["others"] == "background"
    assert load_yaml(easy.recipe)["budget"]["iterations"] == 3
    assert load_yaml(out / "recipe.yaml")["budget"]["iterations"] == 10
    assert load_model(out / "model").model.architecture == "deconvnet"


def test_the_second_stage_goes_on_from_the_best_weights_of_the_first(
    tmp_path: Path, run_stages: Run
) -> None:
    out = tmp_path / "run"
    run_stages(out, "optim.lr=1e-30", "optim.kernel_lr=1e-30", "optim.weight_decay=0")
    first = weights(out / "stages" / "easy", "model")
    for key, value in weights(out).items():
        if "running" not in key and "tracked" not in key:
            torch.testing.assert_close(value, first[key], rtol=1e-6, atol=1e-7)


def test_an_interrupted_training_goes_on_to_the_bit(
    tmp_path: Path, run_stages: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_stages(whole)
    for steps in (2, 1 + 4):  # once in each stage
        left = iter(range(steps))
        with monkeypatch.context() as patch:
            patch.setattr(Training, "_stopping", lambda _, left=left: next(left, None) is None)
            assert run_stages(parts, resume=True).interrupted
    assert not run_stages(parts, resume=True).interrupted
    assert_same_run(whole, parts)
    assert_same_run(whole / "stages" / "easy", parts / "stages" / "easy")


def test_a_finished_first_stage_is_not_trained_again(tmp_path: Path, run_stages: Run) -> None:
    out = tmp_path / "run"
    run_stages(out)
    shutil.rmtree(out / "state")
    (out / "log.csv").unlink()
    before = (out / "stages" / "easy" / "log.csv").stat().st_mtime_ns
    run_stages(out, resume=True)
    assert (out / "stages" / "easy" / "log.csv").stat().st_mtime_ns == before


def test_a_finished_run_and_other_settings_are_refused(tmp_path: Path, run_stages: Run) -> None:
    out = tmp_path / "run"
    run_stages(out)
    for other in ((), ("budget.iterations=12",)):
        with pytest.raises(RunError, match="this training is finished"):
            run_stages(out, *other, resume=True)
    with pytest.raises(SettingsError, match="holds a run already"):
        run_stages(out)
    (out / "state/resume.pt").unlink()  # as if it was not finished
    with pytest.raises(RunError, match=r"budget.iterations is 10 in the run, 12 now"):
        run_stages(out, "budget.iterations=12", resume=True)


def test_a_missing_store_is_told_before_the_first_stage(tmp_path: Path, run_stages: Run) -> None:
    out = tmp_path / "run"
    with pytest.raises(SettingsError, match=r"crops.store is not set.*upscore proposals make"):
        run_stages(out, "crops.store=null")
    assert not out.exists()
    with pytest.raises(Exception, match=r"no such file; `upscore proposals make"):
        run_stages(out, "crops.store=nowhere.parquet")
    assert not out.exists()


def test_a_store_of_other_photos_is_told_before_the_first_stage(
    tmp_path: Path, run_stages: Run, toy: Path
) -> None:
    from upscore.data import open_dataset

    path = tmp_path / "val.parquet"
    photos = [Photo(pair.name, pair.image) for pair in open_dataset(toy).split("val").pairs]
    make_store(photos, EdgeBoxes(GradientEdges(), max_boxes=20), path, workers=1).check()
    with pytest.raises(DataError, match="lacks 7 of 7 photos"):
        run_stages(tmp_path / "run", f"crops.store={path}")
    assert not (tmp_path / "run").exists()


def test_a_run_can_make_its_own_store(tmp_path: Path, run_stages: Run) -> None:
    out = tmp_path / "run"
    run_stages(out, "crops.store=make", "budget.iterations=4")
    assert (out / "proposals.parquet").exists()
    alone = tmp_path / "alone"
    run_stages(alone, "stages=[]", "crops.store=make", "budget.iterations=2")
    assert (alone / "proposals.parquet").exists()


@pytest.mark.parametrize(
    "settings",
    [
        ("stages=[]",),  # stage 2 alone
        ("stages=[]", "crops={kind: photos}", "augment.resize=null"),  # on whole photos
        ("model.options.batch_norm=false", "optim={name: sgd, lr: 0.01, clip: 1}"),
        ("optim={name: sgd, lr: 0.01}", "schedule={name: plateau, patience: 1}"),
    ],
)
def test_the_papers_ablations_run(
    tmp_path: Path, run_stages: Run, settings: tuple[str, ...]
) -> None:
    settings = tuple(s.replace("kind: photos}", "kind: photos}") for s in settings)
    outcome = run_stages(tmp_path / "run", "budget.iterations=4", *settings)
    assert not outcome.interrupted


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ("[{name: a, share: 0.5}]", "add up to 0.5; expected 1"),
        ("[{name: a, share: 0.5}, {name: a, share: 0.5}]", "each needs its own name"),
        ("[{name: ../a, share: 1}]", "name"),
        ("[{name: a, share: 1, set: {optim.rl: 1}}]", r"stage a: unknown setting 'optim.rl'"),
        ("[{name: a, share: 1, set: {model.name: segnet}}]", "model.name is the same in all"),
        ("[{name: a, share: 1, set: {seed.x: 1}}]", "'seed' is a value"),
        ("[{name: a, share: 1, set: {crops.kind: objects, crops.overlap: 2}}]", "crops.overlap"),
    ],
)
def test_stages_that_cannot_be(stages: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_recipe("deconvnet-quick", [f"stages={yaml.safe_dump(yaml.safe_load(stages))}"])


def test_crops_want_one_size() -> None:
    with pytest.raises(SettingsError, match=r"set augment.resize to \[height, width\]"):
        load_recipe("deconvnet-quick", ["augment.resize=null"])


def test_budgets_of_all_kinds_are_shared() -> None:
    for budget, easy in (("iterations=100", 30), ("epochs=10", 3.0), ("minutes=5", 1.5)):
        first = load_recipe("deconvnet-quick", [f"budget.{budget}"]).stage_recipes()[0]
        assert getattr(first.budget, budget.split("=")[0]) == pytest.approx(easy)
