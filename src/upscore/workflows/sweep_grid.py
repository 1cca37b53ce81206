"""The trainings of a sweep: one recipe, every combination of the values of some settings."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from upscore.core.settings import parse_assignment, set_key
from upscore.errors import SettingsError
from upscore.training.recipe import Recipe, load_recipe

LONGEST = 40
"""Characters of a value in the name of a folder."""


@dataclass(frozen=True)
class SweepConfig:
    """One training of a sweep.

    Attributes:
        name: of its run folder, made of the swept settings: ``lr=1e-05_seed=0``.
        settings: dotted key -> value of the swept settings.
        assignments: arguments for ``--set`` of ``upscore train``, fixed settings included.
        recipe: all settings.
    """

    name: str
    settings: dict[str, Any]
    assignments: tuple[str, ...]
    recipe: Recipe


@dataclass(frozen=True)
class SweepGrid:
    """All combinations; the last swept setting changes fastest.

    Attributes:
        swept: the settings with several values, in the order in which they were given.
    """

    swept: dict[str, tuple[Any, ...]]
    configs: tuple[SweepConfig, ...]

    def base(self) -> dict[str, Any]:
        """The settings that all of them share, as JSON; null in place of the swept ones."""
        content: dict[str, Any] = self.configs[0].recipe.model_dump(mode="json", by_alias=True)
        for key in self.swept:
            set_key(content, key, None)
        return content


def make_grid(recipe: str, assignments: Sequence[str]) -> SweepGrid:
    """The grid of ``KEY=VALUE,VALUE,...`` assignments, every recipe of it built and so checked.

    The values are a YAML list without its brackets: ``augment.crop=[32,32],[64,64]`` has two.

    Raises:
        NotFoundError: no such recipe file.
        SettingsError: no setting with two or more values, an empty value, one given twice, or
            values that do not fit (all of them are named).
    """
    swept: dict[str, tuple[Any, ...]] = {}
    fixed: dict[str, str] = {}
    for assignment in assignments:
        key, values = _values(assignment)
        if key in swept or key in fixed:
            raise SettingsError(f"--set {key} is given twice; separate its values by commas")
        if len(values) == 1:
            fixed[key] = assignment
        else:
            swept[key] = values
    if not swept:
        raise SettingsError(
            "nothing to sweep: give several values for one or more settings, for example --set "
            "optim.lr=1e-5,1e-4 --set seed=0,1,2 (for a single training: upscore train)"
        )
    return SweepGrid(swept, _configs(recipe, swept, list(fixed.values())))


def _values(assignment: str) -> tuple[str, tuple[Any, ...]]:
    """Key and values of ``KEY=VALUE,VALUE,...``. Raises SettingsError."""
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise SettingsError(
            f"--set {assignment!r}: write it as KEY=VALUE,VALUE,... for example optim.lr=1e-5,1e-4"
        )
    wrong = (
        f"--set {assignment!r}: a value is empty (write null for a setting that is off), a quote "
        "or bracket is not closed, or text with special characters is not in quotes"
    )
    if not text.strip() or text.rstrip().endswith(","):
        raise SettingsError(wrong)
    try:
        key, values = parse_assignment(f"{key}=[{text}]")
    except SettingsError as error:
        raise SettingsError(wrong) from error
    texts = [_json(value) for value in values]
    for place, one in enumerate(texts):
        if one in texts[:place]:
            raise SettingsError(f"--set {assignment!r}: {one} is given twice")
    return key, tuple(values)


def _configs(
    recipe: str, swept: dict[str, tuple[Any, ...]], fixed: Sequence[str]
) -> tuple[SweepConfig, ...]:
    short = _short_names(list(swept))
    configs: list[SweepConfig] = []
    problems: dict[str, None] = {}
    same: dict[str, str] = {}
    for choice in product(*swept.values()):
        settings = dict(zip(swept, choice, strict=True))
        given = (*fixed, *(f"{key}={_json(value)}" for key, value in settings.items()))
        name = "_".join(f"{short[key]}={_slug(value)}" for key, value in settings.items())
        try:
            built = load_recipe(recipe, given)
        except SettingsError as error:
            problems.update(dict.fromkeys(str(error).splitlines()))
            continue
        content = built.to_yaml()
        if content in same:
            raise SettingsError(
                f"{same[content]} and {name} are the same training; give each value once"
            )
        if name in same.values():
            raise SettingsError(f"two trainings would be called {name}; write values apart")
        same[content] = name
        configs.append(SweepConfig(name, settings, given, built))
    if problems:
        raise SettingsError("\n".join(problems))
    return tuple(configs)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each key, or the whole key if several have the same last part."""
    lasts = [key.rpartition(".")[2] for key in keys]
    return {
        key: last if lasts.count(last) == 1 else key
        for key, last in zip(keys, lasts, strict=True)
    }  # fmt: skip


def _slug(value: Any) -> str:
    """A value as part of a folder's name: ``1e-05``, ``32x64``, ``none``.

    What such a name cannot hold is replaced, and a checksum makes such values differ.
    """
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    if isinstance(value, (list, tuple)) and value and all(type(v) in (int, float) for v in value):
        return "x".join(map(repr, value))
    text = value if isinstance(value, str) else repr(value)
    clean = re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).strip("-.")[:LONGEST]
    if clean == text:
        return clean
    exact = json.dumps(value, sort_keys=True, default=str)
    return f"{clean}-{hashlib.sha256(exact.encode()).hexdigest()[:6]}".lstrip("-")
