"""Strict settings: unknown keys refused, every problem listed at once, in dotted keys."""

from __future__ import annotations

import difflib
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo

from upscore.core.choices import suggest
from upscore.core.damage import read_text
from upscore.core.failures import LISTED
from upscore.core.quoting import LONGEST, quote, shorten
from upscore.core.yaml_text import LONGEST_FILE, parse_yaml
from upscore.errors import SettingsError


class Settings(BaseModel):
    """Base of all settings classes. Field docstrings are the help text."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_switches(cls, value: Any, info: ValidationInfo) -> Any:
        """True and false, in YAML also yes and no, are no numbers; pydantic takes them for 1, 0."""
        strict = cls.model_config.get("strict", False)  # pydantic refuses them itself
        if isinstance(value, bool) and info.field_name is not None and not strict:
            kinds = _kinds(cls.model_fields[info.field_name].annotation)
            if kinds & {int, float} and bool not in kinds:
                raise ValueError(f"expected a number, found {str(value).lower()}")
        return value


def _kinds(annotation: Any) -> set[Any]:
    """The types that a union allows."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return set().union(*map(_kinds, get_args(annotation)))
    return {annotation}


LONGEST_NAME = 255
"""Bytes of the name of a file."""


def check_path(path: Path) -> Path:
    """Refuse what no system takes for a path. Raises ValueError."""
    longest = max((len(part.encode("utf-8", "replace")) for part in path.parts), default=0)
    if longest > LONGEST_NAME or len(str(path)) > 4000 or "\0" in str(path):
        raise ValueError(f"no path: names of files have up to {LONGEST_NAME} bytes")
    return path


FilePath = Annotated[Path, AfterValidator(check_path)]
"""A path in a file of settings."""

Count = Annotated[int, Ge(1), Le(10**9)]
"""A number of things, such as iterations."""

Side = Annotated[int, Ge(1), Le(16384)]
"""Height or width in pixels."""

Model = TypeVar("Model", bound=Settings)


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping from a file.

    Raises:
        NotFoundError: no such file.
        SettingsError: not YAML, or not a mapping.
    """
    content = parse_yaml(read_text(path, LONGEST_FILE, error=SettingsError), str(path))
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: expected 'key: value' lines, found {type(content).__name__}")
    return content


def parse_assignment(assignment: str) -> tuple[str, Any]:
    """Key and value of ``a.b=value``; the value is read as YAML, in which 1e-5 is a number.

    Raises:
        SettingsError: no ``=``, or no YAML.
    """
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise SettingsError(
            f"--set {quote(assignment)}: write it as KEY=VALUE, for example optim.lr=0.001"
        )
    try:
        return key.strip(), parse_yaml(text, "the value", exponents=True) if text else None
    except SettingsError as error:
        raise SettingsError(f"--set {quote(assignment)}: the value is not valid YAML") from error


def set_dotted(content: dict[str, Any], assignment: str) -> None:
    """Apply ``a.b=value`` to nested dictionaries; the value is read as YAML.

    Raises:
        SettingsError: no ``=``, no YAML, or a part of the key is a plain value.
    """
    key, value = parse_assignment(assignment)
    try:
        set_key(content, key, value)
    except SettingsError as error:
        raise SettingsError(f"--set {quote(assignment)}: {error}") from error


def set_key(content: dict[str, Any], key: str, value: Any) -> None:
    """Set ``a.b`` in nested dictionaries; SettingsError where a part of the key is a value."""
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        deeper = place.get(parent)
        if deeper is None:
            deeper = place[parent] = {}
        if not isinstance(deeper, dict):
            raise SettingsError(f"{quote(parent)} is a value, it has no parts")
        place = deeper
    place[last] = value


def build(model: type[Model], content: dict[str, Any], source: str) -> Model:
    """Validate ``content`` against ``model``.

    Raises:
        SettingsError: one line per problem: dotted key, what was found, what is allowed.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = error.errors()
        lines = [_line(model, problem) for problem in problems[:LISTED]]
        parts = [part for line in lines for part in line.splitlines()][:LISTED]
        if len(problems) > LISTED:
            parts.append(f"and {len(problems) - LISTED} more problems")
        raise SettingsError("\n".join(f"{source}: {part}" for part in parts)) from error


_LIST, _SETTINGS = (
    "expected a list, for example [1, 2]",
    "expected settings of its own, for example {name: value}",
)
_GROUP = ("model_type", "model_attributes_type")
"""Pydantic's names of the problem that a group of settings is a plain value."""
_WANTED = {
    "list_type": _LIST,
    "tuple_type": _LIST,
    "dict_type": _SETTINGS,
    **dict.fromkeys(_GROUP, _SETTINGS),
}
"""In place of pydantic's words for types of Python, by its names of problems."""


def _line(model: type[BaseModel], problem: Any) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {quote(key)}; {_suggest(model, location)}"
    if problem["type"] == "missing":
        return f"setting {quote(key)} is missing"
    if problem["type"] in _GROUP and (inside := _fields_at(model, location)):
        found = quote(problem["input"])
        parts = ", ".join(f"{key}.{name}" for name in inside)
        return f"{shorten(key)} is a group of settings (found {found}); name one: {parts}"
    message: str = _WANTED.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if problem["type"] == "too_long":
        return f"{shorten(key)}: expected at most {problem['ctx']['max_length']} of them"
    if not key:
        return message
    found = problem["input"]
    shown = f" (found {quote(found)})" if not isinstance(found, dict) else ""
    return f"{shorten(key)}: {message}{shown}"


def _suggest(model: type[BaseModel], location: list[str]) -> str:
    """The setting that was meant, with its whole key, or those that are there."""
    *group, name = location
    allowed = _fields_at(model, group)
    near = difflib.get_close_matches(name[:LONGEST], allowed, n=1)
    last = {key: key.rpartition(".")[2] for key in _all_keys(model)}
    similar = difflib.get_close_matches(name[:LONGEST], set(last.values()), n=1, cutoff=0.8)
    elsewhere = [key for key in last if last[key] in similar]
    if not near and elsewhere:
        return f"did you mean {' or '.join(elsewhere)}?"
    if near and group:
        return f"did you mean {'.'.join([*group, *near])}? There are {', '.join(allowed)}"
    return suggest(name, allowed)


def _all_keys(model: type[BaseModel]) -> list[str]:
    """The dotted keys of all settings, without those in lists and in dictionaries of settings."""
    keys = []
    for name, field in _fields(model).items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += [f"{name}.{key}" for key in _all_keys(kind)]
        else:
            keys.append(name)
    return keys


def _fields_at(model: type[BaseModel], location: list[str]) -> list[str]:
    parts = iter(location)
    for part in parts:
        if part.isdigit():  # a place in a list of settings
            continue
        field = _fields(model).get(part)
        if field is None:
            return []
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        nested = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        if not nested:
            return []
        if get_origin(field.annotation) is dict:
            next(parts, None)  # a key that the user chooses
        model = nested[0]
    return list(_fields(model))


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by the keys that files have."""
    return {field.alias or name: field for name, field in model.model_fields.items()}
