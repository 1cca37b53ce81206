"""Ablation of FCN-8s: skips, learned upsampling, and the two factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upscore.core.progress import count_items
from upscore.data.dataset import Split
from upscore.report.document import Chart, Check, Section, Table
from upscore.report.figures.reproduction import bars_chart
from upscore.reproduce.context import Context
from upscore.reproduce.differences import Contender, direction, interval, significant
from upscore.reproduce.fcn_scores import Pair, Scores
from upscore.reproduce.fcn_trainings import (
    FCN32,
    FIXED,
    FIXED_SCALED,
    LEARNED,
    PARTS,
    PLAIN,
    by_setting,
)
from upscore.reproduce.skip_shares import skip_shares
from upscore.reproduce.trainings import PlannedTraining

SCALED = "exp1"
"""Learned upsampling and the factors: the report's own FCN-8s."""

ORDER = (PLAIN, FCN32, FIXED, FIXED_SCALED, LEARNED, SCALED)
TITLES = {name: setting.title for name, setting in PARTS.items()} | {
    PLAIN: PLAIN,
    SCALED: "Exp. 1 (learned upsampling, factors)",
}
CHANGES: tuple[tuple[str, Pair], ...] = (
    ("skips, upsampling fixed", (FIXED, PLAIN)),
    ("skips with the two factors, upsampling fixed", (FIXED_SCALED, PLAIN)),
    ("skips, upsampling learned", (LEARNED, FCN32)),
    ("learned upsampling, no skips", (FCN32, PLAIN)),
    ("learned upsampling, with skips", (LEARNED, FIXED)),
    ("the two factors, upsampling fixed", (FIXED_SCALED, FIXED)),
    ("the two factors, upsampling learned", (SCALED, LEARNED)),
    ("learned upsampling, with skips and factors", (SCALED, FIXED_SCALED)),
)
"""Pairs of settings that differ in one part: the name of the part, with it, without it."""

PAIRS: tuple[Pair, ...] = tuple(
    dict.fromkeys([*((name, PLAIN) for name in ORDER[1:]), *(pair for _, pair in CHANGES)])
)
CLAIMS: tuple[tuple[str, Pair], ...] = (
    ("Skips are why FCN-8s is better.", (FIXED, PLAIN)),
    ("Learned upsampling is why FCN-8s is better.", (LEARNED, FIXED)),
)
PHOTOS = 50
"""Number of photos, evenly spread over the split, for the parts of the scores."""
PART_NAMES = {"fc7": "deepest", "pool4": "pool4", "pool3": "pool3", "biases": "biases"}

