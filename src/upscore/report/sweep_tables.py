"""The runs of a sweep side by side: each one, and the mean and deviation over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from upscore.core.files import write_json, write_text
from upscore.core.run_folder import RunFolder
from upscore.core.tables import Row, Table, write_csv
from upscore.report.run_data import read_curve

FORMAT_VERSION = 1
FILE = "sweep.json"
SEED = "seed"
"""The setting over which means are taken."""


@dataclass(frozen=True)
class SweptRun:
    """One training of a sweep.

    Attributes:
        name: of its run folder.
        settings: the swept ones, by dotted key.
        status: ``finished``, ``failed`` or ``unfinished`` (not begun, or stopped on its way).
        best, last: highest and last validation mIoU of a finished one, in [0, 1]; None where it
            has nothing to score.
        seconds: wall time of its training, validations included; None where it is not finished.
        message: why it failed.
    """

    name: str
    settings: dict[str, Any]
    status: str
    best: float | None = None
    last: float | None = None
    seconds: float | None = None
    message: str | None = None


@dataclass(frozen=True)
class Spread:
    """Mean, and standard deviation of a sample (divided by one less than the number).

    Both are None where there is no value, the deviation also where there is only one.
    """

    mean: float | None
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Spread:
        known = [value for value in values if value is not None]
        return cls(
            statistics.fmean(known) if known else None,
            statistics.stdev(known) if len(known) > 1 else None,
        )


@dataclass(frozen=True)
class Group:
    """The finished runs that differ in their seed only.

    Attributes:
        settings: the swept ones but the seed.
        runs, of: how many are finished, of how many.
    """

    settings: dict[str, Any]
    runs: int
    of: int
    best: Spread
    last: Spread
    seconds: Spread


def read_swept(folder: Path, settings: dict[str, Any]) -> SweptRun:
    """A finished run from its log; of a recipe of stages, the scores of the last one and the time
    of all.

    Raises:
        RunError: a damaged log.
    """
    run = RunFolder(folder)
    curve = read_curve(run.log)
    logs = sorted((folder / "stages").glob("*/log.csv"))
    seconds = [curve.seconds, *(read_curve(path).seconds for path in logs)]
    scores = curve.val_miou
    return SweptRun(
        folder.name,
        settings,
        "finished",
        best=max(scores) if scores else None,
        last=scores[-1] if scores else None,
        seconds=sum(value for value in seconds if value is not None),
    )


def grouped(runs: Sequence[SweptRun]) -> list[Group]:
    """Means over seeds, in the order of the runs."""
    together: dict[str, list[SweptRun]] = {}
    for run in runs:
        together.setdefault(repr(_without_seed(run)), []).append(run)
    groups = []
    for members in together.values():
        done = [run for run in members if run.status == "finished"]
        groups.append(
            Group(
                _without_seed(members[0]),
                len(done),
                len(members),
                Spread.of([run.best for run in done]),
                Spread.of([run.last for run in done]),
                Spread.of([run.seconds for run in done]),
            )
        )
    return groups


def _without_seed(run: SweptRun) -> dict[str, Any]:
    return {key: value for key, value in run.settings.items() if key != SEED}


def write_sweep(runs: Sequence[SweptRun], folder: Path, *, about: dict[str, Any]) -> None:
    """Write sweep.json, sweep.md, sweep.csv (means over seeds) and runs.csv into ``folder``.

    Args:
        about: what sweep.json holds of the grid besides, JSON values.

    Raises:
        OutputError: the folder cannot be written.
    """
    groups = grouped(runs)
    write_json(
        folder / FILE,
        {
            "format_version": FORMAT_VERSION,
            **about,
            "runs": [asdict(run) for run in runs],
            "groups": [asdict(group) for group in groups],
        },
    )
    settings = list(groups[0].settings)
    write_csv(
        folder / "sweep.csv",
        (*settings, "runs", "of", "best_miou", "best_miou_deviation", "last_miou",
         "last_miou_deviation", "seconds", "seconds_deviation"),
        (
            (*map(shown, group.settings.values()), group.runs, group.of, group.best.mean,
             group.best.deviation, group.last.mean, group.last.deviation, group.seconds.mean,
             group.seconds.deviation)
            for group in groups
        ),
    )  # fmt: skip
    write_csv(
        folder / "runs.csv",
        ("name", *runs[0].settings, "status", "best_miou", "last_miou", "seconds", "message"),
        (
            (run.name, *map(shown, run.settings.values()), run.status, run.best, run.last,
             run.seconds, run.message)
            for run in runs
        ),
    )  # fmt: skip
    write_text(folder / "sweep.tex", group_table(groups).latex())
    parts = [
        f"# Sweep of {about.get('recipe', 'a recipe')}\n",
        f"{NOTE}\n",
        group_table(groups).markdown(),
        "## Runs\n",
        run_table(runs).markdown(),
    ]
    failed = [f"- {run.name}: {run.message}\n" for run in runs if run.message]
    if failed:
        parts += ["## Failed\n", "".join(failed)]
    write_text(folder / "sweep.md", "\n".join(parts))


NOTE = (
    "Validation mIoU, the best and the last one of each run: mean and standard deviation of the "
    "sample over seeds. The best one is chosen on the same photos, so it is too optimistic."
)


def group_table(groups: Sequence[Group]) -> Table:
    """One row for each combination of settings but the seed."""
    rows: list[Row] = []
    for group in groups:
        runs = str(group.runs) if group.runs == group.of else f"{group.runs} of {group.of}"
        rows.append(
            (*map(shown, group.settings.values()), runs, group.best.mean, group.best.deviation,
             group.last.mean, group.last.deviation, _whole(group.seconds.mean))
        )  # fmt: skip
    header = ("runs", "best mIoU", "deviation", "last mIoU", "deviation", "seconds")
    return Table((*groups[0].settings, *header), rows)


def run_table(runs: Sequence[SweptRun]) -> Table:
    """One row a run."""
    rows = [(run.name, run.status, run.best, run.last, _whole(run.seconds)) for run in runs]
    return Table(("run", "status", "best mIoU", "last mIoU", "seconds"), rows)


def shown(value: Any) -> str:
    """A setting as it is written on the command line: ``1e-05``, ``[32, 32]``, ``null``."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)
