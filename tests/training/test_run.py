"""Whole trainings on the toy set: folders, resuming to the bit, budgets, failures."""

from __future__ import annotations

import itertools
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from training.conftest import TINY, validation_takes
from training.run_files import assert_same_run, rows, weights
from upscore.core.run_folder import RunFolder
from upscore.errors import RunError, SettingsError, WorkError
from upscore.models.checkpoint import load_model
from upscore.training import state as training_state
from upscore.training.recipe import load_recipe, shipped_recipes
from upscore.training.setup import MakeValidate
from upscore.training.trainer import Outcome, Status, Validate, Validation

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def uninterrupted(run_tiny: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "run"
    run_tiny(out)
    return out


def test_run_folder_is_complete(uninterrupted: Path) -> None:
    run = RunFolder.open(uninterrupted)
    assert load_recipe(str(run.recipe)).budget.iterations == 6
    manifest = run.read_manifest()
    assert {"command", "machine", "seed", "data", "precision", "git_commit"} <= manifest.keys()
    saved = load_model(run.model)
    assert len(saved.labels) == len(manifest["data"]["classes"])
    loss_rows = [row for row in rows(uninterrupted) if row["loss"]]
    score_rows = [row for row in rows(uninterrupted) if row["val_miou"]]
    assert [row["iteration"] for row in loss_rows] == ["1", "2", "4", "6"]
    assert [row["iteration"] for row in score_rows] == ["3", "6"]
    assert all(0 <= float(row["val_miou"]) <= 1 for row in score_rows)
    leftovers = [path.name for path in uninterrupted.rglob(".*")]
    assert leftovers == []


def test_the_first_row_is_the_loss_before_any_step(tmp_path: Path, run_tiny: Run) -> None:
    """Scores that start at zero: ln of the number of classes."""
    run_tiny(tmp_path / "run", "model.options.score_init=zero", "loss.class_weights=none")
    first, second, *_ = rows(tmp_path / "run")
    num = len(RunFolder(tmp_path / "run").read_manifest()["data"]["classes"])
    assert (first["iteration"], second["iteration"]) == ("1", "2")
    assert float(first["loss"]) == pytest.approx(math.log(num), abs=1e-5)


@pytest.mark.parametrize(("iterations", "at"), [(8, [2, 4, 6, 8]), (6, [2, 3, 5, 6])])
def test_so_many_validations_whatever_they_take(
    tmp_path: Path, run_tiny: Run, iterations: int, at: list[int]
) -> None:
    run_tiny(tmp_path / "run", f"budget.iterations={iterations}", "validate={times: 4, images: 2}")
    found = [int(row["iteration"]) for row in rows(tmp_path / "run") if row["val_miou"]]
    assert found == at


def test_ctrl_c_saves_and_resuming_is_exact(
    tmp_path: Path, run_tiny: Run, uninterrupted: Path
) -> None:
    out = tmp_path / "run"

    def press(status: Status) -> None:
        if status.iteration == 3:
            os.kill(os.getpid(), signal.SIGINT)

    first = run_tiny(out, show=press)
    assert first.interrupted
    assert first.iteration == 3
    at = RunFolder.open(out).read_manifest()["progress"]
    assert at == {"iterations": 3, "fraction": 0.5, "finished": False}
    second = run_tiny(out, resume=True)
    assert RunFolder.open(out).read_manifest()["progress"]["finished"]
    assert not second.interrupted
    assert_same_run(out, uninterrupted)


KILLED = """
import os, signal
from upscore.cli.main import main
from upscore.training.{place[0]} import {place[1]}

done, calls = {place[1]}.{place[2]}, 0

def killed(self, *arguments):
    global calls
    calls += 1
    if calls == {place[3]}:
        os.kill(os.getpid(), signal.SIGKILL)
    return done(self, *arguments)

{place[1]}.{place[2]} = killed
main()
"""
LONGER = ("budget.iterations=24", "save_every=7", "validate.every=9")


@pytest.fixture(scope="module")
def never_killed(run_tiny: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("never killed") / "run"
    run_tiny(out, *LONGER)
    return out


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize(
    ("place", "saved"),
    [
        # between two states; the first call is no step
        (("trainer", "Training", "_display", 21), 18),
        (("trainer", "Training", "_write_state", 5), 18),  # at 21, when the last weights are saved
        (("log", "RunLog", "write", 11), 14),  # at 18, when the best weights are saved
    ],
)
def test_sigkill_and_resume_is_exact_to_the_bit(
    tmp_path: Path, toy: Path, run_tiny: Run, never_killed: Path,
    place: tuple[str, str, str, int], saved: int,
) -> None:  # fmt: skip
    out = tmp_path / "run"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED.format(place=place), "train", "fcn8s-quick",
         "--data", str(toy), "--out", str(out), "--set", *TINY, *LONGER],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    position = torch.load(out / "state" / "resume.pt", weights_only=True)["position"]
    assert position["iteration"] == saved
    run_tiny(out, *LONGER, resume=True)
    assert_same_run(never_killed, out)


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(
    tmp_path: Path, toy: Path, run_tiny: Run
) -> None:
    # without batch norm: each process would normalise by its own half of the batch
    settings = [
        "model.options.batch_norm=false", "model.options.dropout=0", "optim.name=sgd",
        "optim.lr=0.01", "budget.iterations=4", "average=0",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "upscore", "train", "fcn8s-quick", "--data", str(toy),
         "--out", str(tmp_path / "two"), "--set", *TINY, *settings, "processes=2"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run_tiny(tmp_path / "one", *settings, "batch.size=4")
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for key in one:
        torch.testing.assert_close(one[key], two[key], rtol=1e-4, atol=1e-5)
    losses = [
        [float(row["loss"]) for row in rows(tmp_path / name) if row["loss"]]
        for name in ("one", "two")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize(("setting", "used"), [("threads=3", 3), ("threads=null", 2)])
def test_threads_are_those_of_the_recipe_while_it_trains(
    tmp_path: Path, run_tiny: Run, setting: str, used: int
) -> None:
    seen = []
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run_tiny(
            tmp_path / "run", setting, "budget.iterations=1", make_validate=validation_takes(0.0),
            show=lambda _: seen.append(torch.get_num_threads()),
        )  # fmt: skip
        assert set(seen) == {used}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_accumulation_equals_a_larger_batch(tmp_path: Path, run_tiny: Run) -> None:
    plain = ("model.options.batch_norm=false", "model.options.dropout=0", "optim.name=sgd",
             "optim.lr=0.01", "average=0", "budget.iterations=4")  # fmt: skip
    run_tiny(tmp_path / "a", *plain, "batch.size=4")
    run_tiny(tmp_path / "b", *plain, "batch.size=2", "batch.accumulate=2")
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-4, atol=1e-5)


def test_minutes_end_with_a_finished_schedule(
    tmp_path: Path, run_tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(step=0.05)  # moves on when it is read, however busy the machine is
    monkeypatch.setattr(training_state, "time", SimpleNamespace(monotonic=lambda: next(clock)))

    # two photos are validated: 0.4 s of the 6 are kept back for them
    outcome = run_tiny(
        tmp_path / "run", "budget.minutes=0.1", "budget.iterations=null", "validate.every=9999",
        make_validate=validation_takes(0.4),
    )  # fmt: skip
    assert not outcome.interrupted
    assert 5.6 <= outcome.seconds < 6.6
    last = rows(tmp_path / "run")[-1]
    assert float(last["fraction"]) == 1.0
    assert last["val_miou"]
    assert float(last["lr"]) < 0.2 * load_recipe("fcn8s-quick").optim.lr


@pytest.mark.parametrize(("seconds", "times"), [(0.01, 5), (0.12, 2), (0.5, 1)])
def test_validations_take_no_more_than_a_tenth_of_the_minutes(
    tmp_path: Path, run_tiny: Run, monkeypatch: pytest.MonkeyPatch, seconds: float, times: int
) -> None:
    """Six seconds, and validations of two photos: 0.02, 0.24 or 1 s each."""
    clock = itertools.count(step=0.1)
    monkeypatch.setattr(training_state, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    seen: list[int | None] = []

    def made(*_given: Any) -> Validate:
        def validate(_network: nn.Module, limit: int | None) -> Validation:
            seen.append(limit)
            return Validation(0.5, 0.5, seconds, images=1)

        return validate

    run_tiny(tmp_path / "run", "budget.minutes=0.1", "budget.iterations=null",
             "validate.every=null", make_validate=made)  # fmt: skip
    assert len(seen) == 2 + times  # two before the first step


def test_clipping_bounds_the_step(tmp_path: Path, run_tiny: Run) -> None:
    common = ("optim.name=sgd", "optim.lr=1.0", "optim.momentum=0", "optim.weight_decay=0",
              "average=0", "schedule.name=constant", "schedule.warmup=0", "budget.iterations=1",
              "model.options.batch_norm=false")  # fmt: skip
    run_tiny(tmp_path / "free", *common, "optim.lr=1e-12")
    run_tiny(tmp_path / "clipped", *common, "optim.clip=0.001")
    start, end = weights(tmp_path / "free"), weights(tmp_path / "clipped")
    moved = sum(float((end[key] - start[key]).double().square().sum()) for key in start) ** 0.5
    assert 0 < moved <= 0.00101


def test_epochs_count_samples(tmp_path: Path, run_tiny: Run) -> None:
    outcome = run_tiny(tmp_path / "run", "budget.epochs=2", "budget.iterations=null")
    assert outcome.iteration == 7  # 7 training photos, batch 2


def test_plateau_cuts_the_rate(tmp_path: Path, run_tiny: Run) -> None:
    run_tiny(
        tmp_path / "run", "schedule.name=plateau", "schedule.patience=1", "schedule.warmup=0",
        "optim.lr=1e-9", "validate.every=1", "log_every=1", "average=0",
        "model.options.batch_norm=false",
    )  # fmt: skip
    rates = [float(row["lr"]) for row in rows(tmp_path / "run") if row["loss"]]
    assert rates[0] == 1e-9
    assert rates[-1] < 1e-10  # nothing is learned at this rate, so every validation is a plateau


@pytest.mark.parametrize("recipe", shipped_recipes())
def test_every_shipped_recipe_runs(tmp_path: Path, run_tiny: Run, store: Path, recipe: str) -> None:
    shipped = load_recipe(recipe)
    boxes = [f"crops.store={store}"] if shipped.crops.kind == "proposals" else []
    outcome = run_tiny(
        tmp_path / "run", "init={}", "budget.iterations=2", "validate.every=2",
        "model.options.geometry=same", "model.options={width: 0.0625}", "batch.accumulate=1",
        "statistics={batches: 1, size: 2}", *boxes, recipe=recipe,
    )  # fmt: skip
    assert outcome.iteration == 2 // max(1, len(shipped.stages))
    assert load_model(tmp_path / "run" / "model").model is not None


def test_staged_training_continues_from_a_run(tmp_path: Path, run_tiny: Run) -> None:
    common = ("model.options={width: 0.0625, fc_width: 16}",)
    run_tiny(tmp_path / "32", *common, "init.weights=none", recipe="fcn32s")
    run_tiny(tmp_path / "16", *common, f"init.weights={tmp_path / '32'}", recipe="fcn16s")
    run_tiny(tmp_path / "8", *common, f"init.weights={tmp_path / '16'}", recipe="fcn8s")
    before, after = weights(tmp_path / "32", "model"), weights(tmp_path / "16")
    name = next(key for key in before if "conv5_3" in key and key.endswith("weight"))
    # a rate of 1e-12 hardly moves what the first stage learned
    torch.testing.assert_close(before[name], after[name], rtol=1e-4, atol=1e-6)


def test_loss_that_is_not_finite_stops_and_names_the_files(tmp_path: Path, run_tiny: Run) -> None:
    out = tmp_path / "run"
    with pytest.raises(WorkError, match=r"not finite at iteration \d+; files of the batch: toy"):
        run_tiny(
            out, "optim.name=sgd", "optim.lr=1e30", "schedule.warmup=0", "average=0",
            "model.options.batch_norm=false",
        )  # fmt: skip
    assert (out / "state" / "not-finite.json").exists()
    kept = torch.load(out / "state" / "resume.pt", weights_only=True)
    assert kept["position"]["iteration"] >= 0


def test_all_void_batches_are_harmless(
    tmp_path: Path, run_tiny: Run, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from PIL import Image

    from upscore.training import setup

    # which would refuse a whole set of them
    monkeypatch.setattr(setup, "_require_two_classes", lambda *_: None)

    void = tmp_path / "void"
    shutil.copytree(toy, void)
    for path in (void / "SegmentationClass").glob("*.png"):
        mask = Image.open(path)
        blank = Image.new("P", mask.size, 255)
        blank.putpalette(mask.getpalette() or [])
        blank.save(path)
    outcome = run_tiny(tmp_path / "run", data=void)
    assert outcome.best is None
    assert {row["loss"] for row in rows(tmp_path / "run") if row["loss"]} == {"0"}
    assert all(torch.isfinite(value).all() for value in weights(tmp_path / "run").values())


def test_out_that_is_taken(tmp_path: Path, run_tiny: Run, uninterrupted: Path) -> None:
    with pytest.raises(SettingsError, match="holds a run already; continue it with --resume"):
        run_tiny(uninterrupted)
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(SettingsError, match="exists and is no run folder"):
        run_tiny(tmp_path)


def test_resume_refuses_other_settings_data_and_finished_runs(
    tmp_path: Path, run_tiny: Run, uninterrupted: Path
) -> None:
    from upscore.data.toy import make_toy

    make_toy(tmp_path / "other", num=10, seed=2)
    fix = (
        rf"train on from its weights .*: --set init\.weights={re.escape(str(uninterrupted))} --out"
    )
    for settings, options in (
        ((), {}),
        (("optim.lr=0.5",), {}),
        ((), {"data": tmp_path / "other"}),
    ):
        with pytest.raises(RunError, match=f"this training is finished.*{fix}"):
            run_tiny(uninterrupted, *settings, resume=True, **options)
    begun = shutil.copytree(uninterrupted, tmp_path / "begun")
    (begun / "state/resume.pt").unlink()
    with pytest.raises(RunError, match=r"optim\.lr is 0\.\d+ in the run, 0\.5 now"):
        run_tiny(begun, "optim.lr=0.5", resume=True)
    with pytest.raises(RunError, match="another data set"):
        run_tiny(begun, data=tmp_path / "other", resume=True)


def test_the_last_progress_has_the_score_of_the_last_validation(
    tmp_path: Path, run_tiny: Run
) -> None:
    seen: list[Status] = []
    outcome = run_tiny(tmp_path / "run", make_validate=rising(), show=seen.append)
    assert seen[-1].fraction == 1.0
    assert seen[-1].best == outcome.best
    assert [one.iteration for one in seen] == [*range(outcome.iteration + 1)]


def rising() -> MakeValidate:
    """Validations of which each is better than the one before."""
    scores = (place / 1000 for place in itertools.count(1))

    def make(*_: object) -> Validate:
        def validate(_: object, limit: int | None) -> Validation:
            score = next(scores)
            return Validation(score, score, 0.0, limit or 1)

        return validate

    return make


def test_damaged_state(tmp_path: Path, run_tiny: Run) -> None:
    out = tmp_path / "run"
    run_tiny(out)
    state = out / "state" / "resume.pt"
    state.write_bytes(state.read_bytes()[:500])
    with pytest.raises(RunError, match="damaged, cannot resume"):
        run_tiny(out, resume=True)


def test_optimizer_state_of_other_groups(tmp_path: Path, run_tiny: Run) -> None:
    """As an older version wrote it, whose Muon had other kernels in its groups."""
    out = tmp_path / "run"

    def press(status: Status) -> None:
        if status.iteration == 3:
            os.kill(os.getpid(), signal.SIGINT)

    assert run_tiny(out, show=press).interrupted
    path = out / "state" / "resume.pt"
    state = torch.load(path, weights_only=True)
    state["optimizers"][0]["param_groups"][0]["params"].pop()
    torch.save(state, path)
    with pytest.raises(RunError, match=r"does not fit the network's parameters.* init\.weights="):
        run_tiny(out, resume=True)


def test_wrong_settings_leave_no_folder(tmp_path: Path, run_tiny: Run) -> None:
    with pytest.raises(SettingsError, match="unknown setting 'widht'"):
        run_tiny(tmp_path / "run", "model.options.widht=1")
    with pytest.raises(SettingsError, match="no split"):
        run_tiny(tmp_path / "run", "data.val_split=test")
    assert not (tmp_path / "run").exists()


def test_resume_begins_where_nothing_is(tmp_path: Path, run_tiny: Run) -> None:
    assert run_tiny(tmp_path / "run", resume=True).iteration == 6


@pytest.mark.real
def test_camvid_end_to_end(tmp_path: Path, run_tiny: Run, real_data: Path) -> None:
    outcome = run_tiny(tmp_path / "run", data=real_data / "camvid")
    assert outcome.best is not None
