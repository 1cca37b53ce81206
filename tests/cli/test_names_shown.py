"""Ends of lines in what was given begin no line of their own in what is printed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from upscore.cli.console import know_names, shown
from upscore.cli.main import main


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    know_names([])


@pytest.mark.parametrize(
    ("given", "message", "text"),
    [
        ("a\nb", "a\nb: bad\n  second line", "a\\nb: bad\n  second line"),
        ("runs/a\nb/c", "cannot write runs/a\nb", "cannot write runs/a\\nb"),
        ("runs//a\tb", "runs/a\tb/labels", "runs/a\\tb/labels"),
        ("--out=a\nb", "a\nb", "a\\nb"),
        ("a/\n/b", "first\nsecond", "first\nsecond"),
        ("a\x1b[2Jb", "a\x1b[2Jb", "a\\x1b[2Jb"),
    ],
)
def test_given_names(given: str, message: str, text: str) -> None:
    know_names(["predict", given])
    assert shown(message) == text


def test_in_messages_and_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "two\nlines\tand a tab"
    main(["data", "toy", "--num", "4", "--size", "40", "48", "--out", str(tmp_path / name)])
    with pytest.raises(SystemExit):
        main(["data", "check", str(tmp_path / name / "not there")])
    captured = capsys.readouterr()
    folder = f"{tmp_path}/two\\nlines\\tand a tab"
    assert captured.out == f"4 photos in {folder}\n"
    assert captured.err.startswith(f"upscore: {folder}/not there: no such data set")
