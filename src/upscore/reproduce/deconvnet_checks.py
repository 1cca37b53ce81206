"""Claims of the DeconvNet paper, and whether a reproduction confirms them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upscore.report.document import Check
from upscore.reproduce.deconvnet_measures import Measures
from upscore.reproduce.deconvnet_stages import COUNTS, DECONVNET, FCN, NO_NORM, ONE_STAGE, TITLES
from upscore.reproduce.differences import (
    Contender,
    both,
    by_stage,
    greater,
    interval,
    score_text,
    significant,
)
from upscore.reproduce.switches import exchange_text

NEAR = 5
"""Distance from a boundary, in pixels, that the claim is about."""


def checks(found: Measures) -> list[Check]:
    """One check for each claim of the paper that can be measured."""
    of, ablations = by_stage(found["methods"]), by_stage(found["ablations"])
    one_wrong = [found["repairs"]["pixels"][kind] for kind in (1, 2)]
    right, wrong = (sum(part[k] for part in one_wrong) for k in (0, 1))
    share = right / (right + wrong) if right + wrong else None
    return [
        Check(
            "DeconvNet is better than FCN-8s (69.6 against 62.2 on VOC 2012 test).",
            f"DeconvNet against FCN-8s: {_interval(of[DECONVNET])}",
            significant(of[DECONVNET], above=True),
        ),
        Check(
            "The ensemble is better than each of its members (71.7 against 69.6 and 62.2).",
            f"EDeconvNet against FCN-8s: {interval(of['edeconvnet'])}; against DeconvNet: "
            f"{interval(ablations['edeconvnet'])}",
            both(
                significant(of["edeconvnet"], above=True),
                significant(ablations["edeconvnet"], above=True),
            ),
        ),
        Check(
            "The gain comes from networks that are wrong in different places.",
            f"of the pixels that one of the two gets wrong, {score_text(share)} are right in the "
            "ensemble",
            None if share is None else share > 0.5,
        ),
        Check(
            "The CRF adds a little (0.9 points to DeconvNet).",
            f"DeconvNet+CRF against DeconvNet: {_interval(ablations['deconvnet-crf'])}",
            significant(ablations["deconvnet-crf"], above=True),
        ),
        gains_check(found["gains"]),
        proposals_check("the best first", found["proposals"]),
        proposals_check("the largest first", found["proposals-by-size"]),
        _without_interval(
            "Instance-wise prediction helps small objects.",
            "mIoU of small objects",
            {name: of[name]["sizes"]["by_group"][0]["miou"] for name in (DECONVNET, FCN)},
        ),
        _without_interval(
            "DeconvNet keeps boundaries that FCN-8s blurs.",
            f"mIoU within {NEAR} pixels of a boundary",
            {name: of[name]["trimap"][NEAR - 1]["miou"] for name in (DECONVNET, FCN)},
        ),
        *(boundary_check(group, one["stages"]) for group, one in found["boundaries"].items()),
        Check(
            "Unpooling keeps the example, deconvolution the class: with exchanged switches, scores "
            "lie where the object of the switches lies.",
            exchange_text(found["switches"]),
            significant(found["switches"], above=True),
        ),
        Check(
            "Without batch normalisation it hardly trains.",
            f"without it against DeconvNet: {_interval(ablations.get(NO_NORM))}",
            significant(ablations.get(NO_NORM), above=False),
        ),
        Check(
            "Training in two stages helps.",
            f"stage 2 only against DeconvNet: {_interval(ablations.get(ONE_STAGE))}",
            significant(ablations.get(ONE_STAGE), above=False),
        ),
    ]


def _without_interval(sentence: str, what: str, miou: Mapping[str, float | None]) -> Check:
    found = ", ".join(f"{TITLES[name]} {score_text(value)}" for name, value in miou.items())
    return Check(sentence, f"{what}: {found} (no interval)", greater(*miou.values()))


def proposals_check(order: str, proposals: Mapping[str, Any]) -> Check:
    steps = ", ".join(
        f"{count}: {score_text(one['scores']['miou'])}"
        for count, one in zip(COUNTS, proposals["contenders"], strict=True)
    )
    return Check(
        f"Results improve as proposals are added, {order}.",
        f"mIoU after {steps}",
        significant(proposals["contenders"][-1], above=True),
    )


def gains_check(gained: Mapping[str, Any]) -> Check:
    network = TITLES[gained["network"]]
    return Check(
        "The ensemble gains more than the CRF (2.1 points against 0.9, of DeconvNet).",
        f"over {network}, the better of the two networks here: EDeconvNet "
        f"{_interval(gained['ensemble'])}, the CRF {_interval(gained['crf'])}; difference of the "
        f"gains {_interval(gained['more'])}",
        significant(gained["more"], above=True),
    )


def boundary_check(group: str, stages: Mapping[str, Any]) -> Check:
    found = "; ".join(
        f"{TITLES[name]} {score_text(one['boundary_iou'])}"
        + (f" ({text})" if (text := interval(one)) else "")
        for name, one in stages.items()
        if name in (FCN, DECONVNET, "edeconvnet-crf")
    )
    return Check(
        f"DeconvNet gains at the boundaries of {group}.",
        f"boundary IoU, and its difference to {TITLES[FCN]}: {found}",
        significant(stages[DECONVNET], above=True),
    )


def _interval(contender: Contender | None) -> str:
    return interval(contender) or "missing"
