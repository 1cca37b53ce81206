"""Processes that share work: all of it is done, and none outlives its parent."""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.in_workers import die, double, mark
from upscore.core.parallel import processes
from upscore.core.parallel.processes import AHEAD, in_processes, torch_on_one_core
from upscore.errors import WorkError
from waiting import wait_until

SOURCE = Path(__file__).resolve().parents[2] / "src"


def test_every_item_comes_back_once():
    done = sorted(in_processes(double, range(30), processes=2))
    assert done == [(number, 2 * number) for number in range(30)]
    assert list(in_processes(double, [], processes=2)) == []


def test_a_script_without_a_guard_is_not_run_again(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from upscore.core.parallel.processes import in_processes\n"
        "print('begin')\n"
        "print(sorted(in_processes(len, ['a', 'bc'], processes=2)))\n"
    )
    found = subprocess.run(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": str(SOURCE)}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert found.stdout == "begin\n[('a', 1), ('bc', 2)]\n"
    assert found.stderr == ""


def test_work_of_the_script_itself_is_found(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from upscore.core.parallel.processes import in_processes\n"
        "def double(number):\n"
        "    return 2 * number\n"
        "if __name__ == '__main__':\n"
        "    print(sorted(in_processes(double, [3, 4], processes=2)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    found = subprocess.check_output([sys.executable, script], env=environment, text=True)
    assert found == "[(3, 6), (4, 8)]\n"


def test_an_exception_comes_out():
    with pytest.raises(ValueError, match="-1 is negative"):
        list(in_processes(double, [1, 2, -1, 3], processes=2))


def test_a_death_is_told():
    with pytest.raises(WorkError, match=r"a process died.*fewer --workers"):
        list(in_processes(die, [1, 2, 3], processes=2))


def test_left_early_the_rest_is_dropped(tmp_path):
    with contextlib.closing(in_processes(mark, [str(tmp_path)] * 1000, processes=2)) as outcomes:
        next(outcomes)
    assert 1 <= len(list(tmp_path.iterdir())) <= 2 * AHEAD


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_processes_end_when_their_parent_is_killed(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("in_workers.py")), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    wait_until(lambda: len(workers_in(tmp_path)) == 2)
    workers = workers_in(tmp_path)
    assert all(alive(number) for number in workers)
    parent.kill()
    parent.wait()
    wait_until(lambda: not any(alive(number) for number in workers))


@pytest.mark.parametrize("wanted", [None, "2"])
def test_torch_that_comes_in_meanwhile_gets_its_threads_back(tmp_path, monkeypatch, wanted):
    """With a stand-in that looks at the environment when it is imported, as torch does."""
    (tmp_path / "torch.py").write_text(
        "import os\n"
        "threads = int(os.environ.get('OMP_NUM_THREADS', 8))\n"
        "def get_num_threads(): return threads\n"
        "def set_num_threads(number): global threads; threads = number\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(processes, "num_cores", lambda: 5)
    if wanted:
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    with torch_on_one_core():
        torch = importlib.import_module("torch")
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == int(wanted or 5)
    assert os.environ.get("OMP_NUM_THREADS") == wanted
    with torch_on_one_core():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == int(wanted or 5)
    monkeypatch.delitem(sys.modules, "torch")  # before the real one comes back


def workers_in(folder: Path) -> set[str]:
    return {path.name.partition("-")[0] for path in folder.iterdir()}


def alive(number: str) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # ended, but nobody has asked


@pytest.mark.parametrize(("setting", "threads"), [("4,2", 4), ("3", 3), ("abc", 5), ("0", 5)])
def test_threads_of_a_torch_that_is_imported_meanwhile(monkeypatch, setting, threads):
    """OMP_NUM_THREADS may hold a list, or anything."""
    given = []
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    monkeypatch.setattr(processes, "num_cores", lambda: 5)
    with torch_on_one_core():
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(set_num_threads=given.append))
    assert given == [threads]
    assert os.environ["OMP_NUM_THREADS"] == setting
