"""Default places of runs, and the last one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from upscore.core.lock import LOCK
from upscore.core.runs_folder import data_of, last_run, new_run, require_last_run
from upscore.errors import NotFoundError


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(name: str, started: str, *, trained: bool = True, data: str = "photos") -> Path:
    run = Path("runs", name)
    run.mkdir(parents=True)
    manifest = {"format_version": 1, "started": started, "data": {"path": data}}
    (run / "manifest.json").write_text(json.dumps(manifest))
    if trained:
        (run / "model").mkdir()
        (run / "model" / "config.json").write_text("{}")
    return run


def test_a_new_run_gets_a_free_name() -> None:
    assert new_run("quick") == Path("runs/quick")
    make("quick", "2026-01-01")
    assert new_run("quick") == Path("runs/quick-2")
    make("quick-2", "2026-01-02")
    assert new_run("quick") == Path("runs/quick-3")


def test_a_run_that_saved_nothing_takes_no_name_unless_it_is_in_use() -> None:
    run = make("quick", "2026-01-01", trained=False)
    (run / "recipe.yaml").write_text("seed: 0")
    assert new_run("quick") == run
    (run / LOCK).write_text("")
    assert new_run("quick") == Path("runs/quick-2")
    (run / LOCK).unlink()
    (run / "manifest.json").write_text("damaged")
    assert new_run("quick") == Path("runs/quick-2")


def test_the_last_run_is_the_one_begun_last() -> None:
    assert last_run() is None
    second = make("a", "2026-01-02T00:00:00+00:00")
    make("b", "2026-01-01T00:00:00+00:00")
    begun = make("c", "2026-01-03T00:00:00+00:00", trained=False)
    assert last_run() == begun
    assert last_run(trained=True) == second
    Path("runs/d").mkdir()
    Path("runs/d/manifest.json").write_text("damaged")
    assert require_last_run() == second  # the last one with a network


def test_without_a_run_there_is_a_message() -> None:
    with pytest.raises(NotFoundError, match="upscore train --data PHOTOS"):
        require_last_run()


def test_the_data_of_a_run() -> None:
    run = make("a", "2026-01-01")
    with pytest.raises(NotFoundError, match="which was at photos, is not there; name one: --data"):
        data_of(run)
    Path("photos").mkdir()
    assert data_of(run) == Path("photos")
