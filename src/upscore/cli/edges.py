"""``upscore edges``: train the edge network, score edge maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import UseAppendAction, arg

from upscore.core.failures import failures_begin, format_failures
from upscore.errors import InterruptedWorkError, WorkError
from upscore.proposals.sources import EDGES

if TYPE_CHECKING:
    from rich.table import Table

    from upscore.core.failures import Failure
    from upscore.edges.benchmark.score import EdgeScores

THRESHOLDS = 99


def train(
    *,
    data: Path,
    out: Path,
    recipe: Path | None = None,
    set: Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="KEY=VALUE")] = (),
    resume: bool = False,
) -> None:
    """Train the edge network on BSDS500, from random weights.

    Args:
        data: BSDS500: train/ and val/ with photos and boundaries.
        out: Run folder to write; its model.safetensors is what --model takes elsewhere.
        recipe: YAML file of settings; without it those of the shipped weights.
        set: Change settings, as in --set splits=[train] iterations=3000.
        resume: Go on with the run in --out where it stopped (or begin it).
    """
    from upscore.cli.console import console
    from upscore.cli.progress import ProgressDisplay
    from upscore.workflows.edge_training import load_edge_recipe
    from upscore.workflows.edges import train_edges

    settings = load_edge_recipe(recipe, tuple(word for group in set for word in group))
    with ProgressDisplay() as on_progress:
        trained = train_edges(settings, data, out, resume=resume, on_progress=on_progress)
    if trained.interrupted:
        raise InterruptedWorkError(
            f"stopped at iteration {trained.iteration}; everything is saved. Go on with the same "
            "command and --resume"
        )
    console.print(
        f"Trained {trained.iteration} iterations in {trained.seconds / 60:.1f} minutes.\n"
        f"Weights: {trained.weights}"
    )
    console.print(
        f"Next: upscore edges evaluate --data {data} --model {trained.weights}", markup=False
    )


def evaluate(
    *,
    data: Annotated[Path, arg(metavar="DIR")],
    split: Annotated[str, arg(metavar="NAME")] = "val",
    edges: Annotated[str, arg(metavar=f"{'|'.join(EDGES)}|DIR")] = "learned",
    model: Annotated[Path | None, arg(metavar="FILE")] = None,
    out: Annotated[Path | None, arg(metavar="DIR")] = None,
    thresholds: int = THRESHOLDS,
    thinned: bool = False,
    workers: int = 2,
) -> None:
    """Score edge maps on BSDS500 as its benchmark does: ODS, OIS, AP.

    Args:
        data: BSDS500: a folder of train/ and val/, or of Berkeley's archive.
        split: Which of its splits.
        edges: The detector; or a folder of edge maps of any tool, NAME.png (grey, 8 or 16 bits)
            or NAME.npy for the photo NAME.jpg.
        model: Other weights for learned, of `upscore edges train`.
        out: Where scores.json, images.csv, curve.csv and precision_recall.png go; without it the
            scores are only printed.
        thresholds: How many; 99 are customary.
        thinned: The maps of the folder had their non-maximum suppression already.
        workers: Processes that match pixels.
    """
    from upscore.cli.console import console
    from upscore.cli.progress import ProgressDisplay
    from upscore.workflows.edges import evaluate_edges

    with ProgressDisplay() as on_progress:
        evaluated = evaluate_edges(
            data,
            edges,
            split=split,
            model=model,
            out=out,
            thresholds=thresholds,
            thinned=thinned,
            workers=workers,
            on_progress=on_progress,
        )
    scores = evaluated.scores
    console.print(scores_table(scores))
    seconds = evaluated.about["seconds"]
    console.print(f"{len(scores.images)} photos of {split} in {seconds:.1f} s", markup=False)
    if out is not None:
        console.print(f"Scores, tables and figure: {out}", markup=False)
    if scores.failures:
        raise WorkError(_complaint(scores.failures, len(scores.images) + len(scores.failures)))


def scores_table(scores: EdgeScores) -> Table:
    """ODS and OIS with where they are reached, and AP."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for name in ("F", "precision", "recall", "threshold"):
        table.add_column(name, justify="right")
    for name, best in (("ODS", scores.best), ("OIS", scores.own_best)):
        table.add_row(
            name,
            f"{best.f:.4f}",
            f"{best.precision:.4f}",
            f"{best.recall:.4f}",
            f"{best.threshold:.3f}" + ("" if name == "ODS" else " (mean)"),
        )
    table.add_row("AP", f"{scores.ap:.4f}")
    return table


def _complaint(failures: Sequence[Failure], num_images: int) -> str:
    begin = failures_begin(len(failures), num_images, "photos")
    return format_failures(begin, [failure.message for failure in failures], rest="see scores.json")
