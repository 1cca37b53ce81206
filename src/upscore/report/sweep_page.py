"""The page of a sweep: means over seeds, every run, and what failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from upscore.core import tables
from upscore.core.plural import plural
from upscore.report.document import Document, Section, Table
from upscore.report.page import document_page
from upscore.report.sweep_tables import NOTE, SweptRun, group_table, grouped, run_table


def sweep_page(runs: Sequence[SweptRun], *, about: dict[str, Any]) -> str:
    """HTML of a sweep, in one file.

    Args:
        about: what sweep.json holds of the grid besides, JSON values.
    """
    finished = [run for run in runs if run.status == "finished"]
    minutes = sum(run.seconds or 0.0 for run in finished) / 60
    facts = [(name, about.get(name)) for name in ("command", "upscore")]
    return document_page(
        Document(
            title=f"Sweep of {about.get('recipe', 'a recipe')}",
            lead=f"{len(finished)} of {plural(len(runs), 'training')} finished, in {minutes:.1f} "
            "minutes together.",
            sections=(
                Section(
                    "Means over seeds",
                    (NOTE,),
                    (_table("groups", "Combinations of all settings but the seed.",
                            group_table(grouped(runs))),),
                ),
                Section("Runs", (), (_table("runs", "Every training.", run_table(runs)),)),
            ),
            missing=tuple(f"{run.name}: {run.message}" for run in runs if run.message),
            facts=tuple((name, str(value)) for name, value in facts if value),
        )
    )  # fmt: skip


def _table(name: str, caption: str, table: tables.Table) -> Table:
    return Table(
        name,
        caption,
        tuple(map(str, table.header)),
        tuple(map(tuple, table.rows)),
        digits=table.digits,
        best=("last mIoU",),
    )
