"""A comparison as tables for people and spreadsheets, and as one JSON with everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

from upscore.core.files import write_json, write_text
from upscore.core.plural import plural
from upscore.core.tables import Row, Table
from upscore.metrics.comparison import Comparison, ModelScores
from upscore.metrics.object_size import ObjectSizes

FORMAT_VERSION = 1


def write_comparison(
    comparison: Comparison,
    folder: Path,
    *,
    pictures: Mapping[int, str],
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write compare.json, compare.md, and contenders, per_class, sizes, trimap and images.csv.

    Args:
        pictures: file of the picture of a row of ``comparison.images``.
        about: further content of compare.json. JSON values.

    Raises:
        OutputError: the folder cannot be written.
    """
    tables = {
        "contenders": model_table(comparison),
        "per_class": class_table(comparison),
        "sizes": size_table(comparison),
        "trimap": trimap_table(comparison),
        "images": image_table(comparison),
    }
    for name, table in tables.items():
        table.write_csv(folder / f"{name}.csv")
    shown = ("contenders", "per_class", "sizes")
    for name in shown:
        write_text(folder / f"{name}.tex", tables[name].latex())
    titles = {"contenders": f"{plural(len(comparison.images), 'image')} of {comparison.split}",
              "per_class": "IoU by class",
              "sizes": f"By object ({comparison.objects_from})"}  # fmt: skip
    parts = [f"## {titles[name]}\n\n{tables[name].markdown()}" for name in shown]
    parts.append(f"{sizes_note(comparison)}\n")
    if pictures:
        links = [f"![{comparison.images[row]}]({path})\n" for row, path in pictures.items()]
        parts.append("\n".join(["## Images with the largest differences\n", *links]))
    if comparison.failures:
        lines = "".join(f"- {failure.message}\n" for failure in comparison.failures)
        parts.append(f"## Images that do not count\n\n{lines}")
    write_text(folder / "compare.md", "\n".join(parts))
    write_json(folder / "compare.json", to_json(comparison, pictures, dict(about or {})))


def to_json(
    comparison: Comparison, pictures: Mapping[int, str], about: dict[str, Any]
) -> dict[str, Any]:
    """Scores, differences, images and failures as JSON values."""
    differences = [None, *map(asdict, comparison.differences)]
    images = [
        {"name": name, "miou": [c.image_miou[row] for c in comparison.models],
         "picture": pictures.get(row)}
        for row, name in enumerate(comparison.images)
    ]  # fmt: skip
    return {
        "format_version": FORMAT_VERSION,
        "split": comparison.split,
        "classes": comparison.labels.to_json(),
        "contenders": [
            _model(one) | {"difference": difference}
            for one, difference in zip(comparison.models, differences, strict=True)
        ],
        "objects_from": comparison.objects_from,
        "winners": comparison.winners(),
        "most_different": [{"row": row, "picture": pictures[row]} for row in pictures],
        "images": images,
        "failures": [asdict(failure) for failure in comparison.failures],
        "seed": comparison.seed,
        "about": about,
    }


def _model(one: ModelScores) -> dict[str, Any]:
    scores = one.scores
    return {
        "name": one.name,
        "scores": scores.to_json(),
        "per_class": [asdict(item) for item in scores.per_class],
        "confusion": one.confusion.to_json(),
        **one.details.to_json(),
        "seconds_an_image": one.seconds,
        "peak_memory_mib": round(one.peak_bytes / 2**20) or None,
    }


def model_table(comparison: Comparison) -> Table:
    """One row for each model: scores, the difference to the first one, time and memory."""
    header = ("name", "miou", "classes_averaged", "difference", "low", "high", "classes_better",
              "classes_worse", "pixel_accuracy", "mean_accuracy", "boundary_iou", "boundary_f",
              "seconds_an_image", "peak_memory_mib")  # fmt: skip
    rows: list[Row] = []
    for one, difference in zip(comparison.models, [None, *comparison.differences], strict=True):
        scores, details = one.scores, one.details
        against: Row = astuple(difference) if difference else (None,) * 5
        boundaries = details.boundary_iou.miou(), details.boundary_f.mean_f()
        rows.append(
            (one.name, scores.miou, scores.classes_averaged, *against, scores.pixel_accuracy,
             scores.mean_accuracy, *boundaries, one.seconds,
             round(one.peak_bytes / 2**20) or None)
        )  # fmt: skip
    return Table(header, rows)


def class_table(comparison: Comparison) -> Table:
    """One row a class: IoU of each model, and the model with the highest."""
    names = [one.name for one in comparison.models]
    scores = [one.scores.per_class for one in comparison.models]
    rows: list[Row] = []
    for index, (name, best) in enumerate(
        zip(comparison.labels.names, comparison.winners(), strict=True)
    ):
        values = [of[index].iou for of in scores]
        winners = " and ".join(names[place] for place in best)
        rows.append((name, *values, winners, scores[0][index].pixels))
    return Table(("class", *names, "best", "pixels"), rows)


def size_table(comparison: Comparison) -> Table:
    """One row for each group of objects and score: each model's."""
    names = [one.name for one in comparison.models]
    rows: list[Row] = []
    for of in ("sizes", "thinness"):
        counted: list[ObjectSizes] = [getattr(one.details, of) for one in comparison.models]
        for group, name in enumerate(counted[0].bins.names):
            number = int(counted[0].objects[group])
            rows.append((name, number, "mIoU", *(one.miou(group) for one in counted)))
            rows.append((name, number, "mean recall", *(one.mean_recall(group) for one in counted)))
    return Table(("objects", "number", "score", *names), rows)


def sizes_note(comparison: Comparison) -> str:
    """What small, large and thin mean."""
    first = comparison.models[0].details
    return (
        f"{first.sizes.bins.describe()}. {first.thinness.bins.describe()}. Means are over the "
        "classes with objects in the group."
    )


def trimap_table(comparison: Comparison) -> Table:
    """One row a width: pixels, accuracy of each model, mIoU of each."""
    names = [one.name for one in comparison.models]
    header = ("width", "pixels", *(f"accuracy {n}" for n in names), *(f"miou {n}" for n in names))
    rows: list[Row] = []
    for bands in zip(*(one.details.trimap.scores() for one in comparison.models), strict=True):
        accuracies = (band.pixel_accuracy for band in bands)
        rows.append((bands[0].width, bands[0].pixels, *accuracies, *(b.miou for b in bands)))
    return Table(header, rows)


def image_table(comparison: Comparison) -> Table:
    """One row an image: its own mIoU by each model."""
    return Table(
        ("name", *(one.name for one in comparison.models)),
        [
            (name, *(one.image_miou[row] for one in comparison.models))
            for row, name in enumerate(comparison.images)
        ],
    )
