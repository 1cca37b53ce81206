"""Ablation of FCN-8s: skips, learned upsampling, and the two factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from upscore.core.progress import count_items
from upscore.report.document import Chart, Check, Section, Table
from upscore.report.figures.reproduction import bars_chart
from upscore.reproduce.context import Context
from upscore.reproduce.differences import difference_text, sign
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
from upscore.reproduce.scores import measured
from upscore.reproduce.skip_shares import mean_shares, skip_shares
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
PHOTOS = 50
"""Number of photos, evenly spread over the split, for the parts of the scores."""
PART_NAMES = {"fc7": "deepest", "pool4": "pool4", "pool3": "pool3", "biases": "biases"}

Shares = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Setting -> part of the scores -> measured values."""


def measure_shares(
    context: Context, done: Sequence[PlannedTraining]
) -> dict[str, dict[str, dict[str, float]]]:
    """Parts of the scores of each FCN-8s with final weights, as means over its seeds."""
    groups = by_setting(done)
    found = {}
    for name in ORDER[2:]:
        if name in groups:
            found[name] = mean_shares([_shares(context, plan) for plan in groups[name]])
    return found


def _shares(context: Context, plan: PlannedTraining) -> dict[str, Any]:
    model = context.model(plan, final=True)
    read = [place for place in range(len(context.split)) if place not in context.unlabelled]
    part = context.split.take(read).spread(PHOTOS)

    def count() -> dict[str, Any]:
        update = count_items(context.on_progress, f"parts of the scores: {plan.title}")
        return skip_shares(
            model,
            (part.read(place).image for place in range(len(part))),
            context.runtime,
            lambda done: update(done, len(part)),
        )

    of = {
        "weights": context.weights(plan, final=True),
        "photos": [pair.name for pair in part.pairs],
        "data": context.dataset.fingerprint(),
    }
    return measured(context.folder.measurement(f"skips-{plan.name}"), of, count)


def section(
    context: Context, plans: Sequence[PlannedTraining], scores: Scores, shares: Shares
) -> Section:
    """Tables, chart and checks of ``--ablate``."""
    several = len(context.seeds) > 1
    return Section(
        "What makes FCN-8s better",
        _about(plans),
        (
            _scores_table(scores, several=several),
            _changes_table(scores, several=several),
            _shares_table(shares),
            _shares_chart(shares),
        ),
        checks=tuple(_checks(scores)),
    )


def _about(plans: Sequence[PlannedTraining]) -> tuple[str, ...]:
    recipe = next(plan.recipe for plan in plans if plan.setting == SCALED)
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
    rows: list[tuple[Any, ...]] = []
    for name in ORDER:
        found = scores.settings.get(name)
        against = scores.differences.get((name, PLAIN), {})
        rows.append(
            (
                TITLES[name],
                found and found["scores"]["miou"],
                *((found and found["deviation"]["final"],) if several else ()),
                difference_text(against.get("miou")),
                found and found["boundary_iou"]["mean"],
                difference_text(against.get("boundary_iou")),
            )
        )
    return Table(
        "ablation",
        "mIoU and boundary IoU with final weights, and differences to the plain model with their "
        "95 % intervals.",
        ("network", "mIoU", *(("deviation",) if several else ()), "difference", "boundary IoU",
         "difference of boundary IoU"),
        tuple(rows),
        digits=4,
        best=frozenset({1, 4 if several else 3}),
    )  # fmt: skip


def _changes_table(scores: Scores, *, several: bool) -> Table:
    rows = []
    for what, (of, to) in CHANGES:
        found = scores.differences.get((of, to), {})
        rows.append(
            (
                what,
                f"{TITLES[of]} against {TITLES[to]}",
                difference_text(found.get("miou")),
                _verdict(found.get("miou")),
                difference_text(found.get("boundary_iou")),
                _verdict(found.get("boundary_iou")),
            )
        )
    decides = "the interval over photos leaves out 0" + (
        ", and that between trainings too" if several else ""
    )
    return Table(
        "ablation-changes",
        f"What one change alone does. It counts where {decides}.",
        ("change", "networks", "mIoU", "says", "boundary IoU", "says of boundaries"),
        tuple(rows),
    )


def _verdict(difference: Mapping[str, Any] | None) -> str:
    return {1: "better", -1: "worse"}.get(sign(difference) or 0, "cannot be told")


def _shares_table(shares: Shares) -> Table:
    rows = []
    for name in ORDER[2:]:
        found = shares.get(name, {})
        parts = [found.get(part, {}) for part in PART_NAMES]
        rows.append(
            (
                TITLES[name],
                *(part.get("share") for part in parts),
                *(part.get("changed") for part in parts[1:3]),
            )
        )
    return Table(
        "ablation-skips",
        f"Parts of the scores of each FCN-8s, on up to {PHOTOS} photos of the split: shares of the "
        "root mean squares (the mean over classes taken out at each pixel; results.json has the "
        "values), and the share of pixels whose label changes without the part.",
        ("network", *(f"share of {name}" for name in PART_NAMES.values()),
         "labels changed without pool4", "labels changed without pool3"),
        tuple(rows),
        digits=5,
    )  # fmt: skip


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


def _checks(scores: Scores) -> list[Check]:
    def check(sentence: str, of: str, to: str) -> Check:
        found = scores.differences.get((of, to), {}).get("miou")
        sure = sign(found)
        text = f"{TITLES[of]} against {TITLES[to]}: {difference_text(found) or 'not known'}"
        return Check(sentence, text, None if sure in (None, 0) else sure == 1)

    return [
        check("Skips are why FCN-8s is better.", FIXED, PLAIN),
        check("Learned upsampling is why FCN-8s is better.", LEARNED, FIXED),
    ]
