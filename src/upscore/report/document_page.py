"""The one page of a document, self-contained."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from upscore.core.labels import Labels, RGBImage
from upscore.report import html_helpers as parts
from upscore.report.document import (
    Chart,
    Document,
    Item,
    Section,
    Sheet,
    Table,
    best_of,
    checks_table,
)
from upscore.report.figures.scores import PAGE, svg
from upscore.report.pictures import embed_image


def document_view(document: Document) -> dict[str, Any]:
    """Everything that document.html.j2 names."""
    numbers = {id(item): number for number, item in document.numbered()}
    return {
        "title": document.title,
        "lead": document.lead,
        "tiles": [{"value": value, "name": name} for value, name in document.tiles],
        "notes": [parts.note(text) for text in document.missing],
        "sections": [
            _section(section, place, numbers) for place, section in enumerate(document.sections)
        ],
        "facts": document.facts,
        "recipes": [{"title": title, "text": text} for title, text in document.recipes],
    }


def _section(section: Section, place: int, numbers: dict[int, str]) -> dict[str, Any]:
    return {
        "title": section.title,
        "anchor": f"part-{place}",
        "text": section.text,
        "entries": [_entry(item, numbers[id(item)]) for item in section.items],
        "checks": [
            {"sentence": sentence, "verdict": verdict, "found": found}
            for sentence, verdict, found in checks_table(section.checks)
        ],
    }


def _entry(item: Item, number: str) -> dict[str, Any]:
    entry = {"number": number, "caption": item.caption, "anchor": item.name}
    if isinstance(item, Table):
        return {**entry, "kind": "table", "table": _table(item)}
    if isinstance(item, Chart):
        return {**entry, "kind": "chart", "svg": svg(item.draw(PAGE), name=item.name)}
    return {**entry, "kind": "sheet", **_sheet(item)}


def _table(table: Table) -> dict[str, Any]:
    numeric = [table.is_number(column) for column in range(len(table.header))]
    best = {column: best_of(table, column) for column in table.best}
    return {
        "heads": [
            {"name": name, "numeric": number}
            for name, number in zip(table.header, numeric, strict=True)
        ],
        "rows": [
            {
                "published": place in table.published,
                "cells": [
                    {
                        "text": table.text(cell),
                        "value": "" if cell is None else cell,
                        "none": cell is None,
                        "best": place in best.get(column, ()),
                        "numeric": numeric[column],
                    }
                    for column, cell in enumerate(row)
                ],
            }
            for place, row in enumerate(table.rows)
        ],
        "has_published": bool(table.published),
    }


def _sheet(sheet: Sheet) -> dict[str, Any]:
    return {
        "columns": sheet.columns,
        "legend": [] if sheet.labels is None else parts.classes(_shown(sheet, sheet.labels)),
        "rows": [
            {
                "title": row.title,
                "shots": [
                    {
                        "caption": name,
                        "picture": None if picture is None else embed_image(_image(picture)),
                        "alt": f"{row.title}: {name}" if row.title else name,
                    }
                    for name, picture in row.shots
                ],
            }
            for row in sheet.rows
        ],
    }


def _image(picture: RGBImage) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(picture))


def _shown(sheet: Sheet, labels: Labels) -> Labels:
    """The classes whose colours are in flat pictures of the sheet; all where that is unclear."""
    colors: set[tuple[int, ...]] = set()
    for row in sheet.rows:
        for _, picture in row.shots:
            if picture is not None:
                found = _image(picture).getcolors(256) or []
                colors |= {color for _, color in found if isinstance(color, tuple)}
    kept = [place for place, color in enumerate(labels.colors) if color in colors]
    if not kept:
        return labels
    return Labels.of(
        [labels.names[place] for place in kept], [labels.colors[place] for place in kept]
    )
