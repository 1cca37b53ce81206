"""What the FCN-8s report says, and whether a reproduction bears it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upscore.report.document import Check
from upscore.report.figures.reproduction import Line, at
from upscore.reproduce.differences import direction, greater, interval, score_text
from upscore.reproduce.fcn_trainings import NAMES, PLAIN
from upscore.reproduce.published import REPORT

LEVEL = 0.5
"""That the report has all three above."""


def checks(
    scores: Mapping[str, Any], lines: Mapping[str, Line], mark: int, *, timed: bool
) -> list[Check]:
    """Each sentence of the report that can be counted.

    Args:
        scores: of the networks, by the name of their training; differences are to Exp. 1.
        lines: their training losses.
        mark: iteration of the early look at the loss.
        timed: whether trainings were of minutes. Their warm-up goes by the clock, so that the same
            iteration of two of them may have had another learning rate.
    """
    miou = {
        name: scores[name]["scores"]["miou"] if name in scores else None for name in (*NAMES, PLAIN)
    }
    sure = {
        name: direction(scores.get(name)) if "exp1" in scores else None
        for name in ("exp2", "exp3", PLAIN)
    }
    three = [miou[name] for name in NAMES]
    known = [value for value in three if value is not None]
    told = ", ".join(
        f"{e.name} {'missing' if value is None else f'{value:.4f}'}"
        for e, value in zip(REPORT, three, strict=True)
    )
    complete = len(known) == len(NAMES)
    early = {name: at(line, mark) for name, line in lines.items()}
    ends = {name: line.y[-1] for name, line in lines.items() if line.y}
    last = {name: value for name, value in ends.items() if value is not None}
    return [
        Check(
            f"All three experiments reach an mIoU above {LEVEL}.",
            told,
            all(value > LEVEL for value in known) if complete else None,
        ),
        Check(
            "Exp. 3 is the best setting: longer training is what helps.",
            f"Exp. 3 against Exp. 1: {interval(scores.get('exp3')) or 'not known'}",
            None if sure["exp3"] in (None, 0) else sure["exp3"] == 1,
        ),
        Check(
            "The order of mIoU is Exp. 3, Exp. 1, Exp. 2.",
            f"{told}; Exp. 2 against Exp. 1: {interval(scores.get('exp2')) or 'not known'}",
            _order_holds(sure),
        ),
        Check(
            "More weight decay (Exp. 2) slows the first descent of the loss.",
            f"loss at {mark:,} iterations: Exp. 1 {score_text(early.get('exp1'))}, "
            f"Exp. 2 {score_text(early.get('exp2'))} (the report: 1.30 and 1.32 at 500)"
            + ("; of trainings by the clock, whose warm-up is not the same" if timed else ""),
            None if timed else greater(early.get("exp2"), early.get("exp1")),
        ),
        Check(
            "The loss of Exp. 3 ends lower (about 0.35) than those of Exp. 1 and 2 (about 0.45).",
            ", ".join(
                f"{e.name} {score_text(last.get(name))}"
                for name, e in zip(NAMES, REPORT, strict=True)
            ),
            min(last["exp1"], last["exp2"]) > last["exp3"] if len(last) == len(NAMES) else None,
        ),
        Check(
            "The order of mIoU is the order of the final loss, the lowest loss first.",
            "by mIoU: "
            + _ranking(miou, rising=False)
            + "; by loss: "
            + _ranking(last, rising=True),
            _ranking(miou, rising=False) == _ranking(last, rising=True)
            if complete and len(last) == len(NAMES)
            else None,
        ),
        Check(
            "FCN-8s restores outlines that the plain bilinear model does not.",
            f"{PLAIN} against Exp. 1, mIoU: {interval(scores.get(PLAIN)) or 'not known'}; "
            f"boundary IoU {_boundary(scores, PLAIN)} against {_boundary(scores, 'exp1')}",
            None if sure[PLAIN] in (None, 0) else sure[PLAIN] == -1,
        ),
    ]


def _order_holds(sure: Mapping[str, int | None]) -> bool | None:
    longer, decayed = sure["exp3"], sure["exp2"]
    if longer == -1 or decayed == 1:
        return False
    return True if (longer, decayed) == (1, -1) else None


def _boundary(scores: Mapping[str, Any], name: str) -> str:
    return score_text(scores[name]["boundary_iou"]["mean"]) if name in scores else "missing"


def _ranking(values: Mapping[str, float | None], *, rising: bool) -> str:
    names = dict(zip(NAMES, (e.name for e in REPORT), strict=True))
    known = {n: v for n, v in values.items() if n in names and v is not None}
    order = sorted(known, key=lambda name: known[name] if rising else -known[name])
    return ", ".join(names[name] for name in order)
