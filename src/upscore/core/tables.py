"""Tables as CSV files, as Markdown, and for the screen."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscore.core.damage import read_text, reading
from upscore.core.files import write_text
from upscore.errors import RunError

if TYPE_CHECKING:
    from rich.table import Table as ScreenTable

Row = Sequence[Any]

MOST_BYTES = 64_000_000
"""Of a CSV file; the log of a million rows has as many."""


@dataclass(frozen=True)
class Table:
    """Rows below a header; columns of numbers are aligned to the right.

    Attributes:
        header: a name for each column; empty for a table without one.
        rows: cells: text, numbers, or None where there is no value.
        digits: after the point, of numbers that are not whole; CSV files hold all digits.
    """

    header: Row
    rows: Sequence[Row]
    digits: int = 4

    def write_csv(self, path: Path) -> None:
        """Write a CSV file atomically; None becomes an empty cell."""
        write_csv(path, self.header, self.rows)

    def markdown(self) -> str:
        """The table in Markdown; cells of None are empty."""
        columns = range(len(self.header))
        lines = [self.header, ["---" if self._is_text(column) else "---:" for column in columns]]
        for row in self.rows:
            lines.append([f"{v:.{self.digits}f}" if isinstance(v, float) else v for v in row])
        return "".join(_markdown_line(line) for line in lines)

    def screen(self, *, left: Collection[int] | None = None) -> ScreenTable:
        """The table for a console; None is a dash, whole numbers have thousands separators.

        Args:
            left: columns to align to the left; by default those with text.
        """
        from rich.table import Table as ScreenTable
        from rich.text import Text

        gap = 2 if len(self.header) < 7 else 1
        table = ScreenTable(show_header=bool(self.header), box=None, padding=(0, gap, 0, 0))
        for column, name in enumerate(self.header or self.rows[0]):
            is_left = self._is_text(column) if left is None else column in left
            width = max((len(self._shown(row[column])) for row in self.rows), default=0)
            # a long name over narrow cells takes several lines, so that more columns fit
            stacked = column > 0 and len(str(name)) > width
            table.add_column(
                Text(str(name).replace(" ", "\n") if stacked else str(name)),
                justify="left" if is_left else "right",
                overflow="fold",
                no_wrap=not is_left,
                min_width=None if column else min(max(width, 8), 26),
            )
        for row in self.rows:
            table.add_row(*(Text(self._shown(value)) for value in row))  # Text: no markup
        return table

    def _is_text(self, column: int) -> bool:
        return any(isinstance(row[column], str) for row in self.rows)

    def _shown(self, value: Any) -> str:
        if value is None:
            return "-"
        if isinstance(value, float):
            return f"{value:.{self.digits}f}"
        return f"{value:,}" if isinstance(value, int) else str(value)


def _markdown_line(cells: Row) -> str:
    shown = ("" if cell is None else str(cell) for cell in cells)
    escaped = (cell.replace("|", "\\|").replace("\n", " ") for cell in shown)
    return f"| {' | '.join(escaped)} |\n"


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a CSV file atomically; None becomes an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_csv(path: Path, fix: str) -> list[list[str]]:
    """The cells of a CSV file, row by row.

    A last line without an end is left out: a killed program wrote half of it.

    Args:
        fix: what to do about a file that is damaged.

    Raises:
        NotFoundError: no such file.
        RunError: not text, a cell of over 131,072 characters, or the like.
    """
    text = read_text(path, MOST_BYTES, error=RunError)
    whole = text[: text.rfind("\n") + 1]
    with reading(path, "damaged, not a table", fix, error=RunError):
        return list(csv.reader(io.StringIO(whole, newline="")))
