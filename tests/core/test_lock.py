"""A folder belongs to one job; a lock ends with the process that holds it, however it ends."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest

from upscore.core import lock
from upscore.core.lock import LOCK, claim, files_in, take_turns
from upscore.errors import OutputError, SettingsError
from waiting import wait_until

HOLD = """
import os, signal, sys
from pathlib import Path
from upscore.core.lock import claim
from upscore.core.temporary import temporary_name

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by jobs in the background
folder = Path(sys.argv[1])
with claim(folder, "a training"):
    temporary_name(folder / "model").write_text("half")
    if sys.argv[2:] and os.fork():  # a child that lives longer tells when it runs
        signal.pause()
    print("held", flush=True)
    signal.pause() if not sys.argv[2:] else sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds tmp_path/run."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "run"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_folder_in_use_is_refused(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    message = rf"run: is used by a training on \S+, process {holder.pid}, since 20\d\d-.*; wait, "
    with pytest.raises(SettingsError, match=message), claim(tmp_path / "run", "a training"):
        pass
    assert len(list((tmp_path / "run").iterdir())) == 2  # what the other one writes is its own


def test_what_a_killed_job_left_is_no_hindrance(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    holder.kill()
    holder.wait()
    with claim(tmp_path / "run", "a training"):
        assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]
    assert list((tmp_path / "run").iterdir()) == []


def test_the_same_process_is_refused_too(tmp_path: Path) -> None:
    with claim(tmp_path, "a sweep"):
        with pytest.raises(SettingsError, match=rf"a sweep on .*, process {os.getpid()}, "):
            claim(tmp_path, "a sweep").__enter__()
        assert (tmp_path / LOCK).exists()
    with claim(tmp_path, "a sweep"):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
def test_children_that_outlive_a_killed_job_keep_no_lock(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "run", "and a child"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.kill()
        process.wait()
        with claim(tmp_path / "run", "a training"):
            pass


def test_folders_made_for_nothing_go(tmp_path: Path) -> None:
    with claim(tmp_path / "a" / "b", "a training"):
        assert (tmp_path / "a" / "b").is_dir()
        assert list(files_in(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []
    with claim(tmp_path / "a" / "b", "a training"):
        (tmp_path / "a" / "b" / "result").touch()
    assert [path.name for path in files_in(tmp_path)] == ["result"]


def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with claim(tmp_path, "a training"):
        pass
    assert "knows no locks" in caplog.text


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="a file stands where a folder is needed"),
        claim(tmp_path / "file" / "run", "a training"),
    ):
        pass


def let_go_in_sleep(
    first: AbstractContextManager[None], monkeypatch: pytest.MonkeyPatch
) -> list[float]:
    """Hold a lock until somebody who waits for it sleeps; the list has the seconds of each."""
    first.__enter__()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        first.__exit__(None, None, None)

    monkeypatch.setattr(lock, "time", SimpleNamespace(sleep=sleep))
    return slept


def test_a_download_waits_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first = take_turns(tmp_path / "vgg.pth", "a download")
    slept = let_go_in_sleep(first, monkeypatch)
    with take_turns(tmp_path / "vgg.pth", "a download"):
        assert len(slept) == 1
    assert f"waiting for a download on {os.uname().nodename}, process {os.getpid()}" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_ends_removes_the_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGINT)
    holder.wait()
    wait_until(lambda: not (tmp_path / "run" / LOCK).exists())


def test_waiting_for_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = claim(tmp_path / "run", "a training")
    slept = let_go_in_sleep(first, monkeypatch)
    with claim(tmp_path / "run", "a sweep", wait=True):
        assert len(slept) == 1
        assert (tmp_path / "run" / LOCK).exists()


@pytest.mark.parametrize("content", ["[" * 5000, '{"process": ' + "9" * 5000, "\0\x1b"])
def test_anything_may_stand_in_a_lock_file(tmp_path: Path, content: str) -> None:
    (tmp_path / LOCK).write_text(content)
    with claim(tmp_path, "a training"):
        assert '"job": "a training"' in (tmp_path / LOCK).read_text()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not lock.NO_LINKS, reason="only where the system can open no link")
@pytest.mark.parametrize("target", ["missing", "gone/missing", "mine.txt"])
def test_a_link_in_the_place_of_a_lock_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    (run / LOCK).symlink_to(tmp_path / target)
    with pytest.raises(OutputError, match=rf"run/{LOCK}: Too many levels"), claim(run, "a job"):
        pass
    assert [path.name for path in tmp_path.iterdir() if path != run] == ["mine.txt"]
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:  # as for folders in /proc
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with (
        pytest.raises(OutputError, match=r"cannot write .*run: No such"),
        claim(tmp_path / "run", "a training"),
    ):
        pass


def test_clocks_that_jump(tmp_path: Path) -> None:
    """A killed job's lock of the future keeps nobody out."""
    left = tmp_path / LOCK
    left.write_text(json.dumps({"job": "a training", "process": 1, "since": "2099-01-01"}))
    future = 4_000_000_000
    os.utime(left, (future, future))
    with claim(tmp_path, "a training"):
        assert json.loads(left.read_text())["process"] == os.getpid()
    assert not left.exists()
