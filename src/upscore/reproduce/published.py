"""Published numbers of the two sources, with what is known of each.

Sources: the FCN-8s report on VOC 2012 (its Table 1, Table 2 and text), and table 1 of the DeconvNet
paper (Noh, Hong, Han 2015) with the rows it compares with.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Experiment:
    """One training of the report.

    Attributes:
        miou: on its validation split of VOC 2012.
        early: loss at the start and within 500 iterations, as its text says.
        last: loss at the end, as its text says.
    """

    name: str
    lr: float
    weight_decay: float
    iterations: int
    miou: float
    last: float
    early: tuple[float, float] | None


REPORT = (
    Experiment("Exp. 1", 1e-5, 1e-6, 20_000, 0.5160, 0.45, (3.12, 1.30)),
    Experiment("Exp. 2", 1e-5, 1e-5, 20_000, 0.5129, 0.45, (3.05, 1.32)),
    Experiment("Exp. 3", 1e-5, 1e-6, 40_000, 0.5591, 0.35, None),
)
EARLY_SHARE = 500 / 20_000
"""Fraction of Exp. 1's iterations after which the text gives an early loss."""


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper's table: IoU in per cent on VOC 2012 test, by class in VOC's order.

    Attributes:
        cells: None where no source at hand shows them.
    """

    name: str
    cells: tuple[float | None, ...]
    mean: float


def _read_table() -> tuple[list[str], tuple[PaperRow, ...]]:
    text = (resources.files("upscore.reproduce") / "deconvnet_table1.csv").read_text("utf-8")
    (_, _, *columns), *lines = csv.reader(text.splitlines())
    rows = (
        PaperRow(name, tuple(float(cell) if cell else None for cell in cells), float(mean))
        for name, mean, *cells in lines
    )
    return columns, tuple(rows)


VOC_COLUMNS, PAPER_TABLE = _read_table()
"""The paper's short names in VOC's order of classes, and its table 1 in its order, without the rows
that were trained on COCO too, which no source at hand shows."""


OTHER_MEANS = {"DeepLab-LargeFOV+CRF": 70.3}
"""Mean IoU on VOC 2012 test by the methods' own papers, of variants that the table does not have.
Its DeepLab-CRF (71.6) is DeepLab-MSc-CRF-LargeFOV, which is also trained on scores of the image and
of four pools."""


def published_mean(method: str) -> float | None:
    """Mean IoU in per cent on VOC 2012 test of a method by our title; None where none is known."""
    means = {row.name: row.mean for row in PAPER_TABLE} | OTHER_MEANS
    return means.get(method)


@dataclass(frozen=True)
class PaperStage:
    """A stage of the DeconvNet paper's training (sections 4.2 and 4.3), in its round numbers.

    Attributes:
        crops_of: objects or proposals.
        iterations: of ``batch`` samples each.
    """

    crops_of: str
    crops: int
    iterations: int
    batch: int = 64


PAPER_STAGES = (
    PaperStage("objects", 200_000, 20_000),
    PaperStage("proposals", 2_700_000, 40_000),
)
