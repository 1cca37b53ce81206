"""Ctrl-C at the worst of times: while Python starts, twice in a row, while Python ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from new_process import SOURCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")

BEGIN = """
import os, signal, sys
from pathlib import Path

def stop(number=signal.SIGINT):
    os.kill(os.getpid(), number)

def run(work):
    import upscore.cli
    sys.modules["upscore.cli.main"].parse = lambda _: work
    from upscore.__main__ import program
    program()
"""
TWICE = """
from upscore.core.temporary import temporary_file

def work():
    with temporary_file(Path("result.png")):
        try:
            stop()
        finally:
            stop(SECOND)
            print("cleaned up", flush=True)

run(work)
"""


def run(code: str, folder: Path) -> tuple[int, str, str]:
    """Exit status and both outputs of a program."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code], env={**os.environ, "PYTHONPATH": str(SOURCE)},
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_while_it_starts(tmp_path: Path) -> None:
    code = """
class Stop:
    def find_spec(self, name, *_):
        if name == "upscore.cli.verbs":
            stop()

sys.meta_path.insert(0, Stop())
from upscore.__main__ import program
program()
"""
    assert run(code, tmp_path) == (130, "", "upscore: interrupted\n")


def test_a_second_one_ends_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    code = TWICE.replace("SECOND", "signal.SIGINT")
    assert run(code, tmp_path) == (130, "", "upscore: interrupted\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_second_signal_of_a_system_waits_for_the_cleaning(tmp_path: Path, name: str) -> None:
    code = TWICE.replace("stop()", f"stop(signal.{name})").replace("SECOND", f"signal.{name}")
    status = 128 + getattr(signal, name)
    assert run(code, tmp_path) == (status, "cleaned up\n", "upscore: interrupted\n")
    assert not list(tmp_path.iterdir())


def test_while_code_is_made_from_text(tmp_path: Path) -> None:
    code = "run(lambda: exec('stop()', globals()))"  # as imports of torch do
    assert run(code, tmp_path) == (130, "", "upscore: interrupted\n")


def test_while_a_module_in_c_is_imported(tmp_path: Path) -> None:
    code = """
def work():
    try:
        stop()
    except KeyboardInterrupt as error:
        raise ImportError("initialization failed") from error

run(work)
"""
    text = "upscore: interrupted (ImportError: initialization failed)\n"
    assert run(code, tmp_path) == (130, "", text)


def test_while_it_ends(tmp_path: Path) -> None:
    code = "import atexit\natexit.register(stop)\nrun(lambda: print('done'))"
    assert run(code, tmp_path) == (0, "done\n", "")
