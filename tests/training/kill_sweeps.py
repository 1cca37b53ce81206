"""Kill a sweep before its writes, one after another, and go on with it each time.

``kill_sweeps.py EVERY DATA FOLDER real|pretend``, as :mod:`training.kill_writes`. Only the process
of the sweep is killed; its trainings, forked here, get SIGTERM then, as those of a killed sweep
send it to themselves.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any

SWEPT = "seed=0,1"
FILES = ("sweep.json", "sweep.csv", "runs.csv", "sweep.md")
ROWS = "iteration,seconds,loss,val_miou\n1,2,1.0,0.25\n2,4,,0.5\n"
PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Get SIGTERM when the parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def pretended(out: Path) -> None:
    """A training of a moment."""
    from upscore.core.files import write_text

    write_text(out / "log.csv", ROWS)
    write_text(out / "done", "")


def assert_same_sweep(a: Path, b: Path, *, real: bool) -> None:
    from training.run_files import assert_same_run
    from upscore.core.files import read_json

    for run in ("seed=0", "seed=1"):
        if real:
            assert_same_run(a / run, b / run)
        else:
            assert (b / run / "log.csv").read_text() == ROWS
    times = {"seconds", "seconds_per_run", "command"} if real else {"command"}

    def untimed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: untimed(item) for key, item in value.items() if key not in times}
        return [untimed(item) for item in value] if isinstance(value, list) else value

    first, second = (untimed(read_json(out / "sweep.json")) for out in (a, b))
    assert first == second
    assert all(run["status"] == "finished" for run in second["runs"])
    for name in FILES:
        assert (b / name).is_file()
        assert real or (a / name).read_bytes() == (b / name).read_bytes() or name == "sweep.json"
    left = [path for path in b.rglob("*") if ".upscore-" in path.name]
    assert not left, left


def main() -> None:
    """Each ends like the undisturbed one. Prints the number of kills."""
    every, data, folder, kind = sys.argv[1:]
    sys.modules["torch.utils.tensorboard"] = None  # type: ignore[assignment]  # writes in a thread
    from training.conftest import TINY
    from training.kill_writes import in_child, killed_everywhere, training
    from upscore.workflows import sweep as workflow

    real = kind == "real"
    changed = {"budget.iterations": "2", "save_every": "1"}
    kept = [text for text in TINY if text.partition("=")[0] not in changed]
    settings = [*kept, *map("=".join, changed.items())]

    def run(self: Any, config: Any) -> str | None:
        out = self.out / config.name
        job = training(Path(data), "fcn8s-quick", *config.assignments) if real else pretended
        parent = os.getpid()

        def train() -> None:
            end_with(parent)
            job(out)

        return "failed" if in_child(train) else None

    def statuses(out: Path, grid: Any, _data: object) -> dict[str, str]:
        return {
            config.name: "finished" if (out / config.name / "done").exists() else "new"
            for config in grid.configs
        }

    workflow._Trainings._run = run  # type: ignore[method-assign]
    if not real:
        workflow._run_statuses = statuses  # type: ignore[assignment]

    def job(out: Path) -> None:
        workflow.sweep("fcn8s-quick", data=data, out=out, assignments=[*settings, SWEPT])

    whole = Path(folder) / "whole"
    job(whole)
    count = 0
    for out in killed_everywhere(job, Path(folder), int(every)):
        assert_same_sweep(whole, out, real=real)
        count += 1
    print(count)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()
