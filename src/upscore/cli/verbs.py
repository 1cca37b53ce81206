"""The commands of ``upscore``. A new command is its file and one row here.

Help, docs/commands.md and the tests take their lists of commands from this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Verb:
    """A command of ``upscore``.

    Attributes:
        name: as typed after ``upscore``; two words for a command of one of the ``GROUPS``.
        module, function: where it is; imported when it is called or explained.
        examples: full command lines, for help and messages.
        extras: what it cannot do without, of :data:`upscore.core.extras.EXTRAS`. Extras that only
            some of its options need are checked where these are read.
    """

    name: str
    module: str
    function: str
    examples: tuple[str, ...]
    extras: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The first of two words, else empty."""
        return self.name.rpartition(" ")[0]

    def load(self) -> Callable[..., Any]:
        """The function, whose signature and docstring are the command's options and help."""
        function: Callable[..., Any] = getattr(import_module(self.module), self.function)
        return function


VERBS = (  # in the order of --help
    Verb(
        "demo",
        "upscore.cli.demo",
        "demo",
        ("upscore demo", "upscore demo --out DIR"),
        ("train", "report"),
    ),
    Verb(
        "train",
        "upscore.cli.train",
        "train",
        (
            "upscore train --data PHOTOS",
            "upscore train quick --data PHOTOS --out RUN --minutes 12",
            "upscore train quick --data PHOTOS --out RUN --resume",
        ),
        ("train",),
    ),
    Verb(
        "sweep",
        "upscore.cli.sweep",
        "sweep",
        ("upscore sweep quick --data PHOTOS --out DIR --set optim.lr=1e-3,2e-3",),
        ("train",),
    ),
    Verb(
        "evaluate",
        "upscore.cli.evaluate",
        "evaluate",
        (
            "upscore evaluate",
            "upscore evaluate RUN --data PHOTOS --split val",
            "upscore evaluate LABELS --data PHOTOS",
        ),
        ("evaluate",),
    ),
    Verb(
        "compare",
        "upscore.cli.compare",
        "compare",
        ("upscore compare RUN RUN2 --data PHOTOS --out DIR",),
        ("report",),
    ),
    Verb(
        "predict",
        "upscore.cli.predict",
        "predict",
        (
            "upscore predict photo.jpg",
            "upscore predict RUN PHOTOS --out DIR",
            "upscore predict 'PHOTOS/**/*.jpg' --model roads --save labels --out DIR",
        ),
    ),
    Verb(
        "classify",
        "upscore.cli.classify",
        "classify",
        (
            "upscore classify photo.jpg",
            "upscore classify photo.jpg --model vgg16 --top 3",
        ),
    ),
    Verb(
        "heatmap",
        "upscore.cli.classify",
        "heatmap",
        ("upscore heatmap photo.jpg --class tabby --out cat.png",),
        ("report",),
    ),
    Verb(
        "pipeline",
        "upscore.cli.pipeline",
        "pipeline",
        ("upscore pipeline edeconvnet-crf --run fcn=A --run deconvnet=B --out p.yaml",),
    ),
    Verb(
        "refine",
        "upscore.cli.refine",
        "refine",
        ("upscore refine LABELS --images PHOTOS --classes 21 --out DIR",),
        ("crf",),
    ),
    Verb(
        "tune-crf",
        "upscore.cli.tune_crf",
        "tune_crf",
        ("upscore tune-crf RUN --data PHOTOS",),
        ("tune",),
    ),
    Verb(
        "report",
        "upscore.cli.report",
        "report",
        (
            "upscore report",
            "upscore report RUN",
            "upscore report RUN RUN2 --out page.html",
        ),
        ("report",),
    ),
    Verb(
        "reproduce fcn-report",
        "upscore.cli.reproduce",
        "fcn_report",
        ("upscore reproduce fcn-report --data PHOTOS --out DIR",),
        ("train", "report", "crf", "proposals"),
    ),
    Verb(
        "reproduce deconvnet-paper",
        "upscore.cli.reproduce",
        "deconvnet_paper",
        ("upscore reproduce deconvnet-paper --data PHOTOS --out DIR",),
        ("train", "report", "crf", "proposals"),
    ),
    Verb(
        "reproduce history",
        "upscore.cli.reproduce",
        "history",
        (
            "upscore reproduce history --data PHOTOS --out DIR --budget minutes=30",
            "upscore reproduce history --data PHOTOS --out DIR --methods fcn8s,unet",
        ),
    ),
    Verb(
        "data check",
        "upscore.cli.data",
        "check",
        ("upscore data check PHOTOS",),
    ),
    Verb(
        "data stats",
        "upscore.cli.data",
        "stats",
        ("upscore data stats PHOTOS --figure stats.png",),
        ("evaluate",),
    ),
    Verb(
        "data toy",
        "upscore.cli.data",
        "toy",
        ("upscore data toy --out DIR --num 200",),
        ("evaluate",),
    ),
    Verb(
        "data get",
        "upscore.cli.data",
        "get",
        ("upscore data get voc2012 --to DIR",),
    ),
    Verb(
        "proposals make",
        "upscore.cli.proposals",
        "make",
        ("upscore proposals make --data PHOTOS --out boxes.parquet",),
        ("proposals",),
    ),
    Verb(
        "proposals recall",
        "upscore.cli.proposals_recall",
        "recall",
        ("upscore proposals recall --data PHOTOS --sources edge-boxes",),
        ("proposals", "report"),
    ),
    Verb(
        "proposals show",
        "upscore.cli.proposals",
        "show",
        ("upscore proposals show photo.jpg --out boxes.png",),
        ("proposals", "report"),
    ),
    Verb(
        "edges train",
        "upscore.cli.edges",
        "train",
        ("upscore edges train --data BSDS --out DIR",),
        ("train", "proposals"),
    ),
    Verb(
        "edges evaluate",
        "upscore.cli.edges",
        "evaluate",
        ("upscore edges evaluate --data BSDS",),
        ("proposals", "report"),
    ),
    Verb(
        "weights list",
        "upscore.cli.weights",
        "list_",
        ("upscore weights list",),
    ),
    Verb(
        "weights get",
        "upscore.cli.weights",
        "get",
        (
            "upscore weights get fcn8s-heavy --out DIR",
            "upscore weights get deconvnet --from FILE --out DIR",
        ),
    ),
    Verb(
        "weights convert",
        "upscore.cli.weights",
        "convert",
        ("upscore weights convert fcn8s-heavy-pascal.caffemodel --as fcn8s --out DIR",),
    ),
    Verb(
        "weights show",
        "upscore.cli.weights",
        "show",
        ("upscore weights show FILE",),
    ),
    Verb(
        "hub push",
        "upscore.cli.hub",
        "push",
        ("upscore hub push RUN --repo OWNER/NAME",),
        ("hub", "evaluate"),
    ),
    Verb(
        "hub pull",
        "upscore.cli.hub",
        "pull",
        ("upscore hub pull OWNER/NAME --out DIR",),
        ("hub",),
    ),
    Verb(
        "recipes",
        "upscore.cli.recipes",
        "recipes",
        (
            "upscore recipes",
            "upscore recipes quick",
        ),
    ),
    Verb(
        "info",
        "upscore.cli.info",
        "info",
        ("upscore info RUN",),
    ),
    Verb(
        "cite",
        "upscore.cli.cite",
        "cite",
        ("upscore cite RUN",),
    ),
    Verb(
        "completion",
        "upscore.cli.completion",
        "completion",
        ("upscore completion bash",),
    ),
    Verb(
        "doctor",
        "upscore.cli.doctor",
        "doctor",
        ("upscore doctor",),
    ),
)

SECTIONS: Mapping[str, Sequence[str]] = {
    "start": ("demo", "train", "predict", "evaluate", "report", "recipes", "info", "doctor"),
    "data": ("data",),
    "better results": ("compare", "sweep", "pipeline", "refine", "tune-crf"),
    "papers": ("reproduce", "classify", "heatmap", "weights", "proposals", "edges"),
    "share and cite": ("hub", "cite", "completion"),
}
"""The overview: titles, and the verbs and groups below each."""

GROUPS: Mapping[str, str] = {
    "reproduce": "Rerun the experiments of a paper: trainings, tables, figures, one page.",
    "data": "Check, count, make or fetch a data set.",
    "proposals": "Boxes that are likely to contain an object: make, measure, show.",
    "weights": "Use the weights that the papers' authors released.",
    "hub": "Push a network to huggingface.co, or pull one from there.",
    "edges": "Train or score the edge network for proposals.",
}
"""Help of the commands that have commands of their own."""
