"""Tables as CSV files, as Markdown, and for the screen."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscore.core.damage import read_text, reading
from upscore.core.files import write_text
from upscore.core.printable import one_line, printable
from upscore.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table as ScreenTable

Row = Sequence[Any]

MOST_BYTES = 64_000_000
"""Of a CSV file; the log of a million rows has as many."""

LEAST_TEXT = 8
"""Characters to which a column of text may shrink on a narrow screen."""

FORMULA = ("=", "+", "-", "@", "\t")
"""With these a cell of a spreadsheet begins that is a formula, or hides one."""


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

    def latex(self, numeric: Sequence[bool] | None = None) -> str:
        """The table for LaTeX, with the rules of the package booktabs.

        Args:
            numeric: whether each column holds numbers, which are aligned to the right; by default
                columns without text.
        """
        columns = range(len(self.header))
        right = [not self._is_text(column) for column in columns] if numeric is None else numeric
        rows = [
            [f"{v:.{self.digits}f}" if isinstance(v, float) else v for v in row]
            for row in self.rows
        ]
        lines = [" & ".join(map(_latex_cell, row)) + r" \\" for row in [list(self.header), *rows]]
        align = "".join("r" if is_right else "l" for is_right in right)
        return "\n".join(
            [rf"\begin{{tabular}}{{{align}}}", r"\toprule", lines[0], r"\midrule", *lines[1:],
             r"\bottomrule", r"\end{tabular}", ""]
        )  # fmt: skip

    def html(self) -> str:
        """The table as HTML, for notebooks; cells of None are empty."""
        head = "".join(f"<th>{escape(str(name))}</th>" for name in self.header)
        lines = []
        for row in self.rows:
            texts = ("" if v is None else f"{v:.{self.digits}f}" if isinstance(v, float) else str(v)
                     for v in row)  # fmt: skip
            lines.append("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in texts) + "</tr>")
        return f"<table><tr>{head}</tr>{''.join(lines)}</table>"

    def screen(self, *, left: Collection[int] | None = None) -> Fitting:
        """The table for a console; None is a dash, whole numbers have thousands separators.

        Where the screen is too narrow for it, a list of the same.

        Args:
            left: columns to align to the left; by default those with text.
        """
        from rich.table import Table as ScreenTable
        from rich.text import Text

        gap = 2 if len(self.header) < 7 else 1
        table = ScreenTable(show_header=bool(self.header), box=None, padding=(0, gap, 0, 0))
        needed = 0
        for column, name in enumerate(self.header or self.rows[0]):
            is_left = self._is_text(column) if left is None else column in left
            width = max((len(self._shown(row[column])) for row in self.rows), default=0)
            # a long name over narrow cells takes several lines, so that more columns fit
            stacked = column > 0 and len(str(name)) > width
            title = one_line(str(name)).replace(" ", "\n" if stacked else " ")
            least = min(width, LEAST_TEXT) if column else min(max(width, 8), 26)
            table.add_column(
                Text(title),
                justify="left" if is_left else "right",
                overflow="fold",
                no_wrap=not is_left,
                min_width=None if column else least,
            )
            over = max(map(len, title.split("\n"))) if self.header else 0
            needed += gap + (least if is_left else max(width, over, 0 if column else least))
        for row in self.rows:
            table.add_row(*(Text(self._shown(value)) for value in row))  # Text: no markup
        return Fitting(table, needed, self._as_list())

    def _as_list(self) -> list[str]:
        """A line for the first cell of each row, and one for each other cell below it."""
        lines = []
        for row in self.rows:
            first, *others = map(self._shown, row)
            lines.append(first)
            titles = [f"{one_line(str(name))} " for name in self.header] or [""] * len(row)
            lines += [f"  {t}{v}" for t, v in zip(titles[1:], others, strict=True) if v]
        return lines

    def _is_text(self, column: int) -> bool:
        return any(isinstance(row[column], str) for row in self.rows)

    def _shown(self, value: Any) -> str:
        if value is None:
            return "-"
        if isinstance(value, float):
            return f"{value:.{self.digits}f}"
        return f"{value:,}" if isinstance(value, int) else one_line(str(value))


@dataclass(frozen=True)
class Fitting:
    """A table of the screen, or a list where its numbers do not fit."""

    table: ScreenTable
    needed: int
    lines: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        if self.needed <= options.max_width:
            yield self.table
        else:
            yield from map(Text, self.lines)


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def _latex_cell(cell: Any) -> str:
    text = "" if cell is None else one_line(str(cell))
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _markdown_line(cells: Row) -> str:
    shown = ("" if cell is None else str(cell) for cell in cells)
    escaped = (cell.replace("|", "\\|").replace("\n", " ") for cell in shown)
    return f"| {' | '.join(escaped)} |\n"


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a CSV file atomically; None becomes an empty cell.

    Text that spreadsheets would take for a formula gets an apostrophe before it, and control
    characters are escaped.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_harmless, header))
    writer.writerows(map(_harmless, row) for row in rows)
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


def _harmless(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    try:
        float(cell)
    except ValueError:
        text = printable(cell)
        return f"'{text}" if text.startswith(FORMULA) else text
    return cell
