"""Scores on disk: one JSON with everything, and CSV tables for people and spreadsheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any

from upscore.core.failures import Failure, first_line
from upscore.core.files import read_json, refuse_newer, write_json, write_text
from upscore.core.labels import Labels
from upscore.core.tables import Table, write_csv
from upscore.errors import RunError
from upscore.metrics.confusion import Confusion, Scores
from upscore.metrics.evaluate import Evaluation, ImageScore

FORMAT_VERSION = 1
"""Files with and without details are both of this version: readers of one can read the other."""

DETAILS = ("boundary_iou", "boundary_f", "trimap", "sizes", "thinness")
"""The keys of the scores near boundaries and by object, in scores.json as in compare.json."""


def per_class_table(scores: Scores, labels: Labels) -> Table:
    """IoU, precision, recall, and parts of the pixels in truth and prediction, by class."""
    valid = scores.valid_pixels or 1
    rows = [
        (
            name,
            item.iou,
            item.precision,
            item.recall,
            item.pixels / valid,
            item.predicted / valid,
        )
        for name, item in zip(labels.names, scores.per_class, strict=True)
    ]
    return Table(("class", "IoU", "precision", "recall", "true share", "predicted share"), rows)


def scores_json(evaluation: Evaluation) -> dict[str, Any]:
    """Overall scores and those of each class by its name, as JSON values."""
    scores = evaluation.confusion.scores()
    classes = zip(evaluation.labels.names, scores.per_class, strict=True)
    return {"scores": scores.to_json(), "classes": {name: asdict(item) for name, item in classes}}


def write_results(
    evaluation: Evaluation, folder: Path, *, about: Mapping[str, Any] | None = None
) -> None:
    """Write scores.json, per_class.csv, images.csv and confusion.csv into ``folder``.

    With details also trimap.csv and sizes.csv.

    Args:
        about: further content of scores.json: data set, command, settings. JSON values.

    Raises:
        OutputError: the folder cannot be written.
    """
    scores = evaluation.confusion.scores()
    names = evaluation.labels.names
    details = evaluation.details
    write_json(
        folder / "scores.json",
        {
            "format_version": FORMAT_VERSION,
            "split": evaluation.split,
            "scores": scores.to_json(),
            "per_class": [
                {"name": name, **asdict(item)}
                for name, item in zip(names, scores.per_class, strict=True)
            ],
            "classes": evaluation.labels.to_json(),
            "confusion": evaluation.confusion.to_json(),
            **({} if details is None else details.to_json()),
            "objects_from": evaluation.objects_from,
            "images": [
                {key: value for key, value in asdict(image).items() if key != "covers"}
                for image in evaluation.images
            ],
            "failures": [asdict(failure) for failure in evaluation.failures],
            "seconds": evaluation.seconds,
            "predict_seconds": evaluation.predict_seconds,
            "about": dict(about or {}),
        },
    )
    write_csv(
        folder / "per_class.csv",
        ("class", "iou", "precision", "recall", "pixels", "predicted"),
        ((name, *astuple(item)) for name, item in zip(names, scores.per_class, strict=True)),
    )
    table = per_class_table(scores, evaluation.labels)
    mean = ("mean", scores.miou, None, scores.mean_accuracy, None, None)
    write_text(folder / "per_class.tex", Table(table.header, [*table.rows, mean]).latex())
    write_csv(
        folder / "images.csv",
        ("name", "pixel_accuracy", "miou", "valid_pixels",
         *(f"{name} {kind} share" for name in names for kind in ("true", "predicted"))),
        (
            (i.name, i.pixel_accuracy, i.miou, i.valid_pixels, *_shares(i, len(names)))
            for i in evaluation.images
        ),
    )  # fmt: skip
    write_csv(
        folder / "confusion.csv",
        ("truth \\ prediction", *names),
        ((n, *row) for n, row in zip(names, evaluation.confusion.to_json(), strict=True)),
    )
    if details is not None:
        write_csv(
            folder / "trimap.csv",
            ("width", "pixels", "pixel_accuracy", "miou"),
            ((b.width, b.pixels, b.pixel_accuracy, b.miou) for b in details.trimap.scores()),
        )
        write_csv(
            folder / "sizes.csv",
            ("objects", "number", "miou", "mean_recall", "pixel_recall"),
            (
                (name, int(sizes.objects[group]), sizes.miou(group), sizes.mean_recall(group),
                 sizes.accuracy(group))
                for sizes in (details.sizes, details.thinness)
                for group, name in enumerate(sizes.bins.names)
            ),
        )  # fmt: skip


@dataclass(frozen=True)
class Results:
    """The content of a scores.json. The scores are computed from the matrix again.

    Attributes:
        details: the content of :meth:`upscore.metrics.all_metrics.Details.to_json`; empty for a
            file without. The evaluation has none, as the file holds no counts for them.
    """

    evaluation: Evaluation
    about: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def scores(self) -> Scores:
        return self.evaluation.confusion.scores()


def read_results(folder: Path) -> Results:
    """Read the scores.json that :func:`write_results` wrote to ``folder``.

    Raises:
        NotFoundError: no scores.json there.
        RunError: it is damaged or written by a newer upscore.
    """
    path = folder / "scores.json"
    content = read_json(path)
    refuse_newer(path, content, FORMAT_VERSION)
    try:
        labels = Labels.from_json(content["classes"])
        confusion = Confusion.from_json(content["confusion"])
        if confusion.num_classes != len(labels):
            raise RunError(
                f"{path}: damaged, {len(labels)} classes but a confusion matrix of "
                f"{confusion.num_classes}; run `upscore evaluate` again"
            )
        evaluation = Evaluation(
            split=str(content["split"]),
            labels=labels,
            confusion=confusion,
            images=tuple(_image(item) for item in content["images"]),
            failures=tuple(
                Failure(int(item["index"]), str(item["name"]), str(item["message"]))
                for item in content["failures"]
            ),
            seconds=float(content["seconds"]),
            predict_seconds=float(content["predict_seconds"]),
            objects_from=content.get("objects_from"),
        )
        details = {key: content[key] for key in DETAILS if key in content}
        return Results(evaluation, dict(content.get("about", {})), details)
    except RunError:
        raise
    except Exception as error:  # values of any kind
        raise RunError(
            f"{path}: damaged ({type(error).__name__}: {first_line(error)}); run `upscore "
            "evaluate` again"
        ) from error


def _shares(image: ImageScore, num_classes: int) -> Sequence[float | None]:
    """Of each class, its true and its predicted part of the valid pixels; None: not known."""
    if not (image.covers and image.valid_pixels):
        return [None] * 2 * num_classes
    return [pixels / image.valid_pixels for pair in image.covers for pixels in pair]


def _image(item: Mapping[str, Any]) -> ImageScore:
    return ImageScore(
        index=int(item["index"]),
        name=str(item["name"]),
        pixel_accuracy=None if item["pixel_accuracy"] is None else float(item["pixel_accuracy"]),
        miou=None if item["miou"] is None else float(item["miou"]),
        valid_pixels=int(item["valid_pixels"]),
    )
