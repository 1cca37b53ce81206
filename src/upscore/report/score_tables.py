"""Tables of scores, for the screen and for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from upscore.core.labels import Labels
from upscore.core.plural import plural
from upscore.core.tables import Row, Table
from upscore.metrics.comparison import Comparison
from upscore.metrics.confusion import Scores
from upscore.metrics.evaluate import Evaluation
from upscore.metrics.stage_files import boundary_scores

FEW_IMAGES = 20
"""Below it a comparison says so."""


def absent_note(names: Iterable[str], pixels: Iterable[int]) -> str:
    """A sentence on the classes without a pixel in the truth; empty where there are none."""
    absent = [name for name, number in zip(names, pixels, strict=True) if not number]
    if not absent:
        return ""
    return (
        f"Not in the truth: {', '.join(absent)}. Such a class has IoU 0 if it is predicted "
        "anywhere, and no IoU otherwise; the mean is over the classes with an IoU."
    )


def overall_table(scores: Scores, result: Evaluation) -> Table:
    """Scores over all classes, numbers of classes and images, and seconds."""
    num = scores.classes_averaged
    rows: list[Row] = [
        ("mIoU", scores.miou, f"mean over {num} of {len(result.labels)} classes"),
        *_baseline(scores, result.labels),
        ("pixel accuracy", scores.pixel_accuracy, ""),
        ("mean accuracy", scores.mean_accuracy, ""),
        ("frequency weighted IoU", scores.frequency_weighted_iou, ""),
    ]
    if (details := result.details) is not None:
        f, iou = details.boundary_f, details.boundary_iou
        rows += [
            ("boundary IoU", iou.miou(), f"rims of {iou.ratio:.0%} of the diagonal"),
            ("boundary F", f.mean_f(), f"within {f.tolerance:.2%} of the diagonal"),
        ]
    share = result.overhead
    overhead = "" if share is None else f", {share:.0%} of it reading and scoring"
    rows.append(("images", str(len(result.images)), f"in {result.seconds:.1f} s{overhead}"))
    return Table((), rows)


def _baseline(scores: Scores, labels: Labels) -> list[Row]:
    found = scores.baseline()
    if found is None:
        return []
    return [("  for comparison", found[1], f"every pixel called {labels.names[found[0]]}")]


def stages_table(
    results: Mapping[str, Evaluation], output: str, own_seconds: Mapping[str, float]
) -> Table:
    """Scores of each stage of a pipeline, and its seconds without those of its inputs."""
    rows = []
    for name, result in results.items():
        scores = result.confusion.scores()
        num = len(result.images)
        rows.append(
            (
                f"{name} (answer)" if name == output else name,
                scores.miou,
                scores.classes_averaged,
                scores.pixel_accuracy,
                scores.mean_accuracy,
                *boundary_scores(result),
                f"{own_seconds[name] / num:.2f}" if num else None,
            )
        )
    header = ("stage", "mIoU", "classes", "pixel accuracy", "mean accuracy", "boundary IoU",
              "boundary F", "own s/image")  # fmt: skip
    return Table(header, rows)


def difference_table(result: Comparison) -> Table:
    """One row a network: mIoU, and its difference to the first."""
    rows = []
    for one, d in zip(result.models, [None, *result.differences], strict=True):
        against: list[str | None] = ["", "", ""]
        if d is not None:
            difference = None if d.miou is None else f"{d.miou:+.4f}"
            against = [difference, f"{d.low:+.4f} to {d.high:+.4f}", f"{d.better}:{d.worse}"]
        scores = one.scores
        rows.append([one.name, scores.miou, f"{scores.classes_averaged} classes", *against])
    header = ("", "mIoU", "of", "difference", "95 % interval", "classes better:worse")
    return Table(header, rows)


def cost_table(result: Comparison) -> Table:
    """One row a network: the other scores, time and memory."""
    rows = [
        (
            one.name,
            one.scores.pixel_accuracy,
            one.details.boundary_iou.miou(),
            one.details.boundary_f.mean_f(),
            None if one.seconds is None else f"{one.seconds:.3f}",
            f"{one.peak_bytes / 2**20:,.0f}" if one.peak_bytes else None,
        )
        for one in result.models
    ]
    header = ("", "pixel accuracy", "boundary IoU", "boundary F", "s an image", "peak MiB")
    return Table(header, rows)


def verdict(result: Comparison) -> list[str]:
    """Sentences on the size and significance of each difference."""
    first = result.models[0].name
    lines = []
    for one, d in zip(result.models[1:], result.differences, strict=True):
        if d.miou is None:
            lines.append(f"{one.name}: nothing to score")
        elif d.significant:
            way = "above" if d.miou > 0 else "below"
            lines.append(
                f"{one.name} is {way} {first} by {abs(d.miou):.4f} mIoU, more than the choice of "
                "images explains (the 95 % interval leaves out 0)"
            )
        else:
            lines.append(
                f"{one.name} and {first} cannot be told apart on these images (the 95 % interval "
                "holds 0)"
            )
    if len(result.images) < FEW_IMAGES:
        lines.append(
            f"{plural(len(result.images), 'image')}: too few to say which is better. Compare on "
            f"{FEW_IMAGES} or more, and train each several times with other seeds."
        )
    return lines
