"""``upscore sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from upscore.cli.console import console, keep_result
from upscore.cli.options import Assignments, Data, Recipe, joined
from upscore.cli.progress import ProgressDisplay
from upscore.core.failures import format_failures
from upscore.core.option_values import require_at_least
from upscore.errors import WorkError

if TYPE_CHECKING:
    from upscore.workflows.sweep import SweepResult


def sweep(
    recipe: Positional[Recipe],
    /,
    *,
    data: Data,
    out: Path,
    set: Annotated[Assignments, arg(metavar="KEY=VALUE,VALUE")] = (),
    processes: int = 1,
) -> None:
    """Train a recipe once for each combination of settings, and compare the runs.

    Rerun the same command to resume: finished runs are kept, and failed ones are retried.

    Args:
        out: Output folder for the tables and a run folder for each training.
        set: Settings with the values to try, for example
            --set optim.lr=1e-5,1e-4 seed=0,1,2. A setting with one value is the same
            in all trainings. A list in brackets is one value.
        processes: Number of trainings at the same time; they share the cores.
    """
    require_at_least(1, processes=processes)

    from upscore.data.detect import require_data
    from upscore.workflows.sweep_grid import make_grid

    make_grid(recipe, joined(set))  # its mistakes are found before torch is imported
    require_data(data)

    from upscore.workflows.sweep import sweep as run_sweep

    with ProgressDisplay() as on_progress:
        result = run_sweep(
            recipe,
            data=data,
            out=out,
            assignments=joined(set),
            processes=processes,
            on_progress=on_progress,
        )
    keep_result(result)
    print_result(result, data)
    if failed := [f"{run.name}: {run.message}" for run in result.failed]:
        others = "; all others are done" if len(failed) < len(result.runs) else ""
        begin = f"{len(failed)} of {len(result.runs)} trainings failed{others}:"
        raise WorkError(
            format_failures(begin, failed, rest="see runs.csv")
            + f"\nTheir output is in {out / 'logs'}; run the same command to retry them"
        )


def print_result(result: SweepResult, data: Path) -> None:
    """Tables of all trainings and of the means over seeds, the best combination, what is next."""
    from upscore.report.sweep_tables import NOTE, group_table, run_table, shown

    before = result.num_finished_before
    console.print(
        f"{len(result.runs)} trainings" + (f", {before} of them finished before" if before else "")
    )
    groups = result.groups
    console.print(run_table(result.runs).screen())
    console.print()
    console.print(group_table(groups).screen())
    console.print(NOTE)
    scored = [(group.last.mean, group) for group in groups if group.last.mean is not None]
    if len(scored) > 1:
        mean, first = max(scored, key=lambda pair: pair[0])
        settings = ", ".join(f"{key}={shown(value)}" for key, value in first.settings.items())
        console.print(f"Highest mean of the last mIoU: {mean:.4f} with {settings}")
    console.print(f"Page: {result.folder / 'page.html'}\nTables and runs: {result.folder}")
    finished = [str(result.folder / run.name) for run in result.runs if run.status == "finished"]
    if len(finished) > 1:
        console.print(f"Next: upscore compare {finished[0]} {finished[1]} --data {data}")