Shares = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Setting -> part of the scores -> measured values."""


def measure_shares(context: Context) -> dict[str, dict[str, dict[str, float]]]:
    """Parts of the scores of each FCN-8s with final weights, as means over its seeds."""
    labelled = [place for place in range(len(context.split)) if place not in context.unlabelled]
    photos = context.split.take(labelled).spread(PHOTOS)
    groups = by_setting(context.done)
    means = {}
    for name in ORDER[2:]:
        if found := [_shares(context, plan, photos) for plan in groups.get(name, ())]:
            means[name] = {
                part: {key: sum(one[part][key] for one in found) / len(found) for key in values}
                for part, values in found[0].items()
            }
    return means


def _shares(context: Context, plan: PlannedTraining, photos: Split) -> dict[str, Any]:
    def count() -> dict[str, Any]:
        update = count_items(context.on_progress, f"parts of the scores: {plan.title}")
        return skip_shares(
            context.model(plan, final=True),
            (photos.read(place).image for place in range(len(photos))),
            context.runtime,
            lambda done: update(done, len(photos)),
        )

    of = {
        "weights": context.weights(plan, final=True),
        "photos": [pair.name for pair in photos.pairs],
        "data": context.dataset.fingerprint(),
    }
    return context.folder.measured(f"skips-{plan.name}", of, count)


def section(context: Context, scores: Scores, shares: Shares) -> Section:
    """Tables, chart and checks of ``--ablate``."""
    several = len(context.seeds) > 1
    return Section(
        "What makes FCN-8s better",
        _about(context),
        (
            _scores_table(scores, several=several),
            _changes_table(scores, several=several),
            _shares_table(shares),
            _shares_chart(shares),
        ),
        checks=tuple(
            Check(
                sentence,
                f"{_against(pair)}: {interval(_difference(scores, pair)) or 'not known'}",
                significant(_difference(scores, pair), above=True),
            )
            for sentence, pair in CLAIMS
        ),
    )


def _about(context: Context) -> tuple[str, ...]:
    recipe = next(plan.recipe for plan in context.plans if plan.setting == SCALED)
    text = [
        "The report's plain model and its FCN-8s differ in three things at once: skips from pool4 "
        "and pool3, learned upsampling, and the factors 0.01 and 0.0001 on the two pools. Here "
        "each is changed by itself; everything else is that of Exp. 1. FCN-32s is the plain model "
        "with learned upsampling.",
        "All that follows the score layers is linear, so the scores are an exact sum of what fc7 "
        "(the deepest), pool4, pool3 and the biases contribute. Shares are of the root mean "
        "squares; the last columns say how many labels change where a part is left out.",
    ]
    steps = recipe.budget.iterations
    if recipe.optim.name == "adam" and steps is not None:
        lr = recipe.optim.lr
        most = lr * steps
        text.append(
            f"A step of Adam moves a weight by about the learning rate at most: at {lr:g} by "
            f"{most:g} in {steps:,} steps, and less where the rate falls. Of pool3 the factor "
            f"leaves {most * 1e-4:.2g} of that."
        )
    return tuple(text)


def _scores_table(scores: Scores, *, several: bool) -> Table:
    rows: list[dict[str, Any]] = []
    for name in ORDER:
        found = scores.settings.get(name)
        spread = {"deviation": found and found["deviation"]["final"]} if several else {}
        rows.append(
            {
                "network": TITLES[name],
                "mIoU": found and found["scores"]["miou"],
                **spread,
                "difference": interval(_difference(scores, (name, PLAIN))),
                "boundary IoU": found and found["boundary_iou"]["mean"],
                "difference of boundary IoU": interval(
                    _difference(scores, (name, PLAIN), "boundary_iou")
                ),
            }
        )
    return Table.of(
        "ablation",
        "mIoU and boundary IoU with final weights, and differences to the plain model with their "
        "95 % intervals.",
        rows,
        digits=4,
        best=("mIoU", "boundary IoU"),
    )


def _changes_table(scores: Scores, *, several: bool) -> Table:
    rows: list[dict[str, Any]] = []
    for what, pair in CHANGES:
        whole, boundary = (_difference(scores, pair, key) for key in ("miou", "boundary_iou"))
        rows.append(
            {
                "change": what,
                "networks": _against(pair),
                "mIoU": interval(whole),
                "says": _verdict(whole),
                "boundary IoU": interval(boundary),
                "says of boundaries": _verdict(boundary),
            }
        )
    decides = "the interval over photos leaves out 0" + (
        ", and that between trainings too" if several else ""
    )
    caption = f"What one change alone does. It counts where {decides}."
    return Table.of("ablation-changes", caption, rows)


def _difference(scores: Scores, pair: Pair, key: str = "miou") -> Contender:
    return {"difference": scores.differences.get(pair, {}).get(key)}


def _against(pair: Pair) -> str:
    return f"{TITLES[pair[0]]} against {TITLES[pair[1]]}"


def _verdict(difference: Contender) -> str:
    return {1: "better", -1: "worse"}.get(direction(difference) or 0, "cannot be told")


def _shares_table(shares: Shares) -> Table:
    rows: list[dict[str, Any]] = []
    for name in ORDER[2:]:
        parts = {part: shares.get(name, {}).get(part, {}) for part in PART_NAMES}
        rows.append(
            {"network": TITLES[name]}
            | {f"share of {PART_NAMES[part]}": of.get("share") for part, of in parts.items()}
            | {f"labels changed without {part}": parts[part].get("changed")
               for part in ("pool4", "pool3")}
        )  # fmt: skip
    return Table.of(
        "ablation-skips",
        f"Parts of the scores of each FCN-8s, on up to {PHOTOS} photos of the split: shares of the "
        "root mean squares (the mean over classes taken out at each pixel; results.json has the "
        "values), and the share of pixels whose label changes without the part.",
        rows,
        digits=5,
    )


def _shares_chart(shares: Shares) -> Chart:
    lines = [
        (TITLES[name], [shares[name][part]["share"] for part in PART_NAMES])
        for name in ORDER[2:]
        if name in shares
    ]
    return Chart(
        "figure-skips",
        "Share of the deepest scores, the two skips and the biases in the scores of each FCN-8s.",
        lambda theme: bars_chart(
            list(PART_NAMES.values()), lines, y_name="share of the scores", theme=theme
        ),
    )
