"""Published numbers of the two sources, with what is known of each.

Sources: the FCN-8s report on VOC 2012 (its Table 1, Table 2 and text), and table 1 of the DeconvNet
paper (Noh, Hong, Han 2015) with the rows it compares with.
"""

from __future__ import annotations

from dataclasses import dataclass


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

VOC_COLUMNS = (
    "bkg aero bike bird boat bottle bus car cat chair cow table dog horse mbk person plant sheep "
    "sofa train tv"
).split()
"""The paper's short names, in VOC's order of classes."""


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper's table: IoU in per cent on VOC 2012 test, by class in VOC's order.

    Attributes:
        verified: read in a copy of the table; else remembered, with a mean that fits the cells.
    """

    name: str
    cells: tuple[float, ...]
    mean: float
    verified: bool = True


def _row(name: str, cells: str, mean: float, *, verified: bool = True) -> PaperRow:
    return PaperRow(name, tuple(map(float, cells.split())), mean, verified)


PAPER_TABLE = (
    _row(
        "Hypercolumn",
        "88.9 68.4 27.2 68.2 47.6 61.7 76.9 72.1 71.1 24.3 59.3 "
        "44.8 62.7 59.4 73.5 70.6 52.0 63.0 38.1 60.0 54.1",
        59.2,
    ),
    _row(
        "MSRA-CFM",
        "87.7 75.7 26.7 69.5 48.8 65.6 81.0 69.2 73.3 30.0 68.7 "
        "51.5 69.1 68.1 71.7 67.5 50.4 66.5 44.4 58.9 53.5",
        61.8,
    ),
    _row(
        "FCN-8s",
        "91.2 76.8 34.2 68.9 49.4 60.3 75.3 74.7 77.6 21.4 62.5 "
        "46.8 71.8 63.9 76.5 73.9 45.2 72.4 37.4 70.9 55.1",
        62.2,
    ),
    _row(
        "TTI-Zoomout-16",
        "89.8 81.9 35.1 78.2 57.4 56.5 80.5 74.0 79.8 22.4 69.6 "
        "53.7 74.0 76.0 76.6 68.8 44.3 70.2 40.2 68.9 55.3",
        64.4,
    ),
    _row(
        "DeepLab-CRF",
        "93.1 84.4 54.5 81.5 63.6 65.9 85.1 79.1 83.4 30.7 74.1 "
        "59.8 79.0 76.1 83.2 80.8 59.7 82.2 50.4 73.1 63.7",
        71.6,
    ),
    _row(
        "DeconvNet",
        "92.7 85.9 42.6 78.9 62.5 66.6 87.4 77.8 79.5 26.3 73.4 "
        "60.2 70.8 76.5 79.6 77.7 58.2 77.4 52.9 75.2 59.8",
        69.6,
        verified=False,
    ),
    _row(
        "DeconvNet+CRF",
        "92.9 87.8 41.9 80.6 63.9 67.3 88.1 78.4 81.3 25.9 73.7 "
        "61.2 72.0 77.0 79.9 78.7 59.5 78.3 55.0 75.2 61.5",
        70.5,
        verified=False,
    ),
    _row(
        "EDeconvNet",
        "92.9 88.4 39.7 79.0 63.0 67.7 87.1 81.5 84.4 27.8 76.1 "
        "61.2 78.0 79.3 83.1 79.3 58.0 82.5 52.3 80.1 64.0",
        71.7,
        verified=False,
    ),
    _row(
        "EDeconvNet+CRF",
        "93.1 89.9 39.3 79.7 63.9 68.2 87.4 81.2 86.1 28.5 77.0 "
        "62.0 79.0 80.3 83.6 80.2 58.8 83.4 54.3 80.7 65.0",
        72.5,
    ),
    _row(
        "WSSL (with COCO)",
        "93.2 85.3 36.2 84.8 61.2 67.5 84.7 81.4 81.0 30.8 73.8 "
        "53.8 77.5 76.5 82.3 81.6 56.3 78.9 52.3 76.6 63.3",
        70.4,
        verified=False,
    ),
    _row(
        "BoxSup (with COCO)",
        "93.6 86.4 35.5 79.7 65.2 65.2 84.3 78.5 83.7 30.5 76.2 "
        "62.6 79.3 76.1 82.1 81.3 57.0 78.2 55.0 72.5 68.1",
        71.0,
        verified=False,
    ),
)
"""Table 1 of the paper, in its order; the last two are trained on COCO too."""


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
