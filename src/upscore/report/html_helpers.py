"""What the two kinds of page have in common: charts, numbers as text."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from upscore.core.labels import Labels
from upscore.report.figures.scores import DASHES, PAGE, learning_curve, svg
from upscore.report.run_data import Curve, RunData

NO_VALUE = "\u2013"


def charts(curves: Sequence[Curve]) -> list[dict[str, str]]:
    """Loss and validation curves of one or several runs as ``<svg>``, as far as a run has two
    points or more."""
    found = []
    if any(len(curve.losses) > 1 for curve in curves):
        caption = "Training loss, mean of the last 100 iterations."
        if len(curves) == 1 and curves[0].finer_than_mean:
            caption += " Faint: as logged."
        figure = learning_curve(curves, "loss", theme=PAGE)
        found.append({"svg": svg(figure, name="loss"), "caption": caption})
    if any(len(curve.val_miou) > 1 for curve in curves):
        figure = learning_curve(curves, "val_miou", theme=PAGE)
        found.append({"svg": svg(figure, name="val-miou"), "caption": _best(curves)})
    return found


def single_points(curves: Sequence[Curve], names: Sequence[str]) -> list[str]:
    """Sentences in place of the curves of which no run has more than one point.

    Args:
        names: of the runs; not used for a single one.
    """
    series = {
        "Training loss": [(curve.iterations, curve.losses) for curve in curves],
        "mIoU on the validation split": [
            (curve.val_iterations, curve.val_miou) for curve in curves
        ],
    }
    sentences = []
    for what, points in series.items():
        if max((len(values) for _, values in points), default=0) == 1:
            told = [
                f"{name + ' ' if len(curves) > 1 else ''}{values[0]:.3f} at iteration {at[0]:,}"
                for name, (at, values) in zip(names, points, strict=True)
                if values
            ]
            sentences.append(f"{what}: {', '.join(told)}; one point makes no curve.")
    return sentences


def _best(curves: Sequence[Curve]) -> str:
    if len(curves) > 1:
        return "mIoU on the validation split during training."
    curve = curves[0]
    best = max(range(len(curve.val_miou)), key=lambda i: curve.val_miou[i])
    return (
        f"mIoU on the validation split during training; best {curve.val_miou[best]:.3f} at "
        f"iteration {curve.val_iterations[best]:,}."
    )


def line_styles(runs: Sequence[RunData], names: Sequence[str]) -> list[dict[str, Any]]:
    """For the legend: which colour and dash each run has in :func:`learning_curve`."""
    styles = []
    for place, (run, name) in enumerate(zip(runs, names, strict=True)):
        dash = DASHES[place // len(PAGE.series) % len(DASHES)]
        pattern = "" if isinstance(dash, str) else " ".join(f"{2 * part:g}" for part in dash[1])
        styles.append(
            {
                "name": name,
                "series": place % len(PAGE.series),
                "dash": pattern,
                "absent": not run.curve.losses and not run.curve.val_miou,
            }
        )
    return styles


def anchor(place: int, name: str) -> str:
    """An id for a split that is safe whatever the split is called."""
    return f"split-{place}-" + re.sub(r"[^a-zA-Z0-9]+", "-", name).strip("-").lower()


def classes(labels: Labels) -> list[dict[str, Any]]:
    return [
        {"name": name, "color": color}
        for name, color in zip(labels.names, labels.colors, strict=True)
    ]


def note(text: str, *command: str | Path) -> dict[str, str]:
    """Something missing, and what to type."""
    return {"text": text, "command": shlex.join(str(part) for part in command)}


def evaluate_command(run: RunData, split: str = "val") -> tuple[str, ...]:
    data = run.recorded("data", "path") or "DATA"
    return ("upscore", "evaluate", str(run.path), "--data", str(data), "--split", split)


def score(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:.3f}"


def duration(seconds: float | None) -> str:
    """3 s, 4.2 min, 1 h 05 min."""
    if seconds is None:
        return NO_VALUE
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3570:
        return f"{seconds / 60:.1f} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def millions(count: Any) -> str:
    if not isinstance(count, int):
        return NO_VALUE
    if count < 1000:
        return str(count)
    digits = max(0, 2 - int(math.log10(count)) % 3)
    if count < 1_000_000:
        return f"{count / 1e3:.{digits}f} k"
    return f"{count / 1e6:.{digits}f} M"


def plain(value: Any) -> str:
    """A setting as one line of text."""
    if value is None:
        return NO_VALUE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(plain(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} {plain(item)}" for key, item in value.items()) + "}"
    return str(value)
