"""The workflow of ``upscore train``: results, progress events, and how they are displayed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from upscore.cli import console as screen
from upscore.cli import progress as display
from upscore.core.images import InputSpec
from upscore.core.progress import Milestones, Notice, Progress, show_progress
from upscore.core.run_folder import RunFolder
from upscore.core.runtime import select_runtime
from upscore.data import open_dataset
from upscore.data.toy import make_toy
from upscore.errors import DataError, SettingsError, WorkError
from upscore.models.checkpoint import load_model
from upscore.models.factory import create_model
from upscore.training.progress import TrainingProgress
from upscore.training.recipe import load_recipe
from upscore.training.trainer import Training
from upscore.workflows.train import make_validate, train

TINY = (
    "model.options.channels=[4, 4, 8, 8, 8]",
    "model.options.fc_width=16",
    "augment.crop=[32, 32]",
    "batch.size=2",
    "budget.iterations=4",
    "log_every=2",
    "validate.images=2",
    "precision=fp32",
)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy(tmp_path_factory.mktemp("train") / "toy", num=6, seed=1, size=(40, 48))


def test_result_is_what_the_run_folder_holds(toy: Path, tmp_path: Path) -> None:
    events: list[Progress] = []
    out = tmp_path / "run"
    result = train("fcn8s-quick", data=toy, out=out, assignments=TINY, on_progress=events.append)
    content = json.loads(json.dumps(result.to_dict()))
    assert content["run"] == str(out)
    assert (content["iterations"], content["interrupted"]) == (4, False)
    rows = (out / "log.csv").read_text().splitlines()
    scores = [float(dict(zip(rows[0].split(","), row.split(","), strict=True))["val_miou"] or 0)
              for row in rows[1:]]  # fmt: skip
    assert content["best"] == pytest.approx(max(scores), abs=1e-6)
    assert content["last"] == pytest.approx(scores[-1], abs=1e-6)
    assert load_model(RunFolder.open(out).model).labels.names[0] == "background"
    assert {type(event) for event in events} == {TrainingProgress}
    assert [event.done for event in events] == [0, 0.25, 0.5, 0.75, 1]
    assert {(event.stage, event.total) for event in events} == {("training", 1)}
    assert events[0].notices[0].text == "Budget: 4 iterations, 8 samples."
    assert events[-1].text.startswith("iteration 4, loss ")


def test_a_recipe_is_given_instead_of_its_name(toy: Path, tmp_path: Path) -> None:
    recipe = load_recipe("fcn8s-quick", [*TINY, "budget.iterations=1"])
    assert train(recipe, data=str(toy), out=str(tmp_path / "run")).iterations == 1
    with pytest.raises(SettingsError, match="assignments only change a recipe given by name"):
        train(recipe, data=toy, out=tmp_path / "other", assignments=["seed=1"])


def test_interrupted_and_resumed(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter([False, False])
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_stopping", lambda _: next(steps, True))
        result = train("fcn8s-quick", data=toy, out=tmp_path / "run", assignments=TINY)
    assert (result.interrupted, result.iterations) == (True, 2)
    events: list[Progress] = []
    result = train("fcn8s-quick", data=toy, out=tmp_path / "run", assignments=TINY, resume=True,
                   on_progress=events.append)  # fmt: skip
    assert (result.interrupted, result.iterations) == (False, 4)
    first = events[0]
    assert isinstance(first, TrainingProgress)
    assert (first.status.iteration, first.status.images_per_second) == (2, 0), "no step done yet"


# -- on the screen ---------------------------------------------------------------------------------


def events_of(stage: str, num: int) -> list[Progress]:
    return [Progress(stage, done, num, f"step {done}") for done in range(num + 1)]


def test_a_log_gets_a_line_each_twentieth() -> None:
    milestones = Milestones()
    reached = [event.done for event in events_of("a", 100) if milestones.reached(event)]
    assert reached == list(range(0, 101, 5))
    assert [e.done for e in events_of("b", 3) if milestones.reached(e)] == [0, 1, 2, 3]
    assert not milestones.reached(Progress("c", 0, 10)), "a stage without text is not logged"


def test_a_stage_without_text_gets_a_line_every_thirty_seconds() -> None:
    now = 100.0
    milestones = Milestones(lambda: now)
    shown = []
    for done in range(100):
        now = 100.0 + done
        if milestones.reached(Progress("labelling", done, 100)):
            shown.append(done)
    assert shown == [30, 60, 90]


def test_show_progress_prints_twentieths_ends_and_notices(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(2):  # two trainings, one after the other
        for event in events_of("training", 100):
            show_progress(event)
        assert len(capsys.readouterr().out.splitlines()) == 21
    for done in range(1, 4):
        show_progress(Progress("labelling", done, 3))
    assert capsys.readouterr().out.splitlines()[-1] == "labelling: 3 of 3"
    show_progress(Progress("training", 0, notices=(Notice("few\x1b samples"),)))
    assert capsys.readouterr().out == "few\\x1b samples\n"


def test_lines_and_notices_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with display.ProgressDisplay() as on_progress:
        on_progress(Progress("training", 0, notices=(Notice("[begins]"),)))
        for event in events_of("training", 2):
            on_progress(event)
        on_progress(Progress("scoring", 1, 2))
    assert capsys.readouterr().err.splitlines() == [
        "[begins]", "  0% step 0", " 50% step 1", "100% step 2",
    ]  # fmt: skip


def test_further_processes_of_a_training_are_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(screen, "errors", Console(stderr=True))
    with display.ProgressDisplay() as on_progress:
        on_progress(Progress("training", 0, 1, "step", (Notice("said"),)))
    assert capsys.readouterr().err == ""


def test_notices_stand_above_a_live_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(stderr=True, force_terminal=True, width=80, soft_wrap=True)
    monkeypatch.setattr(screen, "errors", console)
    with display.ProgressDisplay() as on_progress:
        on_progress(Progress("training", 0, 1, "step 0"))
        on_progress(Progress("training", 0.5, 1, "step 1", (Notice("a notice"),)))
        on_progress(Progress("training", 1, 1, "step 2"))
    shown = capsys.readouterr().err
    assert shown.count("a notice") == 1
    assert shown.index("a notice") < shown.rindex("step 2")
    assert "100%" in shown


def test_scores_that_are_no_numbers_are_blamed_on_the_training(tmp_path: Path) -> None:
    """A photo that cannot be read is the photo's fault, a network that diverged is not."""
    split = open_dataset(make_toy(tmp_path / "toy", num=4)).split("val")
    validate = make_validate(split, InputSpec.named("lite0"), select_runtime("cpu", "fp32"))
    model = create_model("fcn32s", num_classes=len(split.labels), width=1 / 32)
    assert validate(model, None).images == len(split)
    with torch.no_grad():
        next(model.parameters()).mul_(1e38)
    with pytest.raises(WorkError, match=r"the training diverges: .*--set optim\.lr=NUMBER"):
        validate(model, None)
    split.pairs[0].image.write_bytes(b"no photo")
    with pytest.raises(DataError, match=rf"validation failed: .*{split.pairs[0].image.name}"):
        validate(create_model("fcn32s", num_classes=len(split.labels), width=1 / 32), None)
