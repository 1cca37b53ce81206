"""The page that ``upscore compare`` writes: scores side by side, with what can be said of them."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from upscore.core import tables
from upscore.core.plural import plural
from upscore.metrics.comparison import Comparison
from upscore.metrics.comparison_files import class_table, size_table, sizes_note
from upscore.report.document import Chart, Document, Section, Table
from upscore.report.figures.comparison import class_differences, sizes_figure, trimap_figure
from upscore.report.page import document_page
from upscore.report.score_tables import absent_note, cost_table, difference_table, verdict


def compared_page(comparison: Comparison) -> str:
    """HTML of a comparison, in one file."""
    first, *others = (one.name for one in comparison.models)
    images = plural(len(comparison.images), "image")
    told = [line if line.endswith(".") else f"{line}." for line in verdict(comparison)]
    return document_page(
        Document(
            title=f"{first} against {' and '.join(others)}",
            lead=f"{images} of {comparison.split}. {told[0]}",
            sections=(
                Section(
                    "Scores",
                    tuple(told[1:]),
                    (
                        _table(
                            "differences",
                            f"mIoU, and the difference to {first} with its 95 % interval (paired "
                            "bootstrap over images).",
                            difference_table(comparison),
                        ),
                        _table("costs", "Other scores, time and memory.", cost_table(comparison)),
                    ),
                ),
                Section(
                    "Classes",
                    (),
                    (
                        _chart("classes", f"IoU difference of each class to {first}.",
                               class_differences, comparison),
                        _class_table(comparison),
                    ),
                ),
                Section(
                    "Boundaries and sizes",
                    (f"Objects: {comparison.objects_from}; {sizes_note(comparison)}",),
                    (
                        _chart("trimap", "Scores in a band around the true boundaries.",
                               trimap_figure, comparison),
                        _chart("sizes", "mIoU by size and thinness of objects.",
                               sizes_figure, comparison),
                        _table("sizes_table", "The same as numbers.", size_table(comparison)),
                    ),
                ),
            ),
            missing=tuple(failure.message for failure in comparison.failures),
        )
    )  # fmt: skip


def _chart(name: str, caption: str, draw: Callable[..., Figure], comparison: Comparison) -> Chart:
    return Chart(name, caption, lambda theme: draw(comparison, theme=theme))


def _class_table(comparison: Comparison) -> Table:
    """IoU by class; the caption names classes without truth."""
    table = class_table(comparison)
    pixels = table.header.index("pixels")
    note = absent_note(comparison.labels.names, (row[pixels] for row in table.rows))
    return _table("per_class", f"IoU by class. {note}".rstrip(), table)


def _table(name: str, caption: str, table: tables.Table) -> Table:
    rows = tuple(tuple(row) for row in table.rows)
    return Table(
        name,
        caption,
        tuple(str(title) or "model" for title in table.header),
        rows,
        digits=table.digits,
    )
