"""Training log: log.csv, and what the hooks of the recipe get."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from upscore.core.files import atomic_path, explain_os_error
from upscore.core.run_folder import RunFolder
from upscore.core.tables import read_csv
from upscore.training.log_hooks import LogName, open_hooks

COLUMNS = (
    "iteration",
    "fraction",
    "seconds",
    "images",
    "loss",
    "lr",
    "val_miou",
    "val_pixel_accuracy",
    "memory_mib",
)
HOOKED = ("loss", "lr", "val_miou", "val_pixel_accuracy")
"""Columns that hooks get."""


class RunLog:
    """Appends rows to ``log.csv``; a resumed run drops the rows after its state first.

    Args:
        log_to: hooks that get the rows too; None: TensorBoard where it is installed.
    """

    def __init__(
        self, path: Path, *, after_iteration: int, log_to: Sequence[LogName] | None = None
    ) -> None:
        self.path = path
        self._keep_until(after_iteration)
        self._hooks = open_hooks(log_to, RunFolder(path.parent), after_iteration)

    def _keep_until(self, iteration: int) -> None:
        rows: list[list[str]] = []
        if self.path.exists() and iteration > 0:
            for row in read_csv(self.path, "remove it to continue without its curve"):
                # an older half row may be in between
                whole = len(row) == len(COLUMNS) and row[0].isdecimal() and len(row[0]) < 18
                if whole and int(row[0]) <= iteration:
                    rows.append(row)
        with atomic_path(self.path) as temporary, temporary.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(COLUMNS)
            writer.writerows(rows)

    def write(self, values: dict[str, Any]) -> None:
        """One row; columns that are missing stay empty."""
        cells = [_cell(values.get(column)) for column in COLUMNS]
        try:
            with self.path.open("a", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerow(cells)
        except OSError as error:
            raise explain_os_error(error, self.path) from error
        given = {name: values[name] for name in HOOKED if values.get(name) is not None}
        self._hooks.on_row(values["iteration"], given)

    def close(self) -> None:
        self._hooks.close()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.9g}" if isinstance(value, float) else str(value)
