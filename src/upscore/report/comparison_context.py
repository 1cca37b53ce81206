"""What the page that compares runs shows, as plain values for its template."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from upscore.core.run_folder import unique_names
from upscore.report import html_helpers as parts
from upscore.report.examples import Example
from upscore.report.run_data import RunData, SplitResults, flatten, split_order

EXAMPLES = 12  # a split; each has two pictures and two more a run
OVERALL = ("miou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou")
COLUMNS = ("mIoU", "pixel accuracy", "mean accuracy", "frequency weighted IoU",
           "classes averaged", "images", "iterations", "minutes", "parameters")  # fmt: skip
"""What :data:`OVERALL` and :func:`_numbers` are called."""

Scored = tuple[str, RunData, SplitResults]
"""A run by its name, and its results on a split."""


def comparison_view(runs: Sequence[RunData]) -> dict[str, Any]:
    """Everything that compare.html.j2 names."""
    names = unique_names([run.path for run in runs])
    named = dict(zip(names, runs, strict=True))
    found = {split.name for run in runs for split in run.splits}
    splits = [
        _split(named, name, place) for place, name in enumerate(sorted(found, key=split_order))
    ]
    return {
        "title": f"Comparison of {len(runs)} runs",
        "summary": ", ".join(names),
        "names": names,
        "tiles": _tiles(splits),
        "notes": [
            parts.note(f"{name} has not been evaluated.", *parts.evaluate_command(run))
            for name, run in named.items()
            if not run.splits
        ],
        "splits": splits,
        "charts": parts.charts([run.curve for run in runs]),
        "points": parts.single_points([run.curve for run in runs], names),
        "lines": parts.line_styles(runs, names),
        "differences": _differences(runs),
    }


def _tiles(splits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not splits:
        return []
    first = splits[0]
    return [
        {
            "value": parts.score(row["scores"][0]["value"]),
            "name": f"mIoU on {first['name']}: {row['name']}",
            "best": row["scores"][0]["best"],
        }
        for row in first["table"]
    ]


def _split(runs: Mapping[str, RunData], name: str, place: int) -> dict[str, Any]:
    scored: list[Scored] = [
        (of, run, split) for of, run in runs.items() for split in run.splits if split.name == name
    ]
    columns = [
        _best([getattr(split.results.scores, key) for *_, split in scored]) for key in OVERALL
    ]
    return {
        "name": name,
        "anchor": parts.anchor(place, name),
        "notes": _split_notes(runs, name, scored),
        "names": [of for of, *_ in scored],
        "columns": COLUMNS,
        "table": [
            {
                "name": of,
                "scores": [column[row] for column in columns],
                "numbers": _numbers(run, split),
            }
            for row, (of, run, split) in enumerate(scored)
        ],
        "classes": _classes(scored),
        "legend": parts.classes(scored[0][2].results.evaluation.labels),
        "examples": _examples(scored),
    }


def _best(values: Sequence[float | None]) -> list[dict[str, Any]]:
    """Each value, and whether it is the highest of two or more."""
    known = [value for value in values if value is not None]
    top = max(known) if len(known) > 1 else None
    return [{"value": value, "best": value is not None and value == top} for value in values]


def _numbers(run: RunData, split: SplitResults) -> list[dict[str, Any]]:
    curve = run.curve
    minutes = None if curve.seconds is None else curve.seconds / 60
    parameters = run.model.get("num_parameters")
    return [
        _number(split.results.scores.classes_averaged, "{:,}".format),
        _number(len(split.results.evaluation.images), "{:,}".format),
        _number(curve.last_iteration or None, "{:,}".format),
        _number(minutes, "{:.1f}".format),
        _number(parameters if isinstance(parameters, int) else None, parts.millions),
    ]


def _number(value: float | None, shown: Callable[[Any], str]) -> dict[str, Any]:
    return {"value": value, "text": parts.NO_VALUE if value is None else shown(value)}


def _split_notes(
    runs: Mapping[str, RunData], name: str, scored: list[Scored]
) -> list[dict[str, str]]:
    have = {of for of, *_ in scored}
    notes = [
        parts.note(f"{of} has no scores on {name}.", *parts.evaluate_command(run, name))
        for of, run in runs.items()
        if of not in have and run.splits
    ]
    evaluations = [split.results.evaluation for *_, split in scored]
    if len({frozenset(evaluation.labels.names) for evaluation in evaluations}) > 1:
        notes.append(parts.note(f"The runs' classes differ on {name}: means are not comparable."))
    images = [frozenset(image.name for image in evaluation.images) for evaluation in evaluations]
    if len(set(images)) > 1:
        counts = ", ".join(
            f"{of} {len(some)}" for (of, *_), some in zip(scored, images, strict=True)
        )
        text = f"The runs were scored on different images of {name} ({counts})"
        notes.append(parts.note(text + ": their scores are not comparable."))
    return notes


def _classes(scored: list[Scored]) -> list[dict[str, Any]]:
    """IoU by class name, over all classes of all runs, in the order of the first."""
    colors: dict[str, Any] = {}
    by_name: list[dict[str, float | None]] = []
    for *_, split in scored:
        labels = split.results.evaluation.labels
        for name, color in zip(labels.names, labels.colors, strict=True):
            colors.setdefault(name, color)
        ious = [item.iou for item in split.results.scores.per_class]
        by_name.append(dict(zip(labels.names, ious, strict=True)))
    rows = []
    for name, color in colors.items():
        values = [ious.get(name) for ious in by_name]
        difference = None
        if len(values) == 2 and values[0] is not None and values[1] is not None:
            difference = values[1] - values[0]
        rows.append(
            {"name": name, "color": color, "scores": _best(values), "difference": difference}
        )
    return rows


def _examples(scored: list[Scored]) -> list[dict[str, Any]]:
    """Images that two or more runs have among their examples, worst first."""
    by_name: dict[str, list[tuple[str, SplitResults, Example]]] = {}
    for of, _, split in scored:
        for example in split.examples:
            by_name.setdefault(example.name, []).append((of, split, example))
    shared = [(name, who) for name, who in by_name.items() if len(who) > 1]
    shared.sort(key=lambda item: sum(example.miou for _, _, example in item[1]) / len(item[1]))
    rows = []
    for name, who in shared[:EXAMPLES]:
        _, split, example = who[0]
        shots = [split.shot(example, "photo", "photo"), split.shot(example, "truth", "truth")]
        for of, split, example in who:
            caption = f"{of}, mIoU {parts.score(example.miou)}"
            shots.append(split.shot(example, "prediction", caption))
            shots.append(split.shot(example, "error", f"{of}, error"))
        rows.append({"name": name, "shots": shots})
    return rows


def _differences(runs: Sequence[RunData]) -> list[dict[str, Any]]:
    """Settings and circumstances that are not the same in all runs."""
    flats = []
    for run in runs:
        circumstances = {
            "data": {key: run.recorded("data", key) for key in ("path", "layout", "fingerprint")},
            "device": run.recorded("device"),
            "precision used": run.recorded("precision"),
            "git commit": run.recorded("git_commit"),
            "machine": run.recorded_dict("machine"),
        }
        flats.append({**run.settings(), **flatten(circumstances)})
    keys = dict.fromkeys(key for flat in flats for key in flat)
    rows = []
    for key in keys:
        values = [parts.plain(flat.get(key)) for flat in flats]
        if len(set(values)) > 1:
            rows.append({"key": key, "values": values})
    return rows
