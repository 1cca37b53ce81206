"""Figures of the DeconvNet paper's reproduction that show photos, and the tables beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from upscore.core.draw import error_map
from upscore.core.labels import RGBImage
from upscore.report.document import Chart, Item, Row, Sheet, Table
from upscore.report.figures.reproduction import Line, lines_chart
from upscore.reproduce.activations import analyse
from upscore.reproduce.common_sections import picture_row
from upscore.reproduce.context import Context
from upscore.reproduce.deconvnet_measures import crop_of, saved_deconvnet
from upscore.reproduce.deconvnet_stages import DECONVNET, FCN, METHODS, ORDERS, TITLES
from upscore.reproduce.differences import interval
from upscore.reproduce.ensemble_gains import KINDS
from upscore.reproduce.example_selection import large_objects

EXAMPLES = 3
"""Number of photos in each group of figure 7, as in the paper."""

THREE = (FCN, DECONVNET, "edeconvnet")
"""The two networks and their ensemble."""

COMPARED = (*THREE, "edeconvnet-crf")
"""Stages in figure 7."""


STEP_PHOTOS = 3
"""Number of photos in figure 6."""

UNCONFIRMED = (
    "From memory, the paper's figure adds proposals from large to small; no copy was at hand to "
    "confirm it, so both orders are shown."
)


def shown_object(context: Context) -> tuple[int, int] | None:
    """Place and class of the object whose layers are shown; None where no photo has one."""
    shares = context.shares()
    if context.photo is None:
        found = large_objects(shares, 1, background=context.background, wanted=context.label)
        return found[0] if found else None
    of = {int(key): share for key, share in shares[context.photo].items()}
    things = {key: share for key, share in of.items() if key != context.background} or of
    label = context.label if context.label is not None else max(things, key=lambda key: things[key])
    return context.photo, label


def analysis_items(context: Context) -> tuple[Item, ...]:
    """Activations of the decoder for one object; nothing where no photo has one."""
    chosen = shown_object(context)
    if chosen is None:
        return ()
    example = crop_of(context, *chosen)
    return (
        Sheet(
            "figure-activations",
            f"Activations of DeconvNet's unpooling and deconvolution layers, coarse to fine, for "
            f"{context.dataset.labels.names[example.label]} in {example.photo}: of each layer the "
            "channel that shows the object best. Unpooling puts values back "
            "where they came from and leaves the rest empty; deconvolution makes them dense. "
            "Bright is high.",
            analyse(saved_deconvnet(context), example),
        ),
    )


def ensemble_items(
    context: Context, methods: Mapping[str, Any], mended: Mapping[str, Any]
) -> tuple[Item, ...]:
    """Errors of two networks and of their ensemble."""
    total = max(1, sum(map(sum, mended["pixels"])))
    rows: list[dict[str, Any]] = []
    for kind, (right, wrong) in zip(KINDS, mended["pixels"], strict=True):
        rows.append(
            {
                "pixels": kind.replace("the first", "FCN-8s").replace("the second", "DeconvNet"),
                "% of all": 100 * (right + wrong) / total,
                "% right in EDeconvNet": 100 * right / (right + wrong) if right + wrong else None,
                "number": right + wrong,
            }
        )
    repaired = sorted(mended["photos"], key=lambda one: one["spoilt"] - one["mended"])
    titles = {name: TITLES[name] for name in COMPARED}
    return (
        Table.of(
            "repairs",
            "Pixels by which of the two networks is right, and how many of each kind EDeconvNet "
            "gets right. Those that one network gets wrong and the ensemble right are mended.",
            rows,
            digits=1,
        ),
        Table.of(
            "wins",
            "Photos and classes on which each of the three has the highest score of its own; equal "
            "ones count for nobody.",
            _wins(methods),
        ),
        _examples(context, methods),
        Sheet(
            "figure-repairs",
            "The photos of which the ensemble mends most: wrong pixels are orange.",
            tuple(_errors(context, one["place"], titles) for one in repaired[:EXAMPLES]),
        ),
    )


def example_groups(images: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[str, float]]]:
    """Photos of figure 7's groups, those first that show their group most clearly.

    Args:
        images: ``name`` and ``miou`` by ``METHODS``, of each photo; None where it is all void.

    Returns:
        By the group's title: name of each photo that belongs there, and by how much the one mIoU
        is above the other.
    """
    groups: dict[str, list[tuple[str, float]]] = {
        "a, DeconvNet is better than FCN-8s": [],
        "b, FCN-8s is better than DeconvNet": [],
        "c, EDeconvNet is better than both": [],
    }
    for image in images:
        fcn, deconvnet, both = (image["miou"][METHODS.index(name)] for name in THREE)
        if None in (fcn, deconvnet, both):
            continue
        margins = (deconvnet - fcn, fcn - deconvnet, both - max(fcn, deconvnet))
        for group, margin in zip(groups.values(), margins, strict=True):
            if margin > 0:
                group.append((image["name"], margin))
    for group in groups.values():
        group.sort(key=lambda item: -item[1])
    return groups


def _examples(context: Context, methods: Mapping[str, Any]) -> Sheet:
    """Figure 7: photos by the method with the highest mIoU."""
    places = {pair.name: place for place, pair in enumerate(context.split.pairs)}
    titles = {name: TITLES[name] for name in COMPARED}
    rows: list[Row] = []
    groups_text: list[str] = []
    total = len(methods["images"])
    for group, photos in example_groups(methods["images"]).items():
        for name, margin in photos[:EXAMPLES]:
            row = picture_row(context, places[name], titles)
            rows.append(replace(row, title=f"{group}: {name}, by {margin:.3f}"))
        groups_text.append(f"{group} ({len(photos)} of {total})")
    return Sheet(
        "figure-wins",
        f"Photos by which method has the higher mIoU of the photo: {'; '.join(groups_text)}. Up to "
        f"{EXAMPLES} of each group are shown, those with the largest differences.",
        tuple(rows),
        context.dataset.labels,
    )


def _wins(methods: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Photos and classes on which each method is the best."""
    places = {name: METHODS.index(name) for name in THREE}
    scores = {
        "photos": [image["miou"] for image in methods["images"]],
        "classes": zip(
            *([item["iou"] for item in one["per_class"]] for one in methods["contenders"]),
            strict=True,
        ),
    }
    rows: dict[str, dict[str, Any]] = {
        name: {"method": TITLES[name], "photos": 0, "classes": 0} for name in THREE
    }
    for kind, of in scores.items():
        for values in of:
            known = {n: -1.0 if values[k] is None else values[k] for n, k in places.items()}
            best = [name for name, value in known.items() if value == max(known.values())]
            if len(best) == 1:
                rows[best[0]][kind] += 1
    return [*rows.values()]


