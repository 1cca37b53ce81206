"""``upscore edges``: train the edge network, score edge maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from upscore.cli.console import console, keep_result
from upscore.cli.options import Assignments, EdgeModel, OptionalDir, Split, joined
from upscore.cli.progress import ProgressDisplay
from upscore.core.failures import check_failures
from upscore.core.tables import Table
from upscore.errors import InterruptedWorkError
from upscore.proposals.sources import EDGES

if TYPE_CHECKING:
    from upscore.edges.benchmark.score import EdgeScores

THRESHOLDS = 99


def train(
    *,
    data: Path,
    out: Path,
    recipe: Path | None = None,
    set: Assignments = (),
    resume: bool = False,
) -> None:
    """Train the edge network on BSDS500, from random weights.

    Args:
        data: BSDS500: train/ and val/ with photos and boundaries.
        out: Run folder to write. Other commands take its model.safetensors as --model.
        recipe: YAML file of settings; by default the settings of the shipped weights.
        set: Change settings, for example --set splits=[train] iterations=3000.
        resume: Resume the run in --out where it stopped (or start it).
    """
    from upscore.workflows.edge_training import load_edge_recipe
    from upscore.workflows.edges import train_edges

    settings = load_edge_recipe(recipe, joined(set))
    with ProgressDisplay() as on_progress:
        trained = train_edges(settings, data, out, resume=resume, on_progress=on_progress)
    keep_result(trained)
    if trained.interrupted:
        raise InterruptedWorkError(
            f"stopped at iteration {trained.iteration}; everything is saved. To continue, run the "
            "same command with --resume"
        )
    console.print(
        f"Trained {trained.iteration} iterations in {trained.seconds / 60:.1f} minutes.\n"
        f"Weights: {trained.weights}"
    )
    console.print(f"Next: upscore edges evaluate --data {data} --model {trained.weights}")


def evaluate(
    *,
    data: Annotated[Path, arg(metavar="DIR")],
    split: Split = "val",
    edges: Annotated[str, arg(metavar=f"{'|'.join(EDGES)}|DIR")] = "learned",
    model: EdgeModel = None,
    out: OptionalDir = None,
    thresholds: int = THRESHOLDS,
    thinned: bool = False,
    workers: int = 2,
) -> None:
    """Score edge maps on BSDS500 as its benchmark does: ODS, OIS, AP.

    Args:
        data: BSDS500: a folder with train/ and val/, or Berkeley's archive.
        edges: The detector, or a folder of edge maps from any tool: NAME.png (grey, 8 or 16 bits)
            or NAME.npy for the photo NAME.jpg.
        out: Folder for scores.json, images.csv, curve.csv and precision_recall.png; without it
            the scores are only printed.
        thresholds: Number of thresholds; the benchmark uses 99.
        thinned: The maps in the folder are already thinned by non-maximum suppression.
        workers: Number of processes that match pixels.
    """
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
    keep_result(evaluated)
    scores = evaluated.scores
    console.print(scores_table(scores).screen(left=(0,)))
    seconds = evaluated.about["seconds"]
    console.print(f"{len(scores.images)} photos of {split} in {seconds:.1f} s")
    if out is not None:
        console.print(f"Scores, tables and figure: {out}")
    check_failures(
        scores.failures,
        len(scores.images),
        "photos could not be scored",
        others="all others are",
        rest="see scores.json",
    )


def scores_table(scores: EdgeScores) -> Table:
    """ODS and OIS with where they are reached, and AP."""
    best, own = scores.best, scores.own_best
    rows = [
        ("ODS", best.f, best.precision, best.recall, f"{best.threshold:.3f}"),
        ("OIS", own.f, own.precision, own.recall, f"{own.threshold:.3f} (mean)"),
        ("AP", scores.ap, "", "", ""),
    ]
    return Table(("", "F", "precision", "recall", "threshold"), rows)
