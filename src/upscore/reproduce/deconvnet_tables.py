"""Tables and charts of the DeconvNet paper's reproduction that hold scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upscore.core.labels import VOC_LABELS
from upscore.report.document import Chart, Item, Table
from upscore.report.figures.reproduction import Line, bars_chart, lines_chart
from upscore.reproduce.context import Context
from upscore.reproduce.differences import interval
from upscore.reproduce.published import PAPER_TABLE, VOC_COLUMNS


def class_tables(context: Context, methods: Mapping[str, Any]) -> tuple[Item, ...]:
    """IoU in per cent by class, one row a method: with the paper's rows where classes are VOC's."""
    voc = context.dataset.labels.names == VOC_LABELS.names
    head = ("method", *(VOC_COLUMNS if voc else context.dataset.labels.names), "mean")
    ours: list[tuple[Any, ...]] = []
    for one in methods["contenders"]:
        cells = [item["iou"] for item in one["per_class"]]
        ours.append((one["name"], *map(_percent, cells), _percent(one["scores"]["miou"])))
    paper: list[tuple[Any, ...]] = [
        (row.name + ("" if row.verified else " *"), *row.cells, row.mean) for row in PAPER_TABLE
    ]
    star = "Cells of rows with * are from memory, and their means have been checked."
    absent = [
        name
        for name, item in zip(
            context.dataset.labels.names, methods["contenders"][0]["per_class"], strict=True
        )
        if not item["pixels"]
    ]
    lost = f" Not in the truth of this split: {', '.join(absent)}." if absent else ""
    best = frozenset(range(1, len(head)))
    if voc:
        return (
            Table(
                "table1-classes",
                "IoU in per cent by class, in the paper's order: its rows as published (VOC 2012 "
                f"test), then ours ({context.split.name}). {star}{lost}",
                head,
                (*paper, *ours),
                published=frozenset(range(len(paper))),
                digits=1,
                best=best,
            ),
        )
    return (
        Table(
            "table1-classes",
            f"IoU in per cent by class, measured here on {context.split.name}.{lost}",
            head,
            tuple(ours),
            digits=1,
            best=best,
        ),
        Table(
            "table1-published",
            "The paper's table 1, IoU in per cent on VOC 2012 test, as published. The classes here "
            f"are others, so its rows stand apart. {star}",
            ("method", *VOC_COLUMNS, "mean"),
            tuple(paper),
            published=frozenset(range(len(paper))),
            digits=1,
        ),
    )


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def overall_table(methods: Mapping[str, Any]) -> Table:
    """mIoU with its difference to the first, and the other scores over all classes."""
    first = methods["contenders"][0]["name"]
    return Table(
        "methods",
        f"Overall scores; difference of mIoU to {first} with its 95 % interval.",
        ("method", "mIoU", "difference", "pixel accuracy", "mean accuracy", "boundary IoU",
         "boundary F"),
        tuple(
            (
                one["name"],
                one["scores"]["miou"],
                interval(one),
                one["scores"]["pixel_accuracy"],
                one["scores"]["mean_accuracy"],
                one["boundary_iou"]["mean"],
                one["boundary_f"]["mean"],
            )
            for one in methods["contenders"]
        ),
        digits=4,
        best=frozenset({1, 3, 4, 5, 6}),
    )  # fmt: skip


def size_items(methods: Mapping[str, Any]) -> tuple[Item, ...]:
    """mIoU by the size of objects, as a table and as bars."""
    contenders = methods["contenders"]
    groups = contenders[0]["sizes"]["by_group"]
    names = tuple(f"{group['name']} ({group['objects']:,})" for group in groups)
    values = [
        (one["name"], tuple(group["miou"] for group in one["sizes"]["by_group"]))
        for one in contenders
    ]
    about = f"Objects ({methods['objects_from']}) by {contenders[0]['sizes']['groups']}"
    return (
        Table(
            "sizes",
            f"mIoU by the size of objects. {about}; their numbers stand in brackets. Means are "
            "over the classes with objects in the group.",
            ("method", *names),
            tuple((name, *of) for name, of in values),
            best=frozenset(range(1, len(names) + 1)),
        ),
        Chart(
            "figure-sizes",
            "mIoU by the size of objects.",
            lambda theme: bars_chart(names, values, y_name="mIoU", theme=theme),
        ),
    )


def trimap_items(methods: Mapping[str, Any]) -> tuple[Item, ...]:
    """Scores by the width of a band around true boundaries, as lines and as a table."""
    contenders = methods["contenders"]
    widths = tuple(band["width"] for band in contenders[0]["trimap"])

    def lines(key: str) -> list[Line]:
        return [
            Line(one["name"], widths, tuple(band[key] for band in one["trimap"]))
            for one in contenders
        ]

    panels = [("pixel accuracy", lines("pixel_accuracy")), ("mIoU", lines("miou"))]
    return (
        Chart(
            "figure-trimap",
            "Pixel accuracy and mIoU of the pixels within 1 to 40 pixels of a true boundary "
            "(trimap), for every method.",
            lambda theme: lines_chart(
                panels, x_name="pixels from a true boundary, at most", y_name="", theme=theme,
                every=5,
            ),
        ),
        Table(
            "trimap",
            "Pixel accuracy within so many pixels of a true boundary.",
            ("pixels", *(one["name"] for one in contenders)),
            tuple(
                (width, *(one["trimap"][row]["pixel_accuracy"] for one in contenders))
                for row, width in enumerate(widths)
            ),
            digits=4,
        ),
    )  # fmt: skip


def ablation_table(content: Mapping[str, Any]) -> Table:
    """Scores of DeconvNet and of its ablations."""
    return Table(
        "ablations",
        "mIoU of ablations, and of the CRF on and off after each method; difference to DeconvNet "
        "with its 95 % interval.",
        ("method", "mIoU", "difference", "pixel accuracy", "boundary IoU"),
        tuple(
            (
                one["name"],
                one["scores"]["miou"],
                interval(one),
                one["scores"]["pixel_accuracy"],
                one["boundary_iou"]["mean"],
            )
            for one in content["contenders"]
        ),
        digits=4,
    )
