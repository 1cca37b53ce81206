"""Training log: log.csv and, where TensorBoard is installed, event files."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from upscore.core.files import atomic_path, explain_os_error
from upscore.core.tables import read_csv

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


class RunLog:
    """Appends rows to ``log.csv``; a resumed run drops the rows after its state first."""

    def __init__(self, path: Path, *, after_iteration: int) -> None:
        self.path = path
        self._keep_until(after_iteration)
        self._board = _open_board(path.parent / "events", after_iteration)

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
        if self._board is not None:
            for name in ("loss", "lr", "val_miou", "val_pixel_accuracy"):
                if values.get(name) is not None:
                    self._board.add_scalar(name, values[name], values["iteration"])

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _open_board(folder: Path, after_iteration: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # the extra `tensorboard` is not installed
        return None
    return SummaryWriter(folder, purge_step=after_iteration + 1)
