"""What the page about one run shows, as plain values for its template."""

from __future__ import annotations

from typing import Any

import numpy as np

from upscore.core.plural import plural
from upscore.metrics.confusion import Matrix
from upscore.report import html_helpers as parts
from upscore.report.examples import PICTURES, Kind
from upscore.report.figures.scores import confusion_heat_map, png
from upscore.report.pictures import embed_png
from upscore.report.run_data import RunData, SplitResults, split_order
from upscore.report.score_tables import absent_note

HEAT_TABLE_UP_TO = 40  # classes; above that the matrix is a picture
LEGEND_UP_TO = 60
MIX_UPS = 10
TITLES: dict[Kind, str] = {
    "worst": "Worst",
    "typical": "Typical: nearest to the median",
    "best": "Best",
}


def run_view(run: RunData) -> dict[str, Any]:
    """Everything that run.html.j2 names."""
    splits = sorted(run.splits, key=lambda item: split_order(item.name))
    return {
        "run": run,
        "summary": _summary(run),
        "tiles": _tiles(run, splits),
        "meaning": _meaning(splits[0]) if splits else "",
        "costs": _costs(run),
        "notes": _notes(run),
        "charts": parts.charts([run.curve]),
        "points": parts.single_points([run.curve], [run.name]),
        "splits": [_split(split, place) for place, split in enumerate(splits)],
        "facts": _facts(run),
        "versions": _versions(run),
    }


def _summary(run: RunData) -> str:
    facts = [str(run.recipe.get("description") or "").rstrip(".")]
    architecture = run.model.get("architecture") or run.settings().get("model.name")
    if architecture:
        facts.append(f"network {architecture}")
    if started := run.recorded("started"):
        facts.append(f"started {str(started).replace('T', ' ').removesuffix('+00:00')}")
    return " \u00b7 ".join(part for part in (*facts, _progress(run)) if part)


def _progress(run: RunData) -> str:
    """How far a training came that is not finished; "" of a finished one or where not recorded."""
    if run.recorded("progress", "finished") is not False:
        return ""
    parts_done = ["training not finished"]
    if isinstance(iterations := run.recorded("progress", "iterations"), int):
        parts_done.append(f"{plural(iterations, 'iteration')} done")
    if isinstance(fraction := run.recorded("progress", "fraction"), float):
        parts_done.append(f"{fraction:.0%} of its budget")
    return ", ".join(parts_done)


def _tiles(run: RunData, splits: list[SplitResults]) -> list[dict[str, str]]:
    """The headline: scores of the first split, mIoU of the others."""
    tiles = []
    if splits:
        first = splits[0]
        scores = first.results.scores
        over = f"mIoU on {first.name}, {scores.classes_averaged} classes"
        tiles += [
            {"value": parts.score(scores.miou), "name": over},
            {"value": parts.score(scores.pixel_accuracy), "name": "pixel accuracy"},
            {"value": parts.score(scores.mean_accuracy), "name": "mean accuracy"},
            {"value": parts.score(scores.frequency_weighted_iou), "name": "freq. weighted IoU"},
        ]
        for other in splits[1:]:
            miou = other.results.scores.miou
            tiles.append({"value": parts.score(miou), "name": f"mIoU on {other.name}"})
    elif run.curve.val_miou:
        best = max(run.curve.val_miou)
        tiles.append({"value": parts.score(best), "name": "best validation mIoU so far"})
    return tiles


def _meaning(split: SplitResults) -> str:
    """What the headline says, for people who do not know the scores."""
    baseline = split.results.scores.baseline()
    simplest = ""
    if baseline is not None:
        name = split.results.evaluation.labels.names[baseline[0]]
        simplest = f", {parts.score(baseline[1])} if every pixel were called {name}"
    return (
        "mIoU: the overlap of prediction and truth (intersection over union), averaged over the "
        f"classes; 1 is perfect{simplest}. Pixel accuracy: the share of pixels that are right."
    )


def _costs(run: RunData) -> list[dict[str, str]]:
    """What the training took."""
    tiles = []
    if run.curve.last_iteration:
        tiles.append({"value": f"{run.curve.last_iteration:,}", "name": "iterations"})
    if run.curve.seconds is not None:
        tiles.append({"value": parts.duration(run.curve.seconds), "name": "of training"})
    if isinstance(parameters := run.model.get("num_parameters"), int):
        tiles.append({"value": parts.millions(parameters), "name": "parameters"})
    return tiles


def _notes(run: RunData) -> list[dict[str, str]]:
    notes = []
    recipe = str(run.path / "recipe.yaml") if run.recipe else "RECIPE"
    data = run.recorded("data", "path") or "DATA"
    resume = ("upscore", "train", recipe, "--data", data, "--out", run.path, "--resume")
    if not run.model:
        missing = "This run holds no network yet: its training has not reached a validation."
        notes.append(parts.note(missing, *resume))
    elif _progress(run):
        notes.append(parts.note("The training is not finished. To go on with it, type:", *resume))
    if run.model and not run.splits:
        notes.append(parts.note("This run has not been evaluated.", *parts.evaluate_command(run)))
    if not run.recipe:
        notes.append(
            parts.note("There is no recipe.yaml in this run, so its settings are unknown.")
        )
    if not run.curve.losses and not run.curve.val_miou:
        notes.append(parts.note("There is no learning curve: log.csv is missing or empty."))
    return notes


