"""``upscore sweep``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from upscore.core.failures import format_failures
from upscore.errors import InterruptedWorkError, SettingsError, UpscoreError, WorkError

if TYPE_CHECKING:
    from upscore.data import DataSet
    from upscore.report.sweep_tables import SweptRun
    from upscore.training.setup import RunStatus
    from upscore.workflows.sweep_grid import Grid, Point

TRAIN = (sys.executable, "-m", "upscore.cli.exit_with_parent", "train")
"""What a training is begun with; its arguments follow."""


def sweep(
    recipe: Annotated[Positional[str], arg(metavar="RECIPE")],
    /,
    *,
    data: Path,
    out: Path,
    set: Annotated[
        UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="KEY=VALUE,VALUE")
    ] = (),
    processes: int = 1,
) -> None:
    """Train a recipe once for each combination of settings, and compare the runs.

    The same command goes on where it was stopped: what is finished stays, and what failed is tried
    again.

    Args:
        recipe: Name of a shipped recipe (`upscore recipes` lists them) or a YAML file.
        data: The data set: a folder of a known layout, or a dataset.yaml.
        out: Folder of the sweep: a run folder for each training, and the tables.
        set: Settings with the values to try, as in --set optim.lr=1e-5,1e-4 --set seed=0,1,2; with
            one value, a setting of all trainings. Values with commas in brackets are one value.
        processes: Trainings at the same time; each has its part of the cores.
    """
    if processes < 1:
        raise SettingsError(f"--processes is {processes}; allowed: 1 or more")
    from upscore.cli.console import console
    from upscore.core.files import make_folder
    from upscore.data import open_data
    from upscore.report.sweep_tables import SweptRun, read_swept, write_sweep
    from upscore.workflows.sweep_grid import make_grid

    grid = make_grid(recipe, [assignment for group in set for assignment in group])
    dataset = open_data(data)
    _check_recipes(grid, dataset, data)
    about = _about(recipe, grid, data, dataset)
    _check_folder(out, about)
    standings = _standings(out, grid, dataset)
    make_folder(out)

    runs: dict[str, SweptRun] = {}
    for point in grid.points:
        runs[point.name] = (
            read_swept(out / point.name, point.settings)
            if standings[point.name] == "finished"
            else SweptRun(point.name, point.settings, "waiting")
        )
    write_sweep(list(runs.values()), out, about=about)
    waiting = [point for point in grid.points if standings[point.name] != "finished"]
    done = len(grid.points) - len(waiting)
    console.print(
        f"{len(grid.points)} trainings" + (f", {done} of them finished already" if done else "")
    )

    def ended(point: Point, problem: str | None) -> None:
        if problem is None:
            runs[point.name] = read_swept(out / point.name, point.settings)
        else:
            runs[point.name] = SweptRun(point.name, point.settings, "failed", message=problem)
        write_sweep(list(runs.values()), out, about=about)

    trainings = _Trainings(recipe, data, out, processes)
    try:
        trainings.run_all(waiting, ended)
    except KeyboardInterrupt as error:
        raise InterruptedWorkError(
            "stopped; everything is saved. Go on with the same command"
        ) from error
    _print(list(runs.values()), out, data)
    failed = [f"{run.name}: {run.message}" for run in runs.values() if run.status == "failed"]
    if failed:
        begin = f"{len(failed)} of {len(runs)} trainings failed; all others are done:"
        raise WorkError(
            format_failures(begin, failed, rest="see runs.csv")
            + f"\nTheir output is in {out / 'logs'}; the same command tries them again"
        )


def _check_recipes(grid: Grid, dataset: DataSet, data: Path) -> None:
    """Whatever can be known before the first training has begun. Raises SettingsError of all."""
    import json

    from upscore.training.setup import check_training

    problems: dict[str, None] = {}
    checked: set[str] = set()
    for point in grid.points:
        content = point.recipe.model_dump(mode="json", by_alias=True)
        used = {key: content[key] for key in
                ("model", "init", "data", "crops", "stages", "device", "precision")}  # fmt: skip
        key = json.dumps(used, sort_keys=True, default=str)
        if key in checked:
            continue
        checked.add(key)
        try:
            check_training(point.recipe, dataset, data)
        except UpscoreError as error:
            problems[f"{point.name}: {error}"] = None
    if problems:
        raise SettingsError("\n".join(problems))


def _about(recipe: str, grid: Grid, data: Path, dataset: DataSet) -> dict[str, Any]:
    import shlex

    from upscore.core.runtime import installed_version

    return {
        "recipe": recipe,
        "swept": {key: list(values) for key, values in grid.swept.items()},
        "base": grid.base(),
        "data": {
            "path": str(data),
            "layout": dataset.layout,
            "fingerprint": dataset.fingerprint(),
        },
        "command": shlex.join(["upscore", *sys.argv[1:]]),
        "upscore": installed_version("upscore"),
    }


def _check_folder(out: Path, about: dict[str, Any]) -> None:
    """Refuse a folder of another sweep; the same one may have got more values.

    Raises:
        SettingsError: it is taken.
    """
    from upscore.core.files import read_json, refuse_newer
    from upscore.report.sweep_tables import FILE, FORMAT_VERSION
    from upscore.training.setup import setting_differences

    path = out / FILE
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise SettingsError(f"{out}: exists and is no sweep; choose another --out")
        return
    kept = read_json(path)
    refuse_newer(path, kept, FORMAT_VERSION)
    before = list(kept.get("swept") or ())
    if before != list(about["swept"]):
        raise SettingsError(
            f"{out}: holds another sweep, of {', '.join(before)} and not of "
            f"{', '.join(about['swept'])}; choose another --out"
        )
    different = setting_differences(kept.get("base") or {}, about["base"])
    fingerprint = (kept.get("data") or {}).get("fingerprint")
    if fingerprint != about["data"]["fingerprint"]:
        different.append(
            f"data set {(kept.get('data') or {}).get('path')} (fingerprint {fingerprint}) in the "
            f"run, {about['data']['path']} ({about['data']['fingerprint']}) now"
        )
    if different:
        raise SettingsError(
            f"{out}: holds another sweep; choose another --out. Different: {'; '.join(different)}"
        )


def _standings(out: Path, grid: Grid, dataset: DataSet) -> dict[str, RunStatus]:
    """How far each training is. Raises SettingsError or RunError where its folder is another's."""
    from upscore.core.run_folder import RunFolder
    from upscore.training.setup import run_status

    return {
        point.name: run_status(RunFolder(out / point.name), point.recipe, dataset)
        for point in grid.points
    }


