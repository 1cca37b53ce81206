"""One self-contained HTML page about a run, or about several side by side.

Everything that comes from files (names of runs, classes, images) goes through the template's
escaping; the only markup that is set in as it is are curves drawn here, which hold no such name.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import jinja2

from upscore.core.draw import RIGHT_LEVELS, VOID_LEVEL, WRONG_COLOR
from upscore.core.runtime import installed_version
from upscore.report.comparison_context import comparison_view
from upscore.report.document import Document
from upscore.report.document_page import document_view
from upscore.report.page_words import WORDS, Language
from upscore.report.run_context import run_view
from upscore.report.run_data import RunData


def run_page(run: RunData) -> str:
    """HTML about one run; what is missing is named with the command that makes it."""
    return _render("run.html.j2", {"title": run.name, **run_view(run)})


def comparison_page(runs: Sequence[RunData]) -> str:
    """HTML that sets two or more runs side by side."""
    return _render("compare.html.j2", comparison_view(runs))


def document_page(document: Document, others: Collection[Language] = ()) -> str:
    """HTML of a document: numbered tables and figures that a reader would cite.

    Args:
        others: languages of the pages beside it that say the same, to which it links.
    """
    return _render("document.html.j2", document_view(document, others), document.language)


def _render(template: str, view: dict[str, Any], language: Language = "en") -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("upscore.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["rgb"] = lambda color: "rgb({:d} {:d} {:d})".format(*color)
    environment.globals["words"] = WORDS[language]  # macros see them, too
    version = installed_version("upscore")
    form = "%d %B %Y, %H:%M UTC" if language == "en" else "%Y-%m-%d %H:%M UTC"
    middle = sum(RIGHT_LEVELS) // 2
    return environment.get_template(template).render(
        **view,
        language=language,
        program=f"upscore {version}" if version else "upscore",
        written=datetime.now(UTC).strftime(form),
        error_colors=[
            {"name": "wrong", "color": WRONG_COLOR},
            {"name": "right", "color": (middle,) * 3},
            {"name": "void, not counted", "color": (VOID_LEVEL,) * 3},
        ],
    )
