"""Settings are strict; messages name dotted keys and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from annotated_types import Ge
from pydantic import Field

from upscore.core.settings import Settings, build, load_yaml, parse_assignment, set_dotted
from upscore.errors import NotFoundError, SettingsError


class Inner(Settings):
    rate: float = 0.1
    size: int = 2


class Outer(Settings):
    name: str
    inner: Inner = Field(default_factory=Inner)


def test_unknown_key_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"'inner\.rat'; did you mean inner\.rate"):
        build(Outer, {"name": "x", "inner": {"rat": 1}}, "recipe")


def test_words_for_settings_of_another_kind() -> None:
    with pytest.raises(
        SettingsError, match=r"a group of settings \(found 7\); name one: inner\.rate"
    ):
        build(Outer, {"name": "x", "inner": 7}, "recipe")


class Kinds(Settings):
    part: Annotated[float, Ge(0)] = 0.5
    count: Annotated[int, Ge(1)] | None = None
    switch: bool = False
    either: bool | int = 0
    sides: tuple[int, int] | None = None


@pytest.mark.parametrize("value", [True, False])
def test_switches_are_no_numbers(value: bool) -> None:
    for key in ("part", "count"):
        with pytest.raises(
            SettingsError, match=rf"recipe: {key}: expected a number, found {str(value).lower()}"
        ):
            build(Kinds, {key: value}, "recipe")
    with pytest.raises(SettingsError, match=r"sides: expected a list"):
        build(Kinds, {"sides": value}, "recipe")
    built = build(Kinds, {"switch": value, "either": value}, "recipe")
    assert (built.switch, built.either) == (value, value)


def test_all_problems_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        build(Outer, {"inner": {"size": "many", "zzz": 1}}, "file.yaml")
    text = str(caught.value)
    assert "file.yaml: setting 'name' is missing" in text
    assert "inner.size: input should be a valid integer" in text
    assert "found 'many'" in text
    assert "unknown setting 'inner.zzz'; there are rate, size" in text


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("inner.rate=1e-5", {"inner": {"rate": 1e-5}}),
        ("inner.rate=0.5", {"inner": {"rate": 0.5}}),
        ("a.b.c=[1, 2]", {"a": {"b": {"c": [1, 2]}}}),
        ("name=", {"name": None}),
        ("flag=true", {"flag": True}),
        ("path=a=b", {"path": "a=b"}),
    ],
)
def test_set_dotted(assignment: str, expected: dict[str, Any]) -> None:
    content: dict[str, Any] = {}
    set_dotted(content, assignment)
    assert content == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("-2.5E+3", -2500.0),
        (".5e1", 5.0),
        ("[1e-3, '1e-3']", [1e-3, "1e-3"]),
        ("{a: 1e4}", {"a": 1e4}),
        ('"1e5"', "1e5"),
        ("'3'", "3"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("-infinity", "-infinity"),
        ("007e1", "007e1"),
        ("12e4567", "12e4567"),
        ("1e-5x", "1e-5x"),
        ("runs/1e5", "runs/1e5"),
    ],
)
def test_only_plain_numbers_become_numbers(text: str, value: object) -> None:
    found = parse_assignment(f"key={text}")[1]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("assignment", ["rate", "=3", "a.b=[1,", "a=2026-13-45"])
def test_bad_assignments(assignment: str) -> None:
    with pytest.raises(SettingsError, match="--set"):
        set_dotted({}, assignment)


def test_a_value_has_no_parts() -> None:
    with pytest.raises(SettingsError, match="'seed' is a value"):
        set_dotted({"seed": 3}, "seed.x=1")


def test_yaml_files(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        load_yaml(tmp_path / "none.yaml")
    path = tmp_path / "bad.yaml"
    path.write_text("a: [1,\nb: 2", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"bad\.yaml, line 2: not valid YAML"):
        load_yaml(path)
    path.write_text("a: 2026-13-45\n", encoding="utf-8")  # a date, for YAML
    with pytest.raises(SettingsError, match="line 1: not valid YAML: '2026-13-45' is no date"):
        load_yaml(path)
    path.write_text("- 1\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="found list"):
        load_yaml(path)
    path.write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(SettingsError, match="cannot be read as text"):
        load_yaml(path)
