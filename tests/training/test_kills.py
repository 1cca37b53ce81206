"""Trainings that are killed before their writes, and gone on with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.conftest import TINY
from training.tiny_stages import TINY as TINY_STAGES

SCRIPT = Path(__file__).with_name("kill_writes.py")
SWEEPS = SCRIPT.with_name("kill_sweeps.py")
SHORT = ("threads=1", "budget.iterations=2", "save_every=1", "validate.every=9", "log_every=1")


def kill(every: int, data: Path, folder: Path, *more: str, script: Path = SCRIPT) -> int:
    """Number of kills, after each of which the job ended like the undisturbed one."""
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, script, str(every), data, folder, *more],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
def test_killed_before_every_write(tmp_path: Path, toy: Path) -> None:
    assert kill(1, toy, tmp_path, "fcn8s-quick", *TINY, *SHORT) > 30


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
def test_two_stages_killed_before_some_writes(tmp_path: Path, toy: Path) -> None:
    settings = (*TINY_STAGES, *SHORT, "budget.iterations=4", "crops.store=make")
    assert kill(21, toy, tmp_path, "deconvnet-quick", *settings) > 3


@pytest.mark.skipif(sys.platform != "linux", reason="no such ends of processes there")
def test_a_sweep_killed_before_some_writes(tmp_path: Path, toy: Path) -> None:
    """Its trainings only pretend."""
    assert kill(7, toy, tmp_path, "pretend", script=SWEEPS) > 3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="no such ends of processes there")
def test_a_sweep_killed_before_every_write(tmp_path: Path, toy: Path) -> None:
    assert kill(1, toy, tmp_path, "pretend", script=SWEEPS) > 20


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="no such ends of processes there")
def test_a_sweep_of_real_trainings_killed_before_some_writes(tmp_path: Path, toy: Path) -> None:
    assert kill(21, toy, tmp_path, "real", script=SWEEPS) > 1
