"""Write one self-contained HTML page about a run, or a comparison of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from upscore.core.files import write_text
from upscore.core.plural import file_size
from upscore.core.run_folder import RunFolder
from upscore.errors import SettingsError
from upscore.report.page import comparison_page, run_page
from upscore.report.run_data import read_run


@dataclass(frozen=True, repr=False)
class ReportResult:
    """The page that was written, and its size in bytes."""

    page: Path
    size: int

    def __repr__(self) -> str:
        return f"<ReportResult: {self.page}, {file_size(self.size)}>"

    def _repr_html_(self) -> str:
        """The page in a frame, for notebooks."""
        page = self.page.read_text(encoding="utf-8")
        return (
            f'<iframe srcdoc="{escape(page)}" width="100%" height="600" '
            f'title="{escape(str(self.page))}"></iframe>'
        )

    def to_dict(self) -> dict[str, Any]:
        """The path and size as JSON values."""
        return {"page": str(self.page), "size": self.size}


def report(runs: Sequence[str | Path], *, out: str | Path | None = None) -> ReportResult:
    """Write the page of one run folder, or a comparison of several.

    Args:
        out: the page; None for ``report.html`` in the run folder. Required for a comparison.

    Raises:
        SettingsError: no run is given, one is given twice, or a comparison without ``out``.
        NotFoundError, RunError: a folder is not a run, or is damaged.
        OutputError: the page cannot be written.
    """
    folders = [Path(run) for run in runs]
    if not folders:
        raise SettingsError("name a run folder, as in: upscore report runs/first")
    _refuse_twice(folders)
    if out is None and len(folders) > 1:
        raise SettingsError(
            f"a comparison of {len(folders)} runs needs an output file: add --out comparison.html"
        )
    target = RunFolder(folders[0]).report if out is None else Path(out)
    if target.is_dir():
        raise SettingsError(
            f"--out {target} is a folder; name a file, for example {target}/report.html"
        )
    data = [read_run(folder) for folder in folders]
    page = run_page(data[0]) if len(data) == 1 else comparison_page(data)
    write_text(target, page)
    return ReportResult(target, len(page.encode()))


def _refuse_twice(folders: Sequence[Path]) -> None:
    """Raise SettingsError for a run that is given twice, under whatever path."""
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() in seen:
            others = len(folders) > 2
            raise SettingsError(
                f"{folder}: the same run twice; "
                + ("name each once" if others else f"its own page: upscore report {folder}")
            )
        seen.add(folder.resolve())
