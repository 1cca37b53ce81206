"""Boundary scores of groups of classes: the paper reports gains for some kinds of objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from upscore.core.labels import Labels
from upscore.metrics.bootstrap import mean_iou_of
from upscore.metrics.boundary import BoundaryF, BoundaryIoU
from upscore.metrics.confusion import mean_of_known
from upscore.report.document import Table
from upscore.reproduce.differences import interval, paired_difference
from upscore.reproduce.labelling import LabelStore

GROUPS = {
    "person": ("person", "face", "body", "pedestrian"),
    "animals": ("bird", "cat", "cow", "dog", "horse", "sheep"),
    "vehicles": ("aeroplane", "bicycle", "boat", "bus", "car", "motorbike", "train"),
}
"""Classes of VOC, MSRC and CamVid by group, found in a data set by their names."""


def groups_of(labels: Labels) -> dict[str, list[int]]:
    """Class indices by group, of the groups that have a class in the data set."""
    found = {
        group: [labels.names.index(name) for name in names if name in labels.names]
        for group, names in GROUPS.items()
    }
    return {group: classes for group, classes in found.items() if classes}


def group_boundaries(store: LabelStore, stages: Sequence[str]) -> dict[str, Any]:
    """Boundary scores by group of the photos that all stages have labelled.

    Of a group, its classes that are in the truth of those photos are averaged; a group without one
    is left out.

    Args:
        stages: names in the store; differences are to the first.

    Returns:
        By group: ``classes``, names; and ``stages``, by name: ``boundary_iou`` and ``boundary_f``,
        means over the classes, and ``difference`` of the boundary IoU to the first stage with its
        95 % interval by a paired bootstrap over photos, None of the first. JSON values.
    """
    labels = store.split.labels
    groups = groups_of(labels)
    counts: dict[str, list[Any]] = {stage: [] for stage in stages}
    f_scores = {stage: BoundaryF(len(labels)) for stage in stages}
    for _, truth, maps in store.complete(stages) if groups else ():
        for stage, map_ in zip(stages, maps, strict=True):
            of_photo = BoundaryIoU(len(labels))
            of_photo.update(truth, map_)
            counts[stage].append(of_photo.counts[0])
            f_scores[stage].update(truth, map_)
    if not counts[stages[0]]:
        return {}
    class_f = {stage: scores.class_f() for stage, scores in f_scores.items()}
    found: dict[str, Any] = {}
    for group, classes in groups.items():
        of = {stage: np.array(parts) for stage, parts in counts.items()}  # (N, 3, C)
        there = [c for c in classes if of[stages[0]][:, 1, c].any()]
        if not there:
            continue
        overlaps = {
            stage: np.stack(
                [part[:, 0, there], (part[:, 1] + part[:, 2] - part[:, 0])[:, there]], axis=1
            )
            for stage, part in of.items()
        }
        first = overlaps[stages[0]]
        found[group] = {
            "classes": [labels.names[c] for c in there],
            "stages": {
                stage: {
                    "boundary_iou": mean_iou_of(part),
                    "boundary_f": mean_of_known([class_f[stage][c] for c in there]),
                    "difference": None if part is first else paired_difference(first, part),
                }
                for stage, part in overlaps.items()
            },
        }
    return found


def group_table(found: Mapping[str, Any], titles: Mapping[str, str]) -> Table:
    """Boundary scores by group and method.

    Args:
        found: of :func:`group_boundaries`, of one group or more.
        titles: of the stages.
    """
    classes = "; ".join(f"{group}: {', '.join(of['classes'])}" for group, of in found.items())
    first = titles[next(iter(next(iter(found.values()))["stages"]))]
    return Table.of(
        "boundary-groups",
        f"Boundary scores of groups of classes, as means over their classes ({classes}); "
        f"difference of the boundary IoU to {first} with its 95 % interval.",
        [
            {
                "group": group,
                "method": titles[stage],
                "boundary IoU": one["boundary_iou"],
                "difference": interval(one),
                "boundary F": one["boundary_f"],
            }
            for group, of in found.items()
            for stage, one in of["stages"].items()
        ],
        digits=4,
    )