def _split(split: SplitResults, place: int) -> dict[str, Any]:
    evaluation, scores = split.results.evaluation, split.results.scores
    labels, matrix = evaluation.labels, evaluation.confusion.matrix
    valid = max(1, scores.valid_pixels)
    classes = parts.classes(labels)
    as_table = len(labels) <= HEAT_TABLE_UP_TO
    return {
        "name": split.name,
        "anchor": parts.anchor(place, split.name),
        "summary": _about(split),
        "notes": _split_notes(split),
        "overall": [
            ("mIoU", parts.score(scores.miou)),
            ("pixel accuracy", parts.score(scores.pixel_accuracy)),
            ("mean accuracy", parts.score(scores.mean_accuracy)),
            ("frequency weighted IoU", parts.score(scores.frequency_weighted_iou)),
            ("classes averaged", f"{scores.classes_averaged} of {len(classes)}"),
            ("images", f"{len(evaluation.images):,}"),
        ],
        "classes": classes,
        "rows": [
            {"class": item, "scores": one, "share": one.pixels / valid}
            for item, one in zip(classes, scores.per_class, strict=True)
        ],
        "absent": absent_note(labels.names, (one.pixels for one in scores.per_class)),
        "heat": _row_shares(matrix) if as_table else None,
        "heat_picture": None if as_table else embed_png(png(confusion_heat_map(matrix, labels))),
        "mix_ups": _mix_ups(matrix, classes),
        "legend": classes if len(classes) <= LEGEND_UP_TO else [],
        "groups": [
            {"title": title, "examples": examples}
            for kind, title in TITLES.items()
            if (examples := _examples(split, kind))
        ],
    }


def _examples(split: SplitResults, kind: Kind) -> list[dict[str, Any]]:
    return [
        {"scores": example, "shots": [split.shot(example, what, what) for what in PICTURES]}
        for example in split.examples
        if example.kind == kind
    ]


def _about(split: SplitResults) -> str:
    evaluation, about = split.results.evaluation, split.results.about
    facts = [f"{len(evaluation.images)} images at their own resolution"]
    seconds = f"evaluated in {parts.duration(evaluation.seconds)}"
    if evaluation.overhead is not None:
        seconds += f", {evaluation.overhead:.1%} of it outside the network"
    facts.append(seconds)
    settings = about.get("settings")
    if isinstance(settings, dict):
        facts += [f"{key} {parts.plain(value)}" for key, value in settings.items()]
    return "; ".join(facts) + "."


def _split_notes(split: SplitResults) -> list[dict[str, str]]:
    failures = split.results.evaluation.failures
    notes = [parts.note(f"Not scored: {failure.message}") for failure in failures[:10]]
    if len(failures) > 10:
        notes.append(parts.note(f"{len(failures) - 10} more images were not scored."))
    if not split.results.scores.valid_pixels:
        notes.append(parts.note("No pixel of this split could be scored: all is void or unread."))
    return notes


def _row_shares(matrix: Matrix) -> list[list[float | None]]:
    """Each row as shares of its sum; None in a row of zeros."""
    return [[n / sum(row) if any(row) else None for n in row] for row in matrix.tolist()]


def _mix_ups(matrix: Matrix, classes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The largest entries off the diagonal."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    errors = int(wrong.sum())
    order = np.argsort(-wrong, axis=None, kind="stable")[:MIX_UPS]
    found = []
    for flat in order:
        row, column = divmod(int(flat), len(matrix))
        count = int(wrong[row, column])
        if count:
            found.append(
                {
                    "truth": classes[row],
                    "prediction": classes[column],
                    "of_class": count / int(matrix[row].sum()),
                    "of_errors": count / errors,
                }
            )
    return found


def _facts(run: RunData) -> list[tuple[str, str]]:
    splits = run.recorded_dict("data", "splits")
    counts = ", ".join(f"{name} {count}" for name, count in splits.items())
    memory = run.curve.memory_mib
    facts = [
        ("command", run.recorded("command")),
        ("started", run.recorded("started")),
        ("data", run.recorded("data", "path")),
        ("layout", run.recorded("data", "layout")),
        ("images", counts),
        ("fingerprint", run.recorded("data", "fingerprint")),
        ("network", run.model.get("architecture")),
        ("parameters", parts.millions(run.model.get("num_parameters")) if run.model else None),
        ("device", run.recorded("device")),
        ("precision", run.recorded("precision")),
        ("seed", run.recorded("seed")),
        ("peak memory", f"{memory:,.0f} MiB" if memory else None),
        ("run folder", str(run.path)),
    ]
    return [(name, parts.plain(value)) for name, value in facts if value not in (None, "")]


def _versions(run: RunData) -> list[tuple[str, str]]:
    machine = run.recorded_dict("machine")
    facts = {
        **{key: value for key, value in machine.items() if key != "versions"},
        "threads": run.recorded("threads"),
        "git commit": run.recorded("git_commit"),
        **run.recorded_dict("machine", "versions"),
    }
    return [(name, parts.plain(value)) for name, value in facts.items() if value is not None]
