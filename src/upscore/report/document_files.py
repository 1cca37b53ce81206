"""A document as files: tables as CSV and Markdown, figures as PNG and SVG."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from upscore.core.draw import titled, with_legend
from upscore.core.files import atomic_path, make_folder, write_text
from upscore.core.labels import RGBImage
from upscore.core.tables import Table as Rows
from upscore.core.tables import write_csv
from upscore.report.document import Chart, Document, Sheet, Table
from upscore.report.figure_formats import FIGURE_FORMATS
from upscore.report.figures.scores import PAPER, write_figure

CELL = 320
"""Width of a picture in a sheet's file."""

GAP = 6
WHITE = 255


def write_document(document: Document, out: Path) -> None:
    """Write ``tables/`` and ``figures/`` below ``out``.

    Raises:
        OutputError: they cannot be written.
    """
    tables, figures = out / "tables", out / "figures"
    make_folder(tables)
    make_folder(figures)
    for number, item in document.numbered():
        if isinstance(item, Table):
            write_csv(tables / f"{item.name}.csv", item.header, item.rows)
            write_text(tables / f"{item.name}.md", table_markdown(number, item))
            shown = [tuple(item.text(cell) for cell in row) for row in item.rows]
            write_text(tables / f"{item.name}.tex", Rows(item.header, shown).latex(item.numeric))
        elif isinstance(item, Chart):
            write_figure(figures / f"{item.name}.png", item.draw(PAPER), FIGURE_FORMATS)
        else:
            _write_sheet(figures / item.name, item)


def table_markdown(number: str, table: Table) -> str:
    """The table below its number and caption; a column says which rows are published."""
    header, rows = table.header, table.rows
    if table.published:
        header = (*header, "from")
        rows = tuple(
            (*row, "published" if place in table.published else "here")
            for place, row in enumerate(rows)
        )
    shown = [tuple(table.text(cell) for cell in row) for row in rows]
    lines = Rows(header, shown).markdown().splitlines()
    rules = ["---:" if number else "---" for number in table.numeric]
    if table.published:
        rules.append("---")
    lines[1] = f"| {' | '.join(rules)} |"
    return f"**{number}.** {table.caption}\n\n" + "\n".join(lines) + "\n"


def _write_sheet(stem: Path, sheet: Sheet) -> None:
    picture = Image.fromarray(montage(sheet))
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    with atomic_path(stem.with_name(stem.name + ".png")) as temporary:
        temporary.write_bytes(stream.getvalue())
    content = base64.b64encode(stream.getvalue()).decode("ascii")
    size = f'width="{picture.width}" height="{picture.height}"'
    write_text(
        stem.with_name(stem.name + ".svg"),
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'viewBox="0 0 {picture.width} {picture.height}">'
        f'<image {size} href="data:image/png;base64,{content}"/></svg>\n',
    )


def montage(sheet: Sheet) -> RGBImage:
    """All pictures of a sheet as one (H, W, 3) uint8, titles above them, the legend below."""
    lines: list[RGBImage] = []
    for row in sheet.rows:
        cells = [None if picture is None else _scaled(picture) for _, picture in row.shots]
        height = max([40, *(cell.shape[0] for cell in cells if cell is not None)])
        parts: list[RGBImage] = []
        for (name, _), cell in zip(row.shots, cells, strict=True):
            canvas = _white(height, CELL) if cell is None else _to_height(cell, height)
            text = name if cell is not None else f"{name}: missing"
            parts += [titled(canvas, text), _white(1, GAP)]
        parts += [_white(1, CELL), _white(1, GAP)] * (sheet.columns - len(row.shots))
        tallest = max(part.shape[0] for part in parts)
        line = np.hstack([_to_height(part, tallest) for part in parts[:-1]])
        lines.append(titled(line, row.title) if row.title else line)
    whole = np.vstack(lines) if lines else _white(40, CELL)
    if sheet.labels is None:
        return np.ascontiguousarray(whole)
    return with_legend(np.ascontiguousarray(whole), sheet.labels)


def _white(height: int, width: int) -> RGBImage:
    return np.full((height, width, 3), WHITE, np.uint8)


def _to_height(picture: RGBImage, height: int) -> RGBImage:
    """White below it."""
    rest = _white(height - picture.shape[0], picture.shape[1])
    return np.vstack([picture, rest])


def _scaled(picture: RGBImage) -> RGBImage:
    """To the width of a cell: blended where it is a photo, not where it is flat colours."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    flat = image.getcolors(256) is not None
    size = (CELL, max(1, round(picture.shape[0] * CELL / picture.shape[1])))
    way = Image.Resampling.NEAREST if flat else Image.Resampling.LANCZOS
    return np.asarray(image.resize(size, way))