def _errors(context: Context, place: int, stages: Mapping[str, str]) -> Row:
    """Photo, truth, and the wrong pixels of stages under their titles."""
    row = picture_row(context, place, {})
    truth = context.split.read_labels(place)
    shots: list[tuple[str, RGBImage | None]] = [*row.shots]
    for stage, title in stages.items():
        labels = context.label_map(stage, place)
        picture = None if labels is None else error_map(truth, labels)
        shots.append((f"errors of {title}", picture))
    return Row(row.title, tuple(shots), of_data=frozenset(range(len(shots))))


def proposal_items(context: Context, measures: Mapping[str, Any]) -> tuple[Item, ...]:
    """Labels, mIoU and mIoU of small objects as proposals are added, in both orders."""
    by_score, by_size = measures["proposals"], measures["proposals-by-size"]
    places = context.example_places(STEP_PHOTOS)
    groups = by_score["contenders"][0]["sizes"]
    small = groups["by_group"][0]
    rows: list[dict[str, Any]] = []
    for (order, steps), found in zip(ORDERS.items(), (by_score, by_size), strict=True):
        for count, one in zip(steps.values(), found["contenders"], strict=True):
            rows.append(
                {
                    "order": order,
                    "proposals": count,
                    "mIoU": one["scores"]["miou"],
                    "difference": interval(one),
                    "mIoU, small": one["sizes"]["by_group"][0]["miou"],
                    "pixel accuracy": one["scores"]["pixel_accuracy"],
                }
            )

    def lines(column: str) -> list[Line]:
        parts = {order: [row for row in rows if row["order"] == order] for order in ORDERS}
        return [
            Line(order, tuple(row["proposals"] for row in part), tuple(row[column] for row in part))
            for order, part in parts.items()
        ]

    panels = [("all classes", lines("mIoU")), (f"{small['name']} objects", lines("mIoU, small"))]
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
    return replace(row, title=f"{row.title}, {order}")
