"""Train a recipe once for each combination of settings, each in its own process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from upscore.core.damage import reading
from upscore.core.files import make_folder, read_json, refuse_newer, write_text
from upscore.core.lock import claim, files_in
from upscore.core.option_values import require_at_least
from upscore.core.parallel.processes import num_cores
from upscore.core.progress import Notice, OnProgress, Progress, ignore_progress
from upscore.core.run_folder import RunFolder
from upscore.core.runtime import command_line, installed_version
from upscore.data import DataSet, open_dataset
from upscore.errors import InterruptedWorkError, RunError, SettingsError, UpscoreError
from upscore.report.sweep_page import sweep_page
from upscore.report.sweep_tables import (
    FILE,
    FORMAT_VERSION,
    Group,
    SweptRun,
    grouped,
    read_swept,
    write_sweep,
)
from upscore.training.setup import RunStatus, check_training, run_status, setting_differences
from upscore.workflows.sweep_grid import SweepConfig, SweepGrid, make_grid

TRAIN = (sys.executable, "-m", "upscore.workflows.train_process", "train")
"""The command of a training; its arguments follow."""

CHECKED = {"model", "init", "data", "crops", "stages", "device", "precision", "log_to"}
"""The parts of a recipe on which :func:`check_training` depends."""


@dataclass(frozen=True)
class SweepResult:
    """The trainings of a sweep.

    Attributes:
        runs: all trainings, the last swept setting changing fastest.
        num_finished_before: how many were finished when the sweep began.
        folder: run folders, tables and logs.
    """

    runs: tuple[SweptRun, ...]
    num_finished_before: int
    folder: Path

    @property
    def groups(self) -> list[Group]:
        """Means over seeds, one group for each combination of the other settings."""
        return grouped(self.runs)

    @property
    def failed(self) -> tuple[SweptRun, ...]:
        """Trainings that failed; ``message`` says why."""
        return tuple(run for run in self.runs if run.status == "failed")

    def to_dict(self) -> dict[str, Any]:
        """Runs, means over seeds and the folder as JSON values."""
        return {
            "runs": [asdict(run) for run in self.runs],
            "groups": [asdict(group) for group in self.groups],
            "folder": str(self.folder),
        }


def sweep(
    recipe: str | Path,
    *,
    data: str | Path,
    out: str | Path,
    assignments: Sequence[str],
    processes: int = 1,
    on_progress: OnProgress = ignore_progress,
) -> SweepResult:
    """Train a recipe once for each combination of settings, and compare the runs.

    The same call resumes a stopped sweep: finished trainings are kept, failed ones are retried.
    The output of the trainings is written to ``out/logs``.

    Args:
        recipe: name of a shipped recipe, or a YAML file.
        data: the data set: a folder of a known layout, or a dataset.yaml.
        out: output folder for tables, logs and a run folder for each training.
        assignments: ``KEY=VALUE,VALUE`` settings, see :func:`make_grid`.
        processes: number of trainings at the same time; they share the cores.
        on_progress: counts finished trainings; notices are lines of single trainings. Called from
            several threads, one call at a time.

    Raises:
        SettingsError: invalid settings, nothing to sweep, or ``out`` holds something else.
        RunError: a run folder in ``out`` holds another training, or is damaged.
        DataError, NotFoundError: the data set, weights or boxes cannot be read.
        InterruptedWorkError: Ctrl-C; everything is saved.
        OutputError: ``out`` cannot be written.
    """
    require_at_least(1, processes=processes)
    recipe, data, out = str(recipe), Path(data), Path(out)
    grid = make_grid(recipe, assignments)
    dataset = open_dataset(data)
    _check_recipes(grid, dataset, data)
    about = {
        "recipe": recipe,
        "swept": {key: list(values) for key, values in grid.swept.items()},
        "base": grid.base(),
        "data": dataset.describe(data),
        "command": command_line(),
        "upscore": installed_version("upscore"),
    }
    _check_folder(out, about)
    with claim(out, "a sweep"):
        return _sweep(recipe, data, out, grid, dataset, about, processes, on_progress)


def _sweep(
    recipe: str,
    data: Path,
    out: Path,
    grid: SweepGrid,
    dataset: DataSet,
    about: dict[str, Any],
    processes: int,
    on_progress: OnProgress,
) -> SweepResult:
    """The sweep in a folder that no other job uses."""
    for config in grid.configs:  # after a kill, its trainings save before they end
        if (out / config.name).is_dir():
            with claim(out / config.name, "a sweep", wait=True):
                pass
    statuses = _run_statuses(out, grid, dataset)
    runs = {
        config.name: read_swept(out / config.name, config.settings)
        if statuses[config.name] == "finished"
        else SweptRun(config.name, config.settings, "unfinished")
        for config in grid.configs
    }
    _write(list(runs.values()), out, about)
    unfinished = [config for config in grid.configs if statuses[config.name] != "finished"]
    num_before = len(grid.configs) - len(unfinished)
    lock = threading.Lock()

    def report(*lines: str) -> None:
        with lock:
            done = sum(run.status != "unfinished" for run in runs.values())
            on_progress(Progress("trainings", done, len(runs), notices=tuple(map(Notice, lines))))

    def ended(config: SweepConfig, problem: str | None) -> None:
        runs[config.name] = (
            read_swept(out / config.name, config.settings)
            if problem is None
            else SweptRun(config.name, config.settings, "failed", message=problem)
        )
        _write(list(runs.values()), out, about)
        report()

    report()
    try:
        _Trainings(recipe, data, out, processes, report).run_all(unfinished, ended)
    except KeyboardInterrupt as error:
        raise InterruptedWorkError(
            "stopped; everything is saved. To continue, run the same command"
        ) from error
    return SweepResult(tuple(runs.values()), num_before, out)


def _write(runs: Sequence[SweptRun], out: Path, about: dict[str, Any]) -> None:
    write_sweep(runs, out, about=about)
    write_text(out / "page.html", sweep_page(runs, about=about))


def _check_recipes(grid: SweepGrid, dataset: DataSet, data: Path) -> None:
    """All checks that need no training. Raises SettingsError with every problem."""
    different: dict[str, SweepConfig] = {}
    for config in grid.configs:
        different.setdefault(config.recipe.model_dump_json(include=CHECKED), config)
    problems = []
    for config in different.values():
        try:
            check_training(config.recipe, dataset, data)
        except UpscoreError as error:
            problems.append(f"{config.name}: {error}")
    if problems:
        raise SettingsError("\n".join(problems))


def _check_folder(out: Path, about: dict[str, Any]) -> None:
    """Refuse a folder of another sweep; the same sweep may have more values than before.

    Raises:
        SettingsError: the folder holds another sweep, or something else.
    """
    path = out / FILE
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(files_in(out))):
            raise SettingsError(f"{out}: exists and is not a sweep; choose another --out")
        return
    kept = read_json(path)
    refuse_newer(path, kept, FORMAT_VERSION)
    with reading(path, "damaged", "choose another --out", error=RunError):
        before = [str(key) for key in kept.get("swept") or ()]
    if before != list(about["swept"]):
        raise SettingsError(
            f"{out}: holds another sweep, over {', '.join(before)}, not over "
            f"{', '.join(about['swept'])}; choose another --out"
        )
    different = setting_differences(kept.get("base") or {}, about["base"])
    data, given = kept.get("data") or {}, about["data"]
    if data.get("fingerprint") != given["fingerprint"]:
        different.append(
            f"data set {data.get('path')} (fingerprint {data.get('fingerprint')}) in the run, "
            f"{given['path']} ({given['fingerprint']}) now"
        )
    if different:
        raise SettingsError(
            f"{out}: holds another sweep; choose another --out. Different: {'; '.join(different)}"
        )


def _run_statuses(out: Path, grid: SweepGrid, dataset: DataSet) -> dict[str, RunStatus]:
    """State of each training. Raises SettingsError or RunError if its folder holds another run."""
    return {
        config.name: run_status(RunFolder(out / config.name), config.recipe, dataset)
        for config in grid.configs
    }


class _Trainings:
    """Runs trainings in separate processes, some at a time, with logs in ``out/logs``.

    The processes have their own sessions, so that Ctrl-C reaches only this one, which then
    closes their standard input (see :mod:`upscore.workflows.train_process`) and waits until they
    have saved. ``report`` is called with each line of progress.
    """

    def __init__(
        self, recipe: str, data: Path, out: Path, processes: int, report: Callable[[str], None]
    ) -> None:
        self.recipe, self.data, self.out, self.processes = recipe, data, out, processes
        self._report = report
        self._lock = threading.Lock()
        self._stopped = False
        self._running: list[subprocess.Popen[str]] = []

    def run_all(
        self, configs: Sequence[SweepConfig], ended: Callable[[SweepConfig, str | None], None]
    ) -> None:
        """Train all; calls ``ended`` in this thread with each, and its error message or None."""
        with ThreadPoolExecutor(self.processes, thread_name_prefix="sweep") as pool:
            futures = {pool.submit(self._run, config): config for config in configs}
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

    def _run(self, config: SweepConfig) -> str | None:
        log = self.out / "logs" / f"{config.name}.txt"
        make_folder(log.parent)
        with log.open("a", encoding="utf-8") as stream:
            begin = stream.tell()
            child = self._begin(config, stream)
            if child is None:
                return "stopped"
            error = None
            with child:
                assert child.stdout is not None
                for line in child.stdout:
                    event = json.loads(line)
                    error = event.get("error", error)
                    text = event.get("notice", event.get("error"))
                    if "progress" in event:
                        text = f"{event['progress']:.0%} {event['text']}"
                    stream.write(f"{text}\n")
                    stream.flush()
                    if "error" not in event:
                        self._report(f"{config.name}: {text}")
                code = child.wait()
                with self._lock:
                    self._running.remove(child)
        if code == 0:
            return None
        lines = log.read_bytes()[begin:].decode("utf-8", "replace").splitlines()
        return failure_reason(error, lines, code)

    def _begin(self, config: SweepConfig, log: IO[str]) -> subprocess.Popen[str] | None:
        command = [
            *TRAIN, self.recipe, "--data", str(self.data), "--out", str(self.out / config.name),
            "--resume", "--set", *config.assignments,
        ]  # fmt: skip
        environment = dict(os.environ)
        if self.processes > 1:  # thread counts, unless the user has set them
            part = str(max(1, num_cores() // self.processes))
            environment = {"OMP_NUM_THREADS": part, "NUMBA_NUM_THREADS": part} | environment
        with self._lock:
            if self._stopped:
                return None
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=environment,
                start_new_session=True,
            )
            self._running.append(child)
        return child


def failure_reason(error: str | None, lines: Sequence[str], code: int) -> str:
    """Why a training failed: its error, the signal that ended it, or the last line of its log."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"ended by {name}" + (", probably out of memory" if code == -9 else "")
    if error is not None:
        return " ".join(line.strip() for line in error.splitlines() if line.strip())
    written = [line for line in lines if line.strip()]
    return f"exit status {code}" + (f": {written[-1].strip()}" if written else "")
