"""Temporary files of killed processes go, those of living ones stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from upscore.cli.main import _guarded
from upscore.core import temporary
from upscore.core.files import atomic_path, write_text
from upscore.core.stop_signals import STOPS, exit_status, listening
from upscore.core.temporary import has_ended, is_temporary, owner, temporary_name

KILLED = """
import os, sys
from pathlib import Path
from upscore.core.temporary import temporary_file, temporary_folder
with temporary_file(Path(sys.argv[1])), temporary_folder(Path(sys.argv[2])) as folder:
    (folder / "frame.png").touch()
    os._exit(1)
"""


def test_the_next_write_removes_what_a_killed_process_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "_cleaned", set())
    subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path / "a.npz", tmp_path / "frames"], check=False
    )
    left = list(tmp_path.iterdir())
    assert len(left) == 2
    assert all(map(is_temporary, left))
    mine = temporary_name(tmp_path / "b")
    mine.touch()
    elsewhere = tmp_path / mine.name.replace(owner(), "far.away_1-1-1")
    elsewhere.touch()
    hidden = tmp_path / ".a.npz.0123456789abcdef"  # of another program
    hidden.touch()
    write_text(tmp_path / "c.txt", "x")
    assert set(tmp_path.iterdir()) == {mine, elsewhere, hidden, tmp_path / "c.txt"}


def test_a_process_and_its_number() -> None:
    assert not has_ended(owner())
    host, pid, start = owner().rsplit("-", 2)
    assert int(pid) == os.getpid()
    assert not has_ended("no owner")
    assert not has_ended(f"elsewhere-{pid}-{start}")
    if sys.platform == "linux":
        assert has_ended(f"{host}-{pid}-{int(start) + 1}")  # the number was given to another one
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    assert has_ended(f"{host}-{child.pid}-1")


def test_names_fit(tmp_path: Path) -> None:
    name = temporary_name(tmp_path / ("字" * 85))
    assert len(os.fsencode(name.name)) <= 255
    name.touch()
    assert is_temporary(name)


@pytest.mark.parametrize("number", STOPS)
def test_signals_end_a_verb_cleanly(
    tmp_path: Path, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        with atomic_path(tmp_path / "a.txt") as path:
            path.write_text("half")
            os.kill(os.getpid(), number)
            signal.pause()

    assert _guarded(work, debug=False)[0] == 128 + number
    assert capsys.readouterr().err == "upscore: interrupted\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP there")
def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    heard: list[int] = []
    try:
        with listening(heard.append):
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert heard == [signal.SIGTERM]
    assert exit_status() == 128 + signal.SIGTERM
