"""Files with the scores of several predictions, such as the stages of a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from upscore.core.files import write_json
from upscore.core.tables import write_csv
from upscore.metrics.evaluate import Evaluation

FORMAT_VERSION = 1


def boundary_scores(evaluation: Evaluation) -> tuple[float | None, float | None]:
    """Boundary IoU and boundary F; None where they were not counted or there is no boundary."""
    details = evaluation.details
    return (details.boundary_iou.miou(), details.boundary_f.mean_f()) if details else (None, None)


def write_stages(
    evaluations: Mapping[str, Evaluation],
    folder: Path,
    *,
    output: str,
    seconds: Mapping[str, float],
    about: Mapping[str, Any],
) -> None:
    """Write stages.json and stages.csv into ``folder``: the overall scores, and IoU by class.

    Args:
        evaluations: of one split, by the name of the stage.
        output: the main stage.
        seconds: each stage's own time over all images.
        about: data set, command, settings. JSON values.

    Raises:
        OutputError: the folder cannot be written.
    """
    scores = {name: item.confusion.scores() for name, item in evaluations.items()}
    boundaries = {name: boundary_scores(item) for name, item in evaluations.items()}
    first = next(iter(evaluations.values()))
    write_json(
        folder / "stages.json",
        {
            "format_version": FORMAT_VERSION,
            "split": first.split,
            "answer": output,
            "classes": list(first.labels.names),
            "stages": [
                {
                    "name": name,
                    "folder": name,
                    "scores": item.to_json(),
                    "iou": [one.iou for one in item.per_class],
                    "boundary_iou": boundaries[name][0],
                    "boundary_f": boundaries[name][1],
                    "own_seconds": seconds.get(name),
                }
                for name, item in scores.items()
            ],
            "images": len(first.images),
            "failures": len(first.failures),
            "seconds": first.seconds,
            "predict_seconds": first.predict_seconds,
            "about": dict(about),
        },
    )
    write_csv(
        folder / "stages.csv",
        ("stage", "miou", "pixel_accuracy", "mean_accuracy", "boundary_iou", "boundary_f",
         *first.labels.names),
        (
            [name, item.miou, item.pixel_accuracy, item.mean_accuracy, *boundaries[name]]
            + [one.iou for one in item.per_class]
            for name, item in scores.items()
        ),
    )  # fmt: skip
