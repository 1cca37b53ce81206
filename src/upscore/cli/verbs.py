"""The commands of ``upscore``. A new command is its file and one row here.

Help, docs/commands.md and the tests take their lists of commands from this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Verb:
    """A command of ``upscore``.

    Attributes:
        name: as typed after ``upscore``; two words for a command of one of the ``GROUPS``.
        module, function: where it is; imported when the command tree is built.
    """

    name: str
    module: str
    function: str

    @property
    def group(self) -> str:
        """The first of two words, else empty."""
        return self.name.rpartition(" ")[0]

    def load(self) -> Callable[..., Any]:
        """The function, whose signature and docstring are the command's options and help."""
        function: Callable[..., Any] = getattr(import_module(self.module), self.function)
        return function


VERBS = (  # in the order of --help
    Verb("train", "upscore.cli.train", "train"),
    Verb("sweep", "upscore.cli.sweep", "sweep"),
    Verb("evaluate", "upscore.cli.evaluate", "evaluate"),
    Verb("compare", "upscore.cli.compare", "compare"),
    Verb("predict", "upscore.cli.predict", "predict"),
    Verb("pipeline", "upscore.cli.pipeline", "pipeline"),
    Verb("refine", "upscore.cli.refine", "refine"),
    Verb("tune-crf", "upscore.cli.tune_crf", "tune_crf"),
    Verb("report", "upscore.cli.report", "report"),
    Verb("reproduce fcn-report", "upscore.cli.reproduce", "fcn_report"),
    Verb("reproduce deconvnet-paper", "upscore.cli.reproduce", "deconvnet_paper"),
    Verb("data check", "upscore.cli.data", "check"),
    Verb("data stats", "upscore.cli.data", "stats"),
    Verb("data toy", "upscore.cli.data", "toy"),
    Verb("data get", "upscore.cli.data", "get"),
    Verb("proposals make", "upscore.cli.proposals", "make"),
    Verb("proposals recall", "upscore.cli.proposals_recall", "recall"),
    Verb("proposals show", "upscore.cli.proposals", "show"),
    Verb("edges train", "upscore.cli.edges", "train"),
    Verb("edges evaluate", "upscore.cli.edges", "evaluate"),
    Verb("hub push", "upscore.cli.hub", "push"),
    Verb("hub pull", "upscore.cli.hub", "pull"),
    Verb("recipes", "upscore.cli.recipes", "recipes"),
    Verb("doctor", "upscore.cli.doctor", "doctor"),
)

GROUPS: Mapping[str, str] = {
    "reproduce": "Rerun the experiments of a source: trainings, tables, figures, one page.",
    "data": "Check, count, make or fetch a data set.",
    "proposals": "Boxes that are likely to hold an object: make, measure, show.",
    "hub": "Push a network to huggingface.co, or pull one from there.",
    "edges": "Train or score the edge map of proposals.",
}
"""Help of the commands that have commands of their own."""
