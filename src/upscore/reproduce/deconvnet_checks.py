"""What the DeconvNet paper says, and whether a reproduction bears it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upscore.report.document import Check
from upscore.reproduce.deconvnet_stages import COUNTS, DECONVNET, FCN, NO_NORM, ONE_STAGE
from upscore.reproduce.differences import both, greater, interval, score_text, surely, told

NEAR = 5
"""Pixels from a boundary that the text looks at."""


def checks(
    of: Mapping[str, Any],
    ablations: Mapping[str, Any],
    proposals: Mapping[str, Any],
    mended: Mapping[str, Any],
) -> list[Check]:
    """Each sentence of the paper that can be counted.

    Args:
        of: the methods by stage, differences to FCN-8s.
        ablations: by stage, differences to DeconvNet.
        proposals: scores after so many proposals, differences to the first.
        mended: of :func:`upscore.reproduce.repairs.repairs`.
    """
    steps = [one["scores"]["miou"] for one in proposals["contenders"]]
    small = {name: of[name]["sizes"]["by_group"][0]["miou"] for name in (FCN, DECONVNET)}
    near = {name: of[name]["trimap"][NEAR - 1]["miou"] for name in (FCN, DECONVNET)}
    one_wrong = [mended["pixels"][kind] for kind in (1, 2)]
    right, wrong = (sum(part[k] for part in one_wrong) for k in (0, 1))
    share = right / (right + wrong) if right + wrong else None
    return [
        Check(
            "DeconvNet is better than FCN-8s (69.6 against 62.2 on VOC 2012 test).",
            f"DeconvNet against FCN-8s: {interval(of[DECONVNET])}",
            surely(of[DECONVNET], above=True),
        ),
        Check(
            "The ensemble is better than each of its members (71.7 against 69.6 and 62.2).",
            f"EDeconvNet against FCN-8s: {interval(of['edeconvnet'])}; against DeconvNet: "
            f"{interval(ablations['edeconvnet'])}",
            both(
                surely(of["edeconvnet"], above=True),
                surely(ablations["edeconvnet"], above=True),
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
            f"DeconvNet+CRF against DeconvNet: {interval(ablations['deconvnet-crf'])}",
            surely(ablations["deconvnet-crf"], above=True),
        ),
        Check(
            "Results improve as proposals are added.",
            "mIoU after " + ", ".join(
                f"{count}: {score_text(value)}" for count, value in zip(COUNTS, steps, strict=True)
            ),
            surely(proposals["contenders"][-1], above=True),
        ),
        Check(
            "Instance-wise prediction helps small objects.",
            f"mIoU of small objects: DeconvNet {score_text(small[DECONVNET])}, FCN-8s "
            f"{score_text(small[FCN])}",
            greater(small[DECONVNET], small[FCN]),
        ),
        Check(
            "DeconvNet keeps boundaries that FCN-8s blurs.",
            f"mIoU within {NEAR} pixels of a boundary: DeconvNet {score_text(near[DECONVNET])}, "
            f"FCN-8s {score_text(near[FCN])}",
            greater(near[DECONVNET], near[FCN]),
        ),
        Check(
            "Without batch normalisation it hardly trains.",
            f"without it against DeconvNet: {told(ablations.get(NO_NORM))}",
            surely(ablations.get(NO_NORM), above=False),
        ),
        Check(
            "Training in two stages helps.",
            f"stage 2 only against DeconvNet: {told(ablations.get(ONE_STAGE))}",
            surely(ablations.get(ONE_STAGE), above=False),
        ),
    ]  # fmt: skip