class _Trainings:
    """Trainings in processes of their own, some at a time.

    A process for each: its memory is its own, and one that dies takes no other along. They are in
    sessions of their own, so that Ctrl-C reaches this process alone, which then lets go of theirs
    (see :mod:`upscore.cli.exit_with_parent`) and waits until they have saved.
    """

    def __init__(self, recipe: str, data: Path, out: Path, processes: int) -> None:
        self.recipe, self.data, self.out, self.processes = recipe, data, out, processes
        self._lock = threading.Lock()
        self._stopped = False
        self._running: list[subprocess.Popen[str]] = []

    def run_all(self, points: Sequence[Point], ended: Callable[[Point, str | None], None]) -> None:
        """Train all; ``ended`` is told of each, with what went wrong or None, in this thread."""
        with ThreadPoolExecutor(self.processes, thread_name_prefix="sweep") as pool:
            futures = {pool.submit(self._run, point): point for point in points}
            try:
                for future in as_completed(futures):
                    ended(futures[future], future.result())
            except BaseException:
                self._stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            for child in self._running:
                assert child.stdin is not None
                child.stdin.close()

    def _run(self, point: Point) -> str | None:
        from upscore.cli.console import errors
        from upscore.core.files import make_folder

        log = self.out / "logs" / f"{point.name}.txt"
        make_folder(log.parent)
        told: list[str] = []
        with log.open("a", encoding="utf-8") as stream:
            child = self._begin(point, stream)
            if child is None:
                return "stopped"
            with child:
                assert child.stderr is not None
                for line in child.stderr:
                    stream.write(line)
                    stream.flush()
                    told.append(line.rstrip())
                    errors.print(f"{point.name}: {told[-1]}", markup=False)
                code = child.wait()
                with self._lock:
                    self._running.remove(child)
        return None if code == 0 else complaint(told, code)

    def _begin(self, point: Point, stream: Any) -> subprocess.Popen[str] | None:
        command = [
            *TRAIN, self.recipe, "--data", str(self.data), "--out", str(self.out / point.name),
            "--resume", "--set", *point.assignments,
        ]  # fmt: skip
        with self._lock:
            if self._stopped:
                return None
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=os.environ | self._cores(),
                start_new_session=True,
            )
            self._running.append(child)
        return child

    def _cores(self) -> dict[str, str]:
        """Each one's part, unless the user has said how many."""
        from upscore.core.parallel.processes import num_cores

        if self.processes == 1:
            return {}
        part = str(max(1, num_cores() // self.processes))
        names = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
        return {name: part for name in names if name not in os.environ}


def complaint(told: Sequence[str], code: int) -> str:
    """Why a training failed, from what it said and its exit status."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"ended by {name}" + (", most likely of too little memory" if code == -9 else "")
    begins = [place for place, line in enumerate(told) if line.startswith("upscore: ")]
    if begins:
        lines = [line.removeprefix("upscore: ").strip() for line in told[begins[-1] :]]
        return " ".join(line for line in lines if line)
    said = [line for line in told if line.strip()]
    return f"exit status {code}" + (f": {said[-1].strip()}" if said else "")


def _print(runs: Sequence[SweptRun], out: Path, data: Path) -> None:
    from upscore.cli.compare import rows_table
    from upscore.cli.console import console
    from upscore.report.sweep_tables import NOTE, group_rows, grouped, run_rows, shown

    groups = grouped(runs)
    console.print(rows_table(run_rows(runs)))
    console.print()
    console.print(rows_table(group_rows(groups)))
    console.print(NOTE, markup=False)
    scored = [(group.last.mean, group) for group in groups if group.last.mean is not None]
    if len(scored) > 1:
        mean, first = max(scored, key=lambda pair: pair[0])
        settings = ", ".join(f"{key}={shown(value)}" for key, value in first.settings.items())
        console.print(f"Highest mean of the last mIoU: {mean:.4f} with {settings}", markup=False)
    console.print(f"Tables and runs: {out}", markup=False)
    finished = [str(out / run.name) for run in runs if run.status == "finished"]
    if len(finished) > 1:
        console.print(
            f"Next: upscore compare {finished[0]} {finished[1]} --data {data}", markup=False
        )
