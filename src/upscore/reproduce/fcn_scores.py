"""Scores of the FCN-8s report's networks, with final and best weights, over all seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, stdev
from typing import Any

import numpy as np

from upscore.core.labels import LabelMap, RGBImage
from upscore.core.progress import count_items
from upscore.metrics.bootstrap import (
    Overlaps,
    mean_difference_interval,
    mean_iou_of,
    overlaps,
    spread_interval,
)
from upscore.metrics.confusion import count
from upscore.reproduce.context import Context
from upscore.reproduce.differences import boundary_overlaps, by_stage
from upscore.reproduce.fcn_trainings import by_setting
from upscore.reproduce.trainings import PlannedTraining

Pair = tuple[str, str]
"""A setting, and the setting that it is compared with."""


@dataclass(frozen=True)
class Scores:
    """All measured scores; JSON values.

    Attributes:
        networks: of every training, final weights, as ``upscore compare`` writes it.
        settings: of each setting the means over its seeds: ``scores`` (miou, pixel_accuracy,
            mean_accuracy) and ``boundary_iou`` of final weights, ``best`` (miou) of the best
            weights on the split, ``deviation`` of both mIoU, and ``difference`` to Exp. 1.
        differences: miou and boundary_iou of pairs of settings, each with ``low`` and ``high`` over
            the photos and, with several seeds, ``trainings``, the interval between trainings.
    """

    networks: dict[str, Any]
    settings: dict[str, dict[str, Any]]
    differences: dict[Pair, dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        return {
            **self.networks,
            "settings": self.settings,
            "differences": [
                {"of": of, "to": to, **found} for (of, to), found in self.differences.items()
            ],
        }


def measure(context: Context, pairs: Sequence[Pair]) -> Scores:
    """Label the split by final and best weights of each training, and score the label maps.

    Args:
        pairs: settings whose differences are wanted; those without a training are left out.

    Raises:
        DataError: no photo that all networks have labelled.
    """
    done = context.done
    final, best = (
        {
            plan.name: {"weights": context.weights(plan, final=of_final), "tile": "default"}
            for plan in done
        }
        for of_final in (True, False)
    )
    # the final weights are the stage of the training's name, and so are the best where they are
    # the same
    stages = {name: name if best[name] == final[name] else f"{name}-best" for name in final}
    for plan in done:
        _label(context, plan, {plan.name: final[plan.name]}, final=True)
        if (stage := stages[plan.name]) != plan.name:
            _label(context, plan, {stage: best[plan.name]}, final=False)
    groups = by_setting(done)
    titles = {plan.name: plan.title for plan in done}
    networks = context.score_stages("scores", titles, final, what="scoring")
    wanted = [(of, to) for of, to in pairs if of in groups and to in groups]
    found = context.folder.measured(
        "differences",
        {
            "final": final,
            "best": best,
            "pairs": [list(pair) for pair in wanted],
            "images": [image["name"] for image in networks["images"]],
            **context.of_data(),
        },
        lambda: _differences(context, groups, stages, wanted, networks),
    )
    differences = dict(zip(wanted, found["differences"], strict=True))
    contenders = by_stage(networks)
    settings = {
        name: {
            **_means([contenders[plan.name] for plan in plans],
                     [found["best"][plan.name] for plan in plans]),
            "difference": differences.get((name, "exp1"), {}).get("miou"),
        }
        for name, plans in groups.items()
    }  # fmt: skip
    return Scores(networks, settings, differences)


def _label(
    context: Context, plan: PlannedTraining, identities: Mapping[str, Any], *, final: bool
) -> None:
    """Label every photo by the final or the best weights of a training."""
    network = cache(lambda: context.network(plan, final=final))  # loaded for the first photo

    def predict(image: RGBImage, stages: Sequence[str]) -> Mapping[str, LabelMap]:
        return dict.fromkeys(stages, network().predict(image))

    weights = "final weights" if final else "best weights"
    context.label_all(identities, predict, f"labelling photos: {plan.title}, {weights}")


def _differences(
    context: Context,
    groups: Mapping[str, Sequence[PlannedTraining]],
    best: Mapping[str, str],
    pairs: Sequence[Pair],
    networks: Mapping[str, Any],
) -> dict[str, Any]:
    """mIoU of best weights, and differences of pairs; see :class:`Scores`.

    Args:
        best: stage of the best weights, by the name of the training.
    """
    counted = {image["name"] for image in networks["images"]}
    places = [place for place, pair in enumerate(context.split.pairs) if pair.name in counted]
    regions: dict[str, list[Any]] = {stage: [] for stage in {*best, *best.values()}}
    rims: dict[str, list[Any]] = {name: [] for name in best}
    num = len(context.dataset.labels)
    update = count_items(context.on_progress, "comparing")
    for done, place in enumerate(places, 1):
        truth = context.split.read_labels(place)
        for stage, rows in regions.items():
            labels = context.store.read(stage, place)
            rows.append(overlaps(count(truth, labels, num)))
            if stage in rims:
                rims[stage].append(boundary_overlaps(truth, labels, num))
        update(done, len(places))
    of_regions = {stage: np.stack(rows) for stage, rows in regions.items()}
    of_rims = {stage: np.stack(rows) for stage, rows in rims.items()}
    return {
        "best": {name: mean_iou_of(of_regions[stage]) for name, stage in best.items()},
        "differences": [
            {
                "miou": _difference(groups[of], groups[to], of_regions),
                "boundary_iou": _difference(groups[of], groups[to], of_rims),
            }
            for of, to in pairs
        ],
    }


def _difference(
    plans: Sequence[PlannedTraining],
    others: Sequence[PlannedTraining],
    counts: Mapping[str, Overlaps],
) -> dict[str, Any] | None:
    """Mean difference over the seeds that both settings have."""
    mine, theirs = ({plan.seed: counts[plan.name] for plan in part} for part in (plans, others))
    seeds = [seed for seed in mine if seed in theirs]
    if not seeds:
        return None
    each = [(mean_iou_of(mine[seed]), mean_iou_of(theirs[seed])) for seed in seeds]
    values = [one - other for one, other in each if one is not None and other is not None]
    if len(values) < len(seeds):
        return None
    low, high = mean_difference_interval([theirs[s] for s in seeds], [mine[s] for s in seeds])
    spread = spread_interval(values)
    return {
        "miou": fmean(values),
        "low": low,
        "high": high,
        "trainings": None if spread is None else list(spread),
    }


def _means(contenders: Sequence[Mapping[str, Any]], best: Sequence[float | None]) -> dict[str, Any]:
    """Means over the seeds of a setting; see :class:`Scores`."""
    keys = ("miou", "pixel_accuracy", "mean_accuracy")
    scores = {key: [one["scores"][key] for one in contenders] for key in keys}
    rims = [one["boundary_iou"]["mean"] for one in contenders]
    return {
        "scores": {key: mean(values) for key, values in scores.items()},
        "boundary_iou": {"mean": mean(rims)},
        "best": {"miou": mean(best)},
        "deviation": {"final": deviation(scores["miou"]), "best": deviation(best)},
        "seeds": len(contenders),
    }


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the known values; None where there is none."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def deviation(values: Iterable[float | None]) -> float | None:
    """Standard deviation of a sample; None for fewer than two values."""
    known = [value for value in values if value is not None]
    return stdev(known) if len(known) > 1 else None
