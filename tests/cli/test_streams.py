"""A screen that is full, closed or left, and names that would drive it."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from upscore.cli import console as consoles
from upscore.cli.main import main
from upscore.cli.streams import Stream, lasting_streams

FULL = Path("/dev/full")


class Broken(io.StringIO):
    """Takes ``room`` characters, then fails."""

    def __init__(self, room: int, number: int) -> None:
        super().__init__()
        self.room, self.number = room, number

    def write(self, text: str) -> int:
        self.room -= len(text)
        if self.room < 0:
            raise OSError(self.number, os.strerror(self.number))
        return super().write(text)


def test_a_stream_goes_silent_at_the_first_error() -> None:
    stream = Stream(Broken(3, errno.ENOSPC))
    for text in ("abc", "d", ""):
        assert stream.write(text) == len(text)
    stream.flush()
    assert stream.getvalue() == "abc"
    assert stream.error is not None
    assert stream.error.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "upscore: cannot write to the standard output: the disk is full; files of "
         "results are not affected\n"),
        (errno.EIO, "upscore: cannot write to the standard output: Input/output error; files of "
         "results are not affected\n"),
        (errno.EPIPE, ""),
    ],
)  # fmt: skip
def test_what_is_told_of_a_broken_output(
    monkeypatch: pytest.MonkeyPatch, number: int, told: str
) -> None:
    out, err = Broken(0, number), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    done = False
    with lasting_streams() as errors:
        print("lost")
        done = True
    assert done
    assert [error.errno for error in errors] == [number]
    assert err.getvalue() == told
    assert (sys.stdout, sys.stderr) == (out, err)


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["recipes"], ["--version"], ["--help"]])
def test_a_full_output(arguments: list[str]) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "upscore", *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("upscore: cannot write to the standard output: the disk is full")


def test_work_is_done_though_nothing_can_be_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(0, errno.EPIPE))
    monkeypatch.setattr(sys, "stderr", Broken(0, errno.ENOSPC))
    with pytest.raises(SystemExit) as end:
        main(["data", "toy", "--out", str(tmp_path / "toy"), "--num", "3", "--size", "16", "16"])
    assert end.value.code == 1
    assert len(list((tmp_path / "toy/JPEGImages").iterdir())) == 3


def test_an_output_that_is_closed_from_the_beginning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    main(["data", "toy", "--out", str(tmp_path / "toy"), "--num", "3", "--size", "16", "16"])
    assert (tmp_path / "toy/classes.txt").exists()


def test_codes_in_messages_are_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    consoles.console.print("photo \x1b[2J\u202e of [red]")
    with pytest.raises(SystemExit):
        main(["data", "check", "no\x1b]0;x\x07\nsuch"])
    out, err = capsys.readouterr()
    assert out == "photo \\x1b[2J\\u202e of [red]\n"
    assert "\x1b" not in err
    assert "no\\x1b]0;x\\x07" in err


def test_colours_of_our_own_stay() -> None:
    screen = consoles.Screen()
    screen.file = io.StringIO()
    screen._color_system = Console(force_terminal=True, color_system="standard")._color_system
    screen._force_terminal = True
    screen.print("careful \x1b", style="bold yellow")
    assert screen.file.getvalue() == "\x1b[1;33mcareful \\x1b\x1b[0m\n"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("can't start new thread"), "the system starts no more threads or processes"),
        (OSError(errno.EMFILE, "Too many open files", "a"), "too many files are open"),
        (MemoryError(), "out of memory; use a smaller --tile"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9"), "out of memory; use a sm"),
        (PermissionError(errno.EACCES, "Permission denied", "a.png"), "a.png: Permission denied"),
        (KeyError("x"), "unexpected KeyError: 'x'\n         This is a bug in upscore"),
    ],
)
def test_errors_of_the_system_are_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, told: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("upscore.cli.recipes.Table", fail)
    with pytest.raises(SystemExit) as end:
        main(["recipes"])
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith(f"upscore: {told}")
