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
        help="Small, medium and large objects as COCO has them (32^2 and 96^2 pixels), or by "
        "their share of the image (0.5 % and 5 %)."
    ),
]
EdgeModel = Annotated[
    Path | None,
    arg(help="Other weights of the edge network, of `upscore edges train`.", metavar="FILE"),
]
Figures = Annotated[
    str, arg(help="Formats of the figures: png, pdf, svg, joined by commas.", metavar="FORMATS")
]
Split = Annotated[str, arg(help="Which of its splits.", metavar="NAME")]
MaxPixels = Annotated[int, arg(help="Photos with more pixels are refused.")]

Assignments = Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="KEY=VALUE")]


def announced(run: Path) -> Path:
    """The run that is used where none was named; prints which one."""
    from upscore.cli.console import console

    console.print(f"Run {run}, the last one.")
    return run


def joined(groups: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The assignments of one or several ``--set``."""
    return tuple(assignment for group in groups for assignment in group)


def split_names(text: str) -> list[str]:
    """The names of a list joined by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
