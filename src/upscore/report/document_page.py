"""The one page of a document, self-contained."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from PIL import Image

from upscore.core.labels import Labels, RGBImage
from upscore.report import html_helpers as parts
from upscore.report.document import Chart, Document, Sheet
from upscore.report.figures.scores import PAGE, svg
from upscore.report.page_words import WORDS, Language, page_file
from upscore.report.pictures import Picture, embed_image


def document_view(document: Document, others: Collection[Language]) -> dict[str, Any]:
    """Everything that document.html.j2 names; ``others`` are languages of pages beside it."""
    return {
        "document": document,
        "title": document.title,
        "notes": [parts.note(text) for text in document.missing],
        "others": [(WORDS[other]["language"], page_file(other), other) for other in others],
        "numbers": {item.name: number for number, item in document.numbered()},
        "draw": _draw,
        "embed": _embed,
        "legend": _legend,
    }


def _draw(chart: Chart) -> str:
    return svg(chart.draw(PAGE), name=chart.name)


def _embed(picture: RGBImage | None) -> Picture | None:
    return None if picture is None else embed_image(_image(picture))


def _image(picture: RGBImage) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(picture))


def _legend(sheet: Sheet) -> list[dict[str, Any]]:
    """The classes whose colours are in flat pictures of the sheet; all where that is unclear."""
    labels = sheet.labels
    if labels is None:
        return []
    colors: set[tuple[int, ...]] = set()
    for row in sheet.rows:
        for _, picture in row.shots:
            if picture is not None:
                found = _image(picture).getcolors(256) or []
                colors |= {color for _, color in found if isinstance(color, tuple)}
    kept = [place for place, color in enumerate(labels.colors) if color in colors]
    if not kept:
        return parts.classes(labels)
    return parts.classes(
        Labels.of([labels.names[place] for place in kept], [labels.colors[place] for place in kept])
    )
