"""``upscore report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from upscore.errors import SettingsError


def report(
    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN...")],
    /,
    *,
    out: Annotated[Path | None, arg(metavar="PATH")] = None,
) -> None:
    """Write one self-contained HTML page about a run, or comparing several.

    Args:
        runs: Run folder, or several to compare.
        out: The page to write; by default RUN/report.html. A comparison needs it.
    """
    from upscore.cli.console import console
    from upscore.core.files import write_text
    from upscore.core.run_folder import RunFolder
    from upscore.report.page import comparison_page, run_page
    from upscore.report.run_data import read_run

    if not runs:
        raise SettingsError("name a run folder, as in: upscore report runs/first")
    if out is None and len(runs) > 1:
        raise SettingsError(
            f"a comparison of {len(runs)} runs needs a place to go: add --out comparison.html"
        )
    target = out or RunFolder(runs[0]).report
    if target.is_dir():
        raise SettingsError(f"--out {target} is a folder; name a file, as in {target}/report.html")
    data = [read_run(run) for run in runs]
    page = run_page(data[0]) if len(data) == 1 else comparison_page(data)
    write_text(target, page)
    console.print(f"Report: {target} ({len(page.encode()) / 2**20:.1f} MiB)", markup=False)
