"""The trainings of a sweep: one recipe, every combination of the values of some settings."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import yaml

from upscore.core.settings import parse_assignment
from upscore.errors import SettingsError
from upscore.training.recipe import Recipe, load_recipe

OPENING = (yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken)
CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)

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
    """All combinations, the last swept setting changing fastest.

    Attributes:
        swept: the settings with several values, in the order in which they were given.
        fixed: assignments that are the same for all.
    """

    swept: dict[str, tuple[Any, ...]]
    fixed: tuple[str, ...]
    configs: tuple[SweepConfig, ...]

    def base(self) -> dict[str, Any]:
        """The settings that all of them share, as JSON; null in place of the swept ones."""
        content: dict[str, Any] = self.configs[0].recipe.model_dump(mode="json", by_alias=True)
        for key in self.swept:
            *parents, last = key.split(".")
            place = content
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = None
        return content


def make_grid(recipe: str, assignments: Sequence[str]) -> SweepGrid:
    """The grid of ``KEY=VALUE,VALUE,...`` assignments, every recipe of it built and so checked.

    Values are separated by the commas that stand in no brackets and no quotes, and each is read as
    ``load_recipe`` reads it alone: ``augment.crop=[32,32],[64,64]`` has two values.

    Raises:
        NotFoundError: no such recipe file.
        SettingsError: no setting with two or more values, an empty value, one given twice, or
            values that do not fit (all of them are named).
    """
    swept: dict[str, list[tuple[str, Any]]] = {}
    fixed: list[str] = []
    seen: set[str] = set()
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        key = key.strip()
        if not equals or not key:
            raise SettingsError(
                f"--set {assignment!r}: write it as KEY=VALUE,VALUE,... as in optim.lr=1e-5,1e-4"
            )
        if key in seen:
            raise SettingsError(f"--set {key} is given twice; join its values by commas")
        seen.add(key)
        pieces = _values_of(assignment, text)
        values = [parse_assignment(f"{key}={piece}")[1] for piece in pieces]
        shown = [json.dumps(value, sort_keys=True, default=str) for value in values]
        for place, one in enumerate(shown):
            if one in shown[:place]:
                raise SettingsError(f"--set {assignment!r}: {pieces[place]} is given twice")
        if len(values) == 1:
            fixed.append(assignment)
        else:
            swept[key] = list(zip(pieces, values, strict=True))
    if not swept:
        raise SettingsError(
            "nothing to sweep: give one or more settings several values, as in --set "
            "optim.lr=1e-5,1e-4 --set seed=0,1,2 (one training alone: upscore train)"
        )
    configs = _configs(recipe, swept, tuple(fixed))
    return SweepGrid(
        {key: tuple(value for _, value in pairs) for key, pairs in swept.items()},
        tuple(fixed),
        configs,
    )


def _configs(
    recipe: str, swept: dict[str, list[tuple[str, Any]]], fixed: tuple[str, ...]
) -> tuple[SweepConfig, ...]:
    short = _short_names(list(swept))
    configs: list[SweepConfig] = []
    problems: dict[str, None] = {}
    same: dict[str, str] = {}
    for choice in product(*swept.values()):
        chosen = dict(zip(swept, choice, strict=True))
        given = (*fixed, *(f"{key}={text}" for key, (text, _) in chosen.items()))
        name = "_".join(f"{short[key]}={_slug(value)}" for key, (_, value) in chosen.items())
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
        settings = {key: value for key, (_, value) in chosen.items()}
        configs.append(SweepConfig(name, settings, given, built))
    if problems:
        raise SettingsError("\n".join(problems))
    return tuple(configs)


def _values_of(assignment: str, text: str) -> list[str]:
    try:
        pieces = split_values(text)
    except ValueError as error:
        raise SettingsError(f"--set {assignment!r}: {error}") from error
    if not all(pieces):
        raise SettingsError(
            f"--set {assignment!r}: a value is empty; write null for a setting that is off"
        )
    return pieces


def split_values(text: str) -> list[str]:
    """Split at the commas outside of brackets, braces and quotes, as YAML has them.

    Raises:
        ValueError: a bracket or quote that does not close, or characters that YAML does not allow.
    """
    flow = f"[{text}]"
    commas, depth = [0], 0
    try:
        for token in yaml.scan(flow):
            depth += isinstance(token, OPENING) - isinstance(token, CLOSING)
            if depth == 1 and isinstance(token, yaml.FlowEntryToken):
                commas.append(token.start_mark.index)
            if depth == 0 and isinstance(token, CLOSING) and token.end_mark.index < len(flow):
                raise ValueError("a bracket is not opened")
    except yaml.MarkedYAMLError as error:
        quoted = error.context == "while scanning a quoted scalar"
        raise ValueError("a quote is not closed" if quoted else str(error.problem)) from error
    if depth:
        raise ValueError("a bracket is not closed")
    return [flow[a + 1 : b].strip() for a, b in pairwise([*commas, len(flow) - 1])]


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each key, or the whole key where several end alike."""
    lasts = [key.rpartition(".")[2] for key in keys]
    return {
        key: last if lasts.count(last) == 1 else key
        for key, last in zip(keys, lasts, strict=True)
    }  # fmt: skip


def _slug(value: Any) -> str:
    """A value as part of a folder's name: ``1e-05``, ``32x64``, ``none``.

    What such a name cannot hold is replaced, and a checksum tells such values apart.
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
