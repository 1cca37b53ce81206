"""``upscore report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from upscore.cli.console import console, keep_result
from upscore.cli.options import OptionalPath, announced
from upscore.core.plural import file_size


def report(
    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="[RUN...]")] = (),
    /,
    *,
    out: OptionalPath = None,
) -> None:
    """Write one self-contained HTML page about a run, or a comparison of several runs.

    Args:
        runs: Run folder, or several to compare; by default the last run in runs/.
        out: Output file; by default RUN/report.html. Required for a comparison.
    """
    from upscore.core.run_folder import RunFolder
    from upscore.core.runs_folder import require_last_run

    for run in runs:
        RunFolder.open(run)

    from upscore.workflows.report import report as write_report

    result = write_report(runs or (announced(require_last_run()),), out=out)
    keep_result(result)
    console.print(f"Report: {result.page} ({file_size(result.size)})")
