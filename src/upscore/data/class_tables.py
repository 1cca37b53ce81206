"""Tables of classes in CSV files: a value or a colour in each row, and the name of its class."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from upscore.core.labels import Color
from upscore.core.quoting import quote
from upscore.data.lists import read_lines
from upscore.errors import DataError

NAME = ("class", "name", "classname", "label", "labelname")
VALUE = ("pixelvalue", "value", "id", "index", "classid", "labelid", "trainid", "classindex")
RED_GREEN_BLUE = (("r", "red"), ("g", "green"), ("b", "blue"))
WANT = "expected a first line such as `Pixel Value, Class` or `name,r,g,b`, then a class in each"


def read_table(path: Path) -> Iterator[tuple[int | Color, str]]:
    """The rows of a CSV file with titles: the value or the colour of a class, and its name.

    Columns are separated by commas, semicolons or tabs; others than these are left out.

    Raises:
        NotFoundError, DataError: no such file, no such table, or a number that is none.
    """
    lines = read_lines(path)
    separator = next((sign for sign in "\t;" if lines and sign in lines[0]), ",")
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    except csv.Error as error:
        raise DataError(f"{path}: no table ({error}); {WANT}") from error
    titles = [_plain(title) for title in (rows[0] if rows else ())]
    name = _column(titles, NAME)
    values = [_column(titles, VALUE)]
    colors = [_column(titles, one) for one in RED_GREEN_BLUE]
    keys = colors if None not in colors else values
    if name is None or None in keys:
        raise DataError(f"{path}: {WANT} (found {quote(lines[0] if lines else '', 80)})")
    for row in rows[1:]:
        cells = [row[key] if key is not None and key < len(row) else "" for key in (*keys, name)]
        numbers = [int(cell) for cell in cells[:-1] if re.fullmatch(r"\d{1,5}", cell)]
        limit = 255 if len(keys) == 3 else 65535
        if len(numbers) != len(keys) or max(numbers) > limit or not cells[-1]:
            raise DataError(f"{path}: {quote(separator.join(row), 80)} is no class; {WANT}")
        yield numbers[0] if len(keys) == 1 else (numbers[0], numbers[1], numbers[2]), cells[-1]


def has_titles(line: str) -> bool:
    """Whether a line is the first one of such a table."""
    words = {_plain(title) for title in re.split("[,;\t]", line)}
    return not words.isdisjoint(NAME) and len(words) > 1


def _plain(title: str) -> str:
    return re.sub(r"[\W_]", "", title.lower())


def _column(titles: list[str], known: tuple[str, ...]) -> int | None:
    return next((titles.index(title) for title in known if title in titles), None)
