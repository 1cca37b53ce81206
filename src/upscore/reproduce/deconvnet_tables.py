"""Tables and charts of the DeconvNet paper's reproduction, of scores and of samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from upscore.core.labels import VOC_LABELS
from upscore.core.run_folder import RunFolder
from upscore.errors import UpscoreError
from upscore.report.document import Chart, Item, Table
from upscore.report.figures.reproduction import Line, bars_chart, lines_chart
from upscore.reproduce.common_sections import absent_classes
from upscore.reproduce.context import Context
from upscore.reproduce.deconvnet_stages import DECONVNET, NO_NORM, ONE_STAGE
from upscore.reproduce.differences import interval
from upscore.reproduce.published import (
    PAPER_STAGES,
    PAPER_TABLE,
    VOC_COLUMNS,
    published_mean,
)


def class_tables(context: Context, methods: Mapping[str, Any]) -> tuple[Item, ...]:
    """IoU in per cent, the mean and by class, one row a method: with the paper's rows where classes
    are VOC's."""
    names = context.dataset.labels.names
    ours: list[tuple[Any, ...]] = []
    for one in methods["contenders"]:
        values = [one["scores"]["miou"], *(item["iou"] for item in one["per_class"])]
        ours.append((one["name"], *(None if value is None else 100 * value for value in values)))
    gaps = "Dashes are cells that no source at hand shows; all means have one."
    absent = absent_classes(context, methods["contenders"])
    paper = Table(
        "table1-published",
        "The paper's table 1, IoU in per cent on VOC 2012 test, as published. The classes here "
        f"are others, so its rows stand apart. {gaps}",
        ("method", "mean", *VOC_COLUMNS),
        tuple((r.name, r.mean, *r.cells) for r in PAPER_TABLE),
        published=range(len(PAPER_TABLE)),
        digits=1,
    )
    if names == VOC_LABELS.names:
        caption = (
            "IoU in per cent by class, in the paper's order: its rows as published (VOC 2012 "
            f"test), then ours ({context.split.name}). {gaps}{absent}"
        )
        rows = (*paper.rows, *ours)
        return (
            replace(paper, name="table1-classes", caption=caption, rows=rows, best=paper.header),
        )
    header = ("method", "mean", *names)
    caption = f"IoU in per cent by class, measured here on {context.split.name}.{absent}"
    return Table("table1-classes", caption, header, tuple(ours), digits=1, best=header), paper


def samples_table(context: Context) -> Table:
    """Numbers of crops and drawn samples, one row a stage, beside the paper's.

    Runs of an upscore that did not record them yet have dashes.
    """
    rows: list[tuple[Any, ...]] = [
        ("the paper", stage.crops_of, None, stage.crops, None, stage.iterations * stage.batch)
        for stage in PAPER_STAGES
    ]
    for plan in context.done:
        if plan.name not in (DECONVNET, NO_NORM, ONE_STAGE):
            continue
        for stage, folder in context.stage_runs(plan):
            try:
                samples = RunFolder(folder).read_manifest().get("samples", {})
            except UpscoreError:
                samples = {}
            numbers = (samples.get(key) for key in ("photos", "crops", "epoch", "drawn"))
            rows.append((plan.title, stage.crops.kind, *numbers))
    return Table(
        "samples",
        "Photos and crops of each stage, crops with the repeats of rare classes (an epoch), and "
        "the samples that the training drew of them. The paper gives round numbers of crops; its "
        "samples are its iterations (20,000 and 40,000) times its batch of 64.",
        ("training", "crops of", "photos", "crops", "with repeats", "samples drawn"),
        tuple(rows),
        published=range(len(PAPER_STAGES)),
    )


def overall_table(methods: Mapping[str, Any]) -> Table:
    """mIoU with its difference to the first, and the other scores over all classes."""
    rows: list[dict[str, Any]] = []
    for one in methods["contenders"]:
        published = published_mean(one["name"])
        rows.append(
            {
                "method": one["name"],
                "published, %": None if published is None else f"{published:.1f}",
                "mIoU": one["scores"]["miou"],
                "difference": interval(one),
                "pixel accuracy": one["scores"]["pixel_accuracy"],
                "mean accuracy": one["scores"]["mean_accuracy"],
                "boundary IoU": one["boundary_iou"]["mean"],
                "boundary F": one["boundary_f"]["mean"],
            }
        )
    first = rows[0]["method"]
    return Table.of(
        "methods",
        f"Overall scores; difference of mIoU to {first} with its 95 % interval; published are the "
        "methods' mean IoU on VOC 2012 test.",
        rows,
        digits=4,
        best=("mIoU", "pixel accuracy", "mean accuracy", "boundary IoU", "boundary F"),
    )


def ablation_table(ablations: Mapping[str, Any]) -> Table:
    """Scores of DeconvNet and of its ablations."""
    columns = ("method", "mIoU", "difference", "pixel accuracy", "boundary IoU")
    table = overall_table(ablations)
    kept = [table.header.index(name) for name in columns]
    return Table(
        "ablations",
        "mIoU of ablations, and of the CRF on and off after each method; difference to DeconvNet "
        "with its 95 % interval.",
        columns,
        tuple(tuple(row[place] for place in kept) for row in table.rows),
        digits=4,
    )


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
            best=names,
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
                panels,
                x_name="pixels from a true boundary, at most",
                y_name="",
                theme=theme,
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
    )
