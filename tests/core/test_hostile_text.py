"""YAML, JSON and CSV that nobody writes by accident: refused at once, in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from upscore.core import system_errors
from upscore.core.damage import read_bytes, reading
from upscore.core.files import read_json
from upscore.core.json import DEEPEST, parse_json
from upscore.core.quoting import LONGEST, join, quote
from upscore.core.settings import load_yaml, parse_assignment
from upscore.core.tables import read_csv
from upscore.core.yaml_text import parse_yaml
from upscore.errors import DataError, RunError, SettingsError, UpscoreError

TENS = "[" + ", ".join("1" * 10) + "]"
BOMB = f"- &b1 {TENS}\n" + "".join(
    f"- &b{i} [{', '.join([f'*b{i - 1}'] * 10)}]\n" for i in range(2, 9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "more than 200000 values, those of aliases counted"),
        ("a: &a [1, *a]", r"\*a stands for a list that it is in"),
        ("a: " + "[" * 50 + "]" * 50, "more than 40 lists and mappings inside each other"),
        ("a: 1\nb: 2026-13-45", "line 2: not valid YAML: '2026-13-45' is no date"),
        ("a: " + "9" * 5000, "is no int"),
        ("a: 0x" + "f" * 4000, "a number of about 4816 digits"),
        ("a: 1" + "0" * 400, "a number of about 400 digits"),
        ('a: !!bool "x"', "'x' is no bool"),
        ('a: !!int ""', "'' is no int"),
        ("a: !!float x", "'x' is no float"),
        ("a: !!timestamp x", "'x' is no date"),
        ("a: 2001-12-14t21:59:43.10-99:00", "is no date"),
        ("!!map [a]", "line 1: not valid YAML"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("a: 1\na: 2", "line 2: not valid YAML: key 'a' is given twice"),
        ("1: a\n0x1: b", "key '0x1' is given twice"),
        ("{[1]: 2}", "unhashable"),
        ("a: *b", "undefined alias"),
        ("# " + "x" * 1_000_000, "over 1 MB"),
    ],
)
def test_yaml(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        parse_yaml(text, "f.yaml")
    assert str(caught.value).startswith("f.yaml")
    assert len(str(caught.value)) < 2 * LONGEST


def test_yaml_that_is_right_is_read_as_ever() -> None:
    text = "a: &x {b: 1}\nc: {<<: *x, d: [1.5, null, true]}\ne: 2026-11-28\nf: '1'\ng: 1e-5\n"
    content = parse_yaml(text, "f.yaml")
    assert content["c"] == {"b": 1, "d": [1.5, None, True]}
    assert (content["e"].year, content["f"], content["g"]) == (2026, "1", "1e-5")
    assert parse_yaml("1e-5", "x", exponents=True) == 1e-5
    # the largest table that a data set can need
    values = parse_yaml("".join(f"{value}: a\n" for value in range(65_536)), "f.yaml")
    assert len(values) == 65_536


def test_a_small_file_takes_little_memory_whatever_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789" * 150_000)
    assert read_bytes(path, 1 << 60) == path.read_bytes()
    assert read_bytes(path, 1_500_000) == path.read_bytes()
    with pytest.raises(DataError, match=r"a: over 1\.5 MB"):
        read_bytes(path, 1_499_999)


@pytest.mark.parametrize(("spare", "told"), [(1, "a: damaged, or too"), (1 << 60, "^out of memo")])
def test_memory_is_a_files_trouble_until_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spare: int, told: str
) -> None:
    monkeypatch.setattr(system_errors, "SPARE_BYTES", spare)
    with pytest.raises(UpscoreError, match=told), reading(tmp_path / "a", "no file", "replace it"):
        raise MemoryError


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: \xff")
    with pytest.raises(SettingsError, match=r"a\.yaml: cannot be read as text"):
        load_yaml(tmp_path / "a.yaml")
    with pytest.raises(SettingsError, match="the value is not valid YAML"):
        parse_assignment("seed=2026-13-45")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 5000 + "]" * 5000, f"more than {DEEPEST} lists"),
        ("[" * 100 + "]" * 100, f"more than {DEEPEST} lists"),
        ('{"a": ' * 100 + "1" + "}" * 100, f"more than {DEEPEST} lists"),
        ('{"a": ' + "9" * 5000 + "}", "a number of 5000 digits"),
        ('{"a": 1e999}', "'1e999' is too large"),
        ('{"a": NaN}', "NaN is no JSON"),
        ('{"a": -Infinity}', "-Infinity is no JSON"),
        ('{"a": 1, "b": 2, "a": 3}', "key 'a' is given twice"),
        ("\x00", "Expecting value"),
        ("", "Expecting value"),
    ],
)
def test_json(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(RunError, match=message) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: damaged, not JSON")
    assert len(str(caught.value)) < 2 * LONGEST


def test_json_that_is_right() -> None:
    content = {"a": [1, -2.5e-3, None, True, {"b": "ä"}], "n": 2**63}
    assert parse_json(json.dumps(content)) == content
    assert parse_json(json.dumps(content).encode()) == content
    assert parse_json("3") == 3


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text('a,b\n1,"x,\ny"\n2,half')  # the last line has no end
    assert read_csv(path, "remove it") == [["a", "b"], ["1", "x,\ny"]]
    path.write_text("a\n" + "x" * 200_000 + "\n")
    with pytest.raises(RunError, match=r"log\.csv: damaged, not a table .*; remove it"):
        read_csv(path, "remove it")


# -- what messages quote -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "found",
    ["a", 3, 1.5, None, [], (), (1,), [1, "b", {"c": (2, [3])}], {"a": 1, 2: None}, {1}, b"x"],
)
def test_short_values_are_quoted_as_they_are(found: object) -> None:
    assert quote(found) == repr(found)


def test_long_values_are_cut() -> None:
    twice: list[object] = [1]
    for _ in range(200):
        twice = [twice, twice]  # 2^200 numbers
    for found in ("x" * 10**6, [0] * 10**6, {i: i for i in range(10**5)}, twice, b"y" * 10**6):
        text = quote(found)
        assert len(text) == LONGEST
        assert text.endswith("...")
    assert quote(10**5000) == "a number of about 5000 digits"


def test_many_names_are_counted() -> None:
    assert join(["a", "b"]) == "a, b"
    assert join([]) == ""
    names = [f"class_{number}" for number in range(300)]
    text = join(names)
    assert len(text) < LONGEST + 20
    shown, _, rest = text.partition(" and ")
    assert len(shown.split(", ")) + int(rest.removesuffix(" more")) == 300
