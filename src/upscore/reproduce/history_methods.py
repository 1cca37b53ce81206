"""The systems of ``upscore reproduce history`` and its page's text, from history.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Annotated, Any

from annotated_types import Gt
from pydantic import Field

from upscore.core.choices import chosen
from upscore.core.settings import Settings, build
from upscore.core.yaml_text import parse_yaml
from upscore.errors import SettingsError
from upscore.report.page_words import Language
from upscore.reproduce.pipeline_stages import runs_of


class Training(Settings):
    """A training that one or several systems need."""

    title: str
    recipe: str
    """Shipped recipe."""
    set: tuple[str, ...] = ()
    """Changes, ``KEY=VALUE``."""
    share: Annotated[float, Gt(0)] = 1.0
    """Of a shared budget, in ratio to the others."""
    whole: bool = False
    """Trained on crops of whole photos, whose size is that of the data's photos."""


class SchemeText(Settings):
    """Boxes and arrows of a drawing, see :mod:`upscore.report.figures.scheme`."""

    columns: tuple[tuple[str, float], ...]
    """Names of the boxes, those side by side with ``|`` between, and their height."""
    skips: tuple[tuple[int, int, str], ...] = ()


class Step(Settings):
    """One system of the history."""

    stage: str
    """Of the pipeline, whose label maps are the system's."""
    parts: tuple[str, ...] = ()
    """Stages before it that are shown too."""
    title: str
    titles: dict[str, str] = Field(default={})
    """Of its parts."""
    year: int
    after: str | None = None
    """Stage of the system that it is compared with."""
    adds: dict[Language, str]
    idea: dict[Language, str]
    source: dict[Language, str]
    scheme: SchemeText

    @property
    def stages(self) -> dict[str, str]:
        """Titles of its parts and then of itself, by stage."""
        return {**{part: self.titles[part] for part in self.parts}, self.stage: self.title}


class History(Settings):
    """All of history.yaml."""

    trainings: dict[str, Training]
    stages: dict[str, dict[str, Any]]
    steps: tuple[Step, ...]
    words: dict[Language, dict[str, str]]
    drawings: dict[Language, dict[str, str]]

    def choose(self, names: Sequence[str]) -> list[Step]:
        """The steps of these names, or all, in the order of their years."""
        return [step for step in self.steps if not names or step.stage in names]

    def needed(self, steps: Sequence[Step]) -> list[str]:
        """The trainings that these steps need, in the order of the table."""
        runs = {run for step in steps for run in self.runs(step.stage)}
        return [name for name in self.trainings if name in runs]

    def runs(self, stage: str) -> set[str]:
        """The trainings from whose networks a stage is made."""
        return runs_of(stage, self.stages)


def check_systems(names: Sequence[str]) -> tuple[str, ...]:
    """``names``, each once, in the order of their years; empty for all.

    Raises:
        SettingsError: an unknown name, or a single one, with which nothing can be compared.
    """
    if not names:
        return ()
    systems = chosen("methods", names, [step.stage for step in history().steps])
    if len(systems) == 1:
        raise SettingsError(
            f"--methods is {names[0]!r}; a history has two or more, as in --methods fcn8s,unet"
        )
    return systems


@cache
def history() -> History:
    """The table that ships with upscore."""
    text = (resources.files("upscore.reproduce") / "history.yaml").read_text("utf-8")
    content: Any = parse_yaml(text, "history.yaml")
    return build(History, content, "history.yaml")
