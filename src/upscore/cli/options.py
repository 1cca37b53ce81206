"""Options that several commands have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import UseAppendAction, arg

OptionalInt = Annotated[int | None, arg(metavar="INT")]
OptionalPath = Annotated[Path | None, arg(metavar="PATH")]
OptionalFile = Annotated[Path | None, arg(metavar="FILE")]
OptionalDir = Annotated[Path | None, arg(metavar="DIR")]

Data = Annotated[
    Path, arg(help="The data set: a folder of a known layout, or a dataset.yaml.", metavar="PATH")
]
Recipe = Annotated[
    str,
    arg(
        help="Name of a shipped recipe (`upscore recipes` lists them) or a YAML file.",
        metavar="RECIPE",
    ),
]
Sizes = Annotated[
    Literal["coco", "relative"],
    arg(
        help="Limits of small, medium and large objects: as in COCO (32^2 and 96^2 pixels), or "
        "relative to the image (0.5 % and 5 %)."
    ),
]
EdgeModel = Annotated[
    Path | None,
    arg(help="Weights of the edge network, from `upscore edges train`.", metavar="FILE"),
]
Figures = Annotated[
    str,
    arg(help="Formats of the figures: png, pdf, svg, separated by commas.", metavar="FORMATS"),
]
Split = Annotated[str, arg(help="Split of the data set.", metavar="NAME")]
MaxPixels = Annotated[int, arg(help="Refuse photos with more pixels than this.")]

Assignments = Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="KEY=VALUE")]


def announced(run: Path) -> Path:
    """Print that the last run is used, as none was named; returns it."""
    from upscore.cli.console import console

    console.print(f"Using the last run, {run}.")
    return run


def joined(groups: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The assignments of one or several ``--set``."""
    return tuple(assignment for group in groups for assignment in group)


def split_names(text: str) -> list[str]:
    """The names of a list separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
