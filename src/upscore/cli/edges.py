"""``upscore edges``: train the edge network, score edge maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from tyro.conf import arg
from tyro.extras import SubcommandApp

from upscore.cli.proposal_options import EdgesName
from upscore.core.failures import tell_failures
from upscore.errors import DataError, NotFoundError, SettingsError, WorkError

if TYPE_CHECKING:
    from rich.table import Table

    from upscore.data.formats.bsds import BSDSImage
    from upscore.edges.benchmark.score import EdgeScores, Item, Strength
    from upscore.metrics.evaluate import Failure

THRESHOLDS = 99


def evaluate(
    *,
    data: Annotated[Path, arg(metavar="DIR")],
    split: Annotated[str, arg(metavar="NAME")] = "val",
    edges: Annotated[str, arg(metavar="learned|gradient|structured-forest|DIR")] = "learned",
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
        model: The user's file of the structured forest, or other weights for learned.
        out: Where scores.json, images.csv, curve.csv and precision_recall.png go; without it the
            scores are only printed.
        thresholds: How many; 99 are customary.
        thinned: The maps of the folder had their non-maximum suppression already.
        workers: Processes that match pixels.
    """
    import time

    from upscore.cli.console import console, progress, show_messages
    from upscore.core.files import make_folder
    from upscore.data.formats.bsds import find_bsds
    from upscore.edges.benchmark.files import write_edge_scores
    from upscore.edges.benchmark.score import evaluate_edges
    from upscore.report.figures.edges import edge_figure
    from upscore.report.figures.scores import write_png

    if thresholds < 1:
        raise SettingsError(f"--thresholds is {thresholds}; allowed: 1 or more")
    if workers < 1:
        raise SettingsError(f"--workers is {workers}; allowed: 1 or more")
    splits = find_bsds(data)
    if split not in splits:
        raise SettingsError(f"{data}: no split {split!r}; it has {', '.join(splits)}")
    images = splits[split]
    strength_of, settings = _source(edges, model, thinned, images)
    if out is not None:
        make_folder(out)  # before the work: an --out that cannot be written is told at once
    show_messages("upscore.compiled")
    begin = time.perf_counter()
    with progress(f"edges of {split}") as update:
        scores = evaluate_edges(
            _items(images, strength_of),
            thresholds=thresholds,
            workers=min(workers, len(images)),
            thinned=thinned,
            progress=update,
            total=len(images),
        )
    seconds = time.perf_counter() - begin
    if out is not None:
        about = _about(data, split, settings, seconds)
        write_edge_scores(scores, out, about=about)
        name = edges if edges in get_args(EdgesName) else Path(edges).resolve().name
        write_png(out / "precision_recall.png", edge_figure({name: scores}))
    console.print(scores_table(scores))
    console.print(f"{len(scores.images)} photos of {split} in {seconds:.1f} s", markup=False)
    if out is not None:
        console.print(f"Scores, tables and figure: {out}", markup=False)
    if scores.failures:
        raise WorkError(_complaint(scores.failures, len(images)))


def build_edges_app() -> SubcommandApp:
    """The verbs of ``upscore edges``."""
    from upscore.cli.edges_train import train

    app = SubcommandApp()
    app.command(train)
    app.command(evaluate)
    return app


def _source(
    edges: str, model: Path | None, thinned: bool, images: Sequence[BSDSImage]
) -> tuple[Callable[[BSDSImage], Strength], dict[str, Any]]:
    """What makes the edge map of an image, and how, for the record.

    Raises:
        SettingsError: no such detector or folder, an option that does not belong to it, or a
            folder without a map of any of the photos.
    """
    if edges not in get_args(EdgesName):
        return _folder(edges, model, thinned, images)
    from upscore.cli.proposal_options import make_edges

    if thinned:
        raise SettingsError(
            "--thinned is for a folder of edge maps that were thinned before; leave it out"
        )
    detector = make_edges(edges, model=model)  # type: ignore[arg-type]

    def detected(image: BSDSImage) -> Strength:
        try:
            strength: Strength = detector(image.read_image())[0]
        except DataError as error:
            path = str(image.image_path)
            raise error if path in str(error) else DataError(f"{path}: {error}") from error
        return strength

    return detected, dict(detector.settings())


def _folder(
    edges: str, model: Path | None, thinned: bool, images: Sequence[BSDSImage]
) -> tuple[Callable[[BSDSImage], Strength], dict[str, Any]]:
    from upscore.edges.benchmark.files import find_edge_map, read_edge_map

    folder = Path(edges)
    if not folder.is_dir():
        raise SettingsError(
            f"--edges {edges}: no such detector and no such folder; allowed: "
            f"{', '.join(get_args(EdgesName))}, or a folder of edge maps"
        )
    if model is not None:
        raise SettingsError(f"--model {model}: a folder of edge maps has no model; leave it out")
    names = {path.stem for path in folder.iterdir()}
    if not any(image.name in names for image in images):
        raise SettingsError(
            f"{folder}: no edge map of any photo; want {images[0].name}.png (grey, 8 or 16 bits) "
            f"or {images[0].name}.npy, and so on for all {len(images)}"
        )

    def read(image: BSDSImage) -> Strength:
        return read_edge_map(find_edge_map(folder, image.name))

    return read, {"kind": "folder", "path": str(folder), "thinned": thinned}


def _items(
    images: Sequence[BSDSImage], strength_of: Callable[[BSDSImage], Strength]
) -> Iterator[Item | Failure]:
    from upscore.metrics.evaluate import Failure

    for index, image in enumerate(images):
        try:
            yield image.name, strength_of(image), image.read_boundaries()
        except (DataError, NotFoundError) as error:
            yield Failure(index, image.name, str(error))


def _about(data: Path, split: str, settings: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    import shlex
    import sys
    from datetime import UTC, datetime

    from upscore.core.runtime import installed_version

    return {
        "data": str(data),
        "split": split,
        "edges": dict(settings),
        "seconds": round(seconds, 2),
        "command": shlex.join(["upscore", *sys.argv[1:]]),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "upscore": installed_version("upscore"),
    }


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
    begin = f"{len(failures)} of {num_images} photos could not be scored; all others are:"
    return tell_failures(begin, [failure.message for failure in failures], rest="see scores.json")
