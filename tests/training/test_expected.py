"""What a training says at its start: samples of the budget, documented score, warning."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from training.conftest import TINY, validation_takes
from training.run_files import assert_same_run, rows
from upscore.cli import console as screen
from upscore.cli.progress import ProgressDisplay
from upscore.core.progress import Notice
from upscore.core.settings import load_yaml
from upscore.errors import SettingsError
from upscore.training import state as training_state
from upscore.training.expected import MEASURED, WARM_UP, Documented, Rate, counted, timed
from upscore.training.progress import report_status
from upscore.training.recipe import BudgetSettings, Measured, load_recipe, shipped_recipes
from upscore.training.setup import train
from upscore.training.trainer import Outcome, Status, Training
from upscore.workflows.train import make_validate

Said = list[tuple[Status, Notice]]
CAMVID = Measured(data="CamVid", miou=0.677, samples=13_000)
STAGED = Measured(
    data="msrc", miou=0.484, samples=80_000, stages={"easy": 26_000}, note="by proposals"
)


def texts(notices: list[Notice]) -> list[str]:
    return [f"{notice.text} {notice.advice}".rstrip() for notice in notices]


# -- the words -------------------------------------------------------------------------------------


def test_minutes() -> None:
    said = timed(25, Documented(CAMVID), samples=9_764, rate=6.51, busy=1.0)
    assert texts(said) == [
        "Budget: 25 minutes, about 9,800 samples at 6.51 a second.",
        "Documented: mIoU 0.677 on CamVid val after 13,000 samples; scores on other data "
        "cannot be compared with it.",
    ]


def test_iterations_and_epochs() -> None:
    budget = BudgetSettings(iterations=2000)
    said = counted(budget, Documented(CAMVID), step=4, epoch=367)
    assert texts(said)[0] == "Budget: 2,000 iterations, 8,000 samples."
    said = counted(BudgetSettings(epochs=2.5), Documented(CAMVID), step=4, epoch=367)
    assert texts(said)[0] == "Budget: 2.5 epochs, 230 iterations, 920 samples."


def test_a_recipe_without_documented_score_says_the_samples_alone() -> None:
    said = timed(25, Documented(), samples=3, rate=0.002, busy=1.0)
    assert texts(said) == ["Budget: 25 minutes, about 3 samples at 0.002 a second."]


def test_samples_that_nobody_recorded() -> None:
    unknown = Documented(Measured(data="CamVid", miou=0.19, minutes=5))
    said = timed(1, unknown, samples=1, rate=0.1, busy=1.0)
    assert texts(said)[1:] == [
        "Documented: mIoU 0.190 on CamVid val, samples not recorded; scores on other data "
        "cannot be compared with it."
    ]


@pytest.mark.parametrize(("iterations", "warned"), [(324, True), (325, False)])
def test_below_a_tenth_of_the_documented_samples_a_warning(iterations: int, warned: bool) -> None:
    budget = BudgetSettings(iterations=iterations)
    said = counted(budget, Documented(CAMVID), step=4, epoch=100)
    assert [notice.warning for notice in said] == [False, False, True][: 2 + warned]
    if warned:
        assert texts(said)[2] == (
            "Warning: this budget allows 10 % of those samples, so the network may learn less "
            "than it could. For as many: --iterations 3250"
        )


@pytest.mark.parametrize(("samples", "warned"), [(1_299, True), (1_300, False)])
def test_the_same_of_minutes(samples: int, warned: bool) -> None:
    said = timed(25, Documented(CAMVID), samples=samples, rate=2.0, busy=0.9)
    assert [notice.warning for notice in said] == [False, False, True][: 2 + warned]
    if warned:  # 13,000 / 2 = 6,500 s of training, 7,222 s with validations
        assert texts(said)[2].endswith("For as many: --minutes 121")


def test_what_to_set_in_epochs() -> None:
    said = counted(BudgetSettings(epochs=1), Documented(CAMVID), step=4, epoch=100)
    assert texts(said)[2].endswith("--epochs 130")


def test_stages() -> None:
    easy = Documented(STAGED, "easy", 0.25)
    said = timed(7.5, easy, samples=2_599, rate=10.0, busy=1.0)
    assert texts(said) == [
        "Budget of stage easy: 7.5 minutes, about 2,600 samples at 10 a second.",
        "Documented: mIoU 0.484 on msrc val (by proposals) after 26,000 samples of this stage, "
        "80,000 in all; scores on other data cannot be compared with it.",
        "Warning: this budget allows 10 % of those samples, so the network may learn less than "
        "it could. For as many: --minutes 174",  # 26,000 / 10 / 60 / 0.25
    ]
    assert Documented(STAGED, "hard", 0.75).samples == 60_000, "its share, where nothing is said"


# -- recipes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped_recipes())
def test_documented_counts_agree_with_the_recipe(name: str) -> None:
    recipe = load_recipe(name)
    step = recipe.batch.size * recipe.batch.accumulate
    for one in recipe.measured:
        assert (one.samples is None) == (one.iterations is None)
        if one.iterations is not None:
            assert one.samples == one.iterations * step
        if one.stages:
            assert list(one.stages) == [stage.name for stage in recipe.stages]
            assert sum(one.stages.values()) == one.samples


def test_documented_scores_are_those_of_the_benchmarks() -> None:
    page = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+)[^|]*\| ([\d,]+) \| ([\d,]+) \| \d+ \| \W*(0\.\d+)", page, re.M)
    found = {
        (float(minutes), int(iterations.replace(",", "")), int(samples.replace(",", "")),
         float(miou)) for minutes, iterations, samples, miou in rows
    }  # fmt: skip
    ours = {
        (one.minutes, one.iterations, one.samples, one.miou)
        for one in load_recipe("fcn8s-quick").measured if one.data == "CamVid"
    }  # fmt: skip
    assert found == ours


@pytest.mark.parametrize(
    ("assignment", "kept"),
    [("budget.minutes=3", True), ("seed=4", True), ("batch.size=2", True),
     ("validate={every: 5}", True), ("model.name=fcn8s", False), ("optim.lr=1", False),
     ("loss.class_weights=none", False), ("data.train_split=val", True), ("threads=1", True)],
)  # fmt: skip
def test_another_training_has_no_documented_score(assignment: str, kept: bool) -> None:
    assert bool(load_recipe("fcn8s-quick", [assignment]).measured) == kept


def test_run_folders_do_not_keep_it_and_are_gone_on_with_without_it(
    tmp_path: Path, toy: Path, documented: Path
) -> None:
    out = tmp_path / "run"
    plain = {"data": toy, "out": out, "resume": True, "make_validate": make_validate}

    def press(status: Status) -> None:
        if status.iteration == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(load_recipe(str(documented)), show=press, **plain)
    assert "measured" not in load_yaml(out / "recipe.yaml")
    documented.write_text(documented.read_text().replace("0.677", "0.7"))
    assert train(load_recipe(str(documented)), **plain).iteration == 6


def test_a_score_that_cannot_be(documented: Path) -> None:
    documented.write_text(documented.read_text().replace("0.677", "67.7"))
    with pytest.raises(SettingsError, match=r"measured\.0\.miou: input should be less than or"):
        load_recipe(str(documented))


# -- in a training ---------------------------------------------------------------------------------


@pytest.fixture
def documented(tmp_path: Path) -> Path:
    """A tiny recipe with a documented score."""
    path = tmp_path / "own.yaml"
    path.write_text(
        load_recipe("fcn8s-quick", TINY).to_yaml()
        + "measured: [{data: CamVid, miou: 0.677, samples: 1300}]\n"
    )
    return path


@pytest.fixture
def run_documented(toy: Path, documented: Path) -> Callable[..., Said]:
    """Train it, with validations of so many ``seconds``; notices, each with its status."""

    def run(out: Path, *assignments: str, seconds: float = 0.0) -> Said:
        said: Said = []
        train(
            load_recipe(str(documented), ["save_every=100", *assignments]), data=toy, out=out,
            resume=True, make_validate=validation_takes(seconds),
            show=lambda status: said.extend((status, notice) for notice in status.notices),
        )  # fmt: skip
        return said

    return run


def steps_take(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """From now on the clock of trainings moves with their steps and stands still between."""
    step, done = Training._step, itertools.count(1)
    now = 100.0

    def counted_step(self: Training, batches: Any) -> Any:
        nonlocal now
        now = 100.0 + seconds * next(done)
        return step(self, batches)

    monkeypatch.setattr(Training, "_step", counted_step)
    monkeypatch.setattr(training_state, "time", SimpleNamespace(monotonic=lambda: now))


def test_iterations_are_counted_before_the_first_step(
    tmp_path: Path, run_documented: Callable[..., Said]
) -> None:
    said = run_documented(tmp_path / "run", "batch.accumulate=3")
    assert {status.iteration for status, _ in said} == {0}
    assert [f"{notice.text} {notice.advice}".rstrip() for _, notice in said] == [
        "Budget: 6 iterations, 36 samples.",
        "Documented: mIoU 0.677 on CamVid val after 1,300 samples; scores on other data "
        "cannot be compared with it.",
        "Warning: this budget allows 2.8 % of those samples, so the network may learn less than "
        "it could. For as many: --iterations 217",
    ]


@pytest.mark.parametrize(
    ("budget", "seconds", "logged"),
    [
        ("iterations=40", 0.0, [1, *range(2, 41, 2)]),
        ("iterations=6", 0.0, [1, 2, 3, 4, 5, 6]),
        ("minutes=1", 1.5, [1, *range(3, 40, 2), 40]),  # 40 steps of 1.5 s
    ],
)
def test_a_short_training_has_about_twenty_rows_in_its_log(
    tmp_path: Path, run_documented: Callable[..., Said], monkeypatch: pytest.MonkeyPatch,
    budget: str, seconds: float, logged: list[int],
) -> None:  # fmt: skip
    if seconds:
        steps_take(monkeypatch, seconds)
    run_documented(tmp_path / "run", f"budget.{budget}", "log_every=null")
    found = [int(row["iteration"]) for row in rows(tmp_path / "run") if row["loss"]]
    assert found == logged


def test_epochs_are_counted_by_the_split(
    tmp_path: Path, run_documented: Callable[..., Said]
) -> None:
    said = run_documented(tmp_path / "run", "budget.epochs=2")
    assert said[0][1].text == "Budget: 2 epochs, 7 iterations, 14 samples."  # of 7 photos
    assert said[2][1].advice.endswith("--epochs 185.8")


@pytest.mark.parametrize(("documented_samples", "warned"), [(300, False), (301, True)])
def test_minutes_are_told_once_when_the_rate_is_known(
    tmp_path: Path,
    documented: Path,
    run_documented: Callable[..., Said],
    monkeypatch: pytest.MonkeyPatch,
    documented_samples: int,
    warned: bool,
) -> None:
    """Thirty seconds of steps that take two seconds each, of two samples."""
    documented.write_text(documented.read_text().replace("1300", str(documented_samples)))
    steps_take(monkeypatch, 2.0)
    said = run_documented(tmp_path / "run", "budget.minutes=0.5", "validate.every=null")
    assert {status.iteration for status, _ in said} == {WARM_UP + 1}
    assert said[0][1].text == "Budget: 0.5 minutes, about 30 samples at 1 a second."
    assert rows(tmp_path / "run")[-1]["images"] == "30", "and so it was"
    assert [notice.warning for _, notice in said] == [False, False, True][: 2 + warned]
    if warned:
        assert said[2][1].advice.endswith("--minutes 6")  # 301 / 60


@pytest.mark.parametrize(("every", "samples"), [("4", 34), ("null", 54)])
def test_validations_are_taken_off_the_minutes(
    tmp_path: Path,
    run_documented: Callable[..., Said],
    monkeypatch: pytest.MonkeyPatch,
    every: str,
    samples: int,
) -> None:
    """Each takes four seconds: half of the time after four steps, or a tenth of it at most."""
    steps_take(monkeypatch, 1.0)
    said = run_documented(
        tmp_path / "run", "budget.minutes=0.5", f"validate.every={every}",
        seconds=4.0,
    )  # fmt: skip
    assert said[0][1].text == f"Budget: 0.5 minutes, about {samples} samples at 2 a second."


def test_a_budget_that_is_over_at_once(
    tmp_path: Path, run_documented: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps_take(monkeypatch, 40.0)
    said = run_documented(tmp_path / "run", "budget.minutes=0.5")
    assert said[0][1].text == "Budget: 0.5 minutes, about 2 samples at 0.05 a second."
    assert said[2][1].warning


def test_measuring_the_rate_changes_no_weight(
    tmp_path: Path, run_documented: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for name, seen in {"measured": 3, "not": 0}.items():
        with monkeypatch.context() as patched:
            steps_take(patched, 2.0)
            if not seen:
                patched.setattr(Training, "_expect", lambda *_: [])
            said = run_documented(tmp_path / name, "budget.minutes=0.2")
        assert len(said) == seen
        runs.append(tmp_path / name)
    assert_same_run(*runs)


def test_each_stage_says_its_own(tmp_path: Path, run_stages: Callable[..., Outcome]) -> None:
    said: list[tuple[str, str]] = []
    run_stages(
        tmp_path / "run",
        show=lambda status: said.extend((status.stage, notice.text) for notice in status.notices),
    )
    assert said == [
        ("easy", "Budget of stage easy: 3 iterations, 6 samples."),
        ("hard", "Budget of stage hard: 7 iterations, 14 samples."),
    ]


def test_a_stage_is_compared_with_what_it_took() -> None:
    recipe = load_recipe("deconvnet-quick")
    parts = [Documented.of(recipe, stage).samples for stage in recipe.stages]
    assert parts == [1_674 * 16, 3_672 * 16]  # docs/benchmarks.md


def test_seconds_of_an_iteration() -> None:
    rate = Rate()
    told = [rate.add(9.0, 0.001) for _ in range(WARM_UP)]
    told += [rate.add(2.0, 0.001) for _ in range(MEASURED)]
    assert told == [None] * (WARM_UP + MEASURED - 1) + [2.0]
    slow = Rate()
    assert [slow.add(seconds, 0.5) for seconds in (9.0, 9.0, 9.0, 2.0)] == [None] * 3 + [2.0]
    assert Rate().add(9.0, 1.0) == 9.0, "the budget is over"


# -- on the screen ---------------------------------------------------------------------------------


def test_it_is_printed_above_the_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    monkeypatch.setattr(screen, "errors", Console(stderr=True, soft_wrap=True))
    status = Status(
        iteration=0, fraction=0.0, loss=None, lr=0.0, images_per_second=0.0, seconds_left=None,
        memory_mib=1, best=None,
        notices=(Notice("Budget: [1] iteration."), Notice("Warning: few.", warning=True)),
    )  # fmt: skip
    with ProgressDisplay() as on_progress:
        report_status(on_progress)(status)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["Budget: [1] iteration.", "Warning: few."]
