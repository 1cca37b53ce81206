"""Hooks of the log: which are opened, what they get, and what happens where one is missing."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from upscore.core.run_folder import RunFolder
from upscore.errors import MissingExtraError, SettingsError, WorkError
from upscore.training.log import RunLog
from upscore.training.log_hooks import MODULES, QUIET, LogName, open_hooks
from upscore.training.recipe import load_recipe
from upscore.training.trainer import Outcome


class Fake:
    """In place of the three packages: keeps every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def note(self, name: str, result: Any = None) -> Callable[..., Any]:
        def call(*values: Any, **options: Any) -> Any:
            self.calls.append((name, (*values, *options.items())))
            return result

        return call

    def named(self, name: str) -> list[Any]:
        return [given for called, given in self.calls if called == name]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    found = Fake()
    writer = SimpleNamespace(add_scalar=found.note("scalar"), close=found.note("closed"))
    run = SimpleNamespace(log=found.note("log"), finish=found.note("finish"))
    client = SimpleNamespace(
        get_experiment_by_name=found.note("experiment"),
        create_experiment=found.note("create", "7"),
        create_run=found.note("run", SimpleNamespace(info=SimpleNamespace(run_id="abc"))),
        log_artifact=found.note("artifact"),
        log_metric=found.note("metric"),
        set_terminated=found.note("end"),
    )
    modules = {
        "tensorboard": SimpleNamespace(SummaryWriter=found.note("writer", writer)),
        "wandb": SimpleNamespace(init=found.note("init", run)),
        "mlflow": SimpleNamespace(MlflowClient=found.note("client", client)),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, MODULES[name], module)  # type: ignore[index,arg-type]
    for variables in QUIET.values():
        for variable in variables:
            monkeypatch.setenv(variable, "")  # so that it is taken away at the end
            monkeypatch.delenv(variable)
    for variable in ("WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(variable, raising=False)
    return found


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    found = RunFolder(tmp_path / "run")
    found.state.mkdir(parents=True)
    found.recipe.write_text("seed: 3\n")
    return found


def log(run: RunFolder, *names: LogName, after: int = 0) -> None:
    rows = RunLog(run.log, after_iteration=after, log_to=names)
    rows.write({"iteration": after + 1, "loss": 0.5, "lr": 0.01, "memory_mib": 9})
    rows.write({"iteration": after + 2, "val_miou": 0.25, "val_pixel_accuracy": None})
    rows.close()


def test_tensorboard(run: RunFolder, fake: Fake) -> None:
    log(run, "tensorboard", after=4)
    assert fake.named("writer") == [(run.path / "events", ("purge_step", 5))]
    assert fake.named("scalar") == [("loss", 0.5, 5), ("lr", 0.01, 5), ("val_miou", 0.25, 6)]
    assert fake.named("closed") == [()]


def test_wandb_is_offline_and_goes_on_as_the_same_run(run: RunFolder, fake: Fake) -> None:
    log(run, "wandb")
    log(run, "wandb")
    first, second = (dict(given) for given in fake.named("init"))
    assert first == second
    assert first["mode"] == "offline"
    assert first["dir"] == str(run.path)
    assert first["config"] == {"seed": 3}
    assert fake.named("log")[:2] == [
        ({"iteration": 1, "loss": 0.5, "lr": 0.01},),
        ({"iteration": 2, "val_miou": 0.25},),
    ]
    assert len(fake.named("finish")) == 2
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"
    assert "MLFLOW_DISABLE_TELEMETRY" not in os.environ


def test_what_the_user_set_stays(
    run: RunFolder, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    log(run, "wandb", "mlflow")
    assert dict(fake.named("init")[0])["mode"] == "online"
    assert fake.named("client") == [(("tracking_uri", "http://localhost:5000"),)]


def test_mlflow_writes_files_and_goes_on_as_the_same_run(run: RunFolder, fake: Fake) -> None:
    log(run, "mlflow")
    log(run, "mlflow")
    assert fake.named("client")[0] == (("tracking_uri", (run.path / "mlruns").as_uri()),)
    assert fake.named("run") == [("7", ("run_name", "run"))]
    assert fake.named("artifact") == [("abc", str(run.recipe))]
    assert fake.named("metric")[:3] == [
        ("abc", "loss", 0.5, ("step", 1)),
        ("abc", "lr", 0.01, ("step", 1)),
        ("abc", "val_miou", 0.25, ("step", 2)),
    ]
    assert fake.named("end") == [("abc",), ("abc",)]
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_without_names_tensorboard_is_used_where_it_is(run: RunFolder, fake: Fake) -> None:
    RunLog(run.log, after_iteration=0).close()
    assert [name for name, _ in fake.calls] == ["writer", "closed"]
    fake.calls.clear()
    sys.modules[MODULES["tensorboard"]] = None  # type: ignore[assignment]
    RunLog(run.log, after_iteration=0).close()
    log(run)
    assert not fake.calls


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_missing_package_is_told_before_anything_is_written(
    name: str,
    tmp_path: Path,
    run_tiny: Callable[..., Outcome],
    fake: Fake,
) -> None:
    sys.modules[MODULES[name]] = None  # type: ignore[index,assignment]
    with pytest.raises(MissingExtraError, match=rf'pip install "upscore\[{name}\]"'):
        run_tiny(tmp_path / "out", f"log_to=[{name}]")
    assert not fake.calls
    assert not (tmp_path / "out").exists()


def test_a_hook_that_does_not_start_is_an_error(run: RunFolder, fake: Fake) -> None:
    sys.modules["wandb"].init = lambda **_: 1 / 0  # type: ignore[attr-defined]
    with pytest.raises(WorkError, match=r"log_to: wandb does not start: division by zero"):
        open_hooks(["tensorboard", "wandb"], run, 0)
    assert fake.named("closed")


def test_a_hook_that_fails_later_is_left_out(
    run: RunFolder, fake: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    sys.modules["wandb"].init = lambda **_: None  # type: ignore[attr-defined]
    with caplog.at_level(logging.WARNING):
        log(run, "wandb", "tensorboard")
    (message,) = caplog.messages
    assert message.startswith("log_to: wandb failed (")
    assert len(fake.named("scalar")) == 3
    assert len(run.log.read_text().splitlines()) == 3


def test_a_training_gives_its_rows_to_hooks(
    tmp_path: Path, run_tiny: Callable[..., Outcome], fake: Fake
) -> None:
    out = tmp_path / "out"
    run_tiny(out, "log_to=[wandb]")
    rows = [given for (given,) in fake.named("log")]
    assert [row["iteration"] for row in rows if "loss" in row] == [1, 2, 4, 6]
    assert sum("val_miou" in row for row in rows) == 2
    assert not fake.named("writer")


def test_a_run_without_the_setting_can_be_resumed(
    tmp_path: Path, run_tiny: Callable[..., Outcome]
) -> None:
    out = tmp_path / "out"
    run_tiny(out)
    recipe = RunFolder(out).recipe
    content = yaml.safe_load(recipe.read_text())
    assert content.pop("log_to") is None
    recipe.write_text(yaml.safe_dump(content))
    (RunFolder(out).state / "resume.pt").unlink()  # begun, not finished
    run_tiny(out, resume=True)


def test_unknown_names() -> None:
    with pytest.raises(SettingsError, match="log_to"):
        load_recipe("quick", ["log_to=[comet]"])
