"""Run folders that are no run, damaged, or too new: each has its own message."""

from __future__ import annotations

from pathlib import Path

import pytest

from upscore.core.run_folder import FORMAT_VERSION, RunFolder, unique_names
from upscore.errors import NotFoundError, RunError, SettingsError


def test_round_trip(tmp_path: Path) -> None:
    RunFolder(tmp_path).write_manifest({"command": "é"})
    run = RunFolder.open(tmp_path)
    assert run.read_manifest() == {"format_version": FORMAT_VERSION, "command": "é"}
    assert run.model == tmp_path / "model"


def test_it_can_be_moved(tmp_path: Path) -> None:
    RunFolder(tmp_path / "a").write_manifest({})
    (tmp_path / "a").rename(tmp_path / "ü b")
    assert RunFolder.open(tmp_path / "ü b").read_manifest()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "damaged, not JSON"),
        ("[]", "expected a JSON object, found list"),
        ("{}", "no format_version"),
        ('{"format_version": "1"}', "no format_version"),
        ('{"format_version": 99}', "newer upscore.*pip install -U upscore"),
    ],
)
def test_wrong_manifests(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(RunError, match=message):
        RunFolder.open(tmp_path)


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such run folder"):
        RunFolder.open(tmp_path / "none")
    with pytest.raises(RunError, match="not a run folder"):
        RunFolder.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"):
        RunFolder.open(tmp_path / "file")


def test_names_for_people() -> None:
    def names(*texts: str) -> list[str]:
        return unique_names([Path(text) for text in texts])

    assert names("runs/a", "runs/b", "p/crf.yaml") == ["a", "b", "crf"]
    assert names("x/run", "y/run", "z") == ["x/run", "y/run", "z"]
    assert names("x/run", "x/run") == ["x/run", "x/run (2)"]
    assert names("p.yaml/fcn", "p.yaml/deconvnet") == ["fcn", "deconvnet"]


@pytest.mark.parametrize("written", [(), ("state/data.json",), ("manifest.json",)])
def test_killed_before_its_first_files_were_there(tmp_path: Path, written: tuple[str, ...]) -> None:
    run = RunFolder(tmp_path / "run")
    for name in written:
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_text('{"format_version": 1}')
    assert not run.is_begun(resume=True)
    run.begin("seed: 0\n", {})
    assert run.is_begun(resume=True)
    assert not run.is_begun(resume=False)  # nothing is saved that would be lost
    (run.state).mkdir(exist_ok=True)
    (run.state / "resume.pt").write_text("")
    assert run.is_begun(resume=True)
    with pytest.raises(SettingsError, match="holds a run already; continue it with --resume"):
        run.is_begun(resume=False)


@pytest.mark.parametrize(
    "name", ["recipe.yaml", "photo.jpg", "state/resume.pt", "manifest.json", "a/b"]
)
def test_folders_of_other_things(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("{}")
    with pytest.raises(SettingsError, match="exists and is no run folder"):
        RunFolder(tmp_path).is_begun(resume=True)
