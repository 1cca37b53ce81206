"""DeconvNet's labels as proposals are added, best first or largest first (figure 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upscore.report.document import Chart, Item, Row, Sheet, Table
from upscore.report.figures.reproduction import Line, lines_chart
from upscore.reproduce.common_sections import picture_row
from upscore.reproduce.context import Context
from upscore.reproduce.differences import interval

COUNTS = (1, 5, 10, 20, 50)
"""Numbers of proposals after which labels are scored, as in figure 6 of the paper."""

BY_SCORE = {f"boxes-{count:03d}": count for count in COUNTS}
"""Numbers of proposals by the name of the stage, the best proposals first."""

BY_SIZE = {f"largest-{count:03d}": count for count in COUNTS[:-1]} | {
    name: count for name, count in BY_SCORE.items() if count == COUNTS[-1]
}
"""The same 50, the largest first; after all of them the order makes no difference."""

ORDERS = {"the best first": BY_SCORE, "the largest first": BY_SIZE}

STEP_PHOTOS = 3
"""Number of photos in the figure."""

UNCONFIRMED = (
    "From memory, the paper's figure adds proposals from large to small; no copy was at hand to "
    "confirm it, so both orders are shown."
)


def proposal_items(context: Context, measures: Mapping[str, Any]) -> tuple[Item, ...]:
    """Labels, mIoU and mIoU of small objects as proposals are added, in both orders."""
    by_score, by_size = measures["proposals"], measures["proposals-by-size"]
    places = context.example_places(STEP_PHOTOS)
    groups = by_score["contenders"][0]["sizes"]
    small = groups["by_group"][0]
    all_lines, small_lines = [], []
    rows: list[dict[str, Any]] = []
    for (order, steps), found in zip(ORDERS.items(), (by_score, by_size), strict=True):
        means: list[float | None] = []
        smalls: list[float | None] = []
        for count, one in zip(steps.values(), found["contenders"], strict=True):
            scores = one["scores"]
            means.append(scores["miou"])
            smalls.append(one["sizes"]["by_group"][0]["miou"])
            rows.append(
                {
                    "order": order,
                    "proposals": count,
                    "mIoU": means[-1],
                    "difference": interval(one),
                    "mIoU, small": smalls[-1],
                    "pixel accuracy": scores["pixel_accuracy"],
                }
            )
        counts = tuple(map(float, steps.values()))
        all_lines.append(Line(order, counts, tuple(means)))
        small_lines.append(Line(order, counts, tuple(smalls)))
    panels = [("all classes", all_lines), (f"{small['name']} objects", small_lines)]
    about = f"{small['objects']:,} are {small['name']}; {groups['groups']}"
    return (
        Sheet(
            "figure-proposals",
            f"DeconvNet's answer as proposals are added. {UNCONFIRMED}",
            tuple(
                _row(context, place, order, steps)
                for place in places
                for order, steps in ORDERS.items()
            ),
            context.dataset.labels,
        ),
        Chart(
            "figure-proposals-miou",
            f"mIoU of DeconvNet and its mIoU of small objects against the number of proposals, on "
            f"{context.split.name}. The paper has no numbers for this; its text finds 50 enough.",
            lambda theme: lines_chart(
                panels, x_name="proposals of a photo", y_name="mIoU", theme=theme, whole=True
            ),
        ),
        Table.of(
            "proposals",
            "mIoU after so many proposals, its difference to one proposal, and mIoU of small "
            f"objects ({about}).",
            rows,
            digits=4,
        ),
    )


def _row(context: Context, place: int, order: str, steps: Mapping[str, int]) -> Row:
    titles = {name: f"{count} proposal{'s' * (count > 1)}" for name, count in steps.items()}
    row = picture_row(context, place, titles)
    return Row(f"{row.title}, {order}", row.shots, of_data=row.of_data)
