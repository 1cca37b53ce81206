"""Messages about failures."""

from __future__ import annotations

from upscore.core.failures import LISTED, first_line, format_failures


def test_all_of_few() -> None:
    assert format_failures("2 failed:", ["a: bad", "b: bad"]) == "2 failed:\n  a: bad\n  b: bad"


def test_the_first_of_many_and_where_the_rest_is() -> None:
    lines = format_failures("failed:", ["x"] * (LISTED + 3), rest="see scores.json").splitlines()
    assert len(lines) == LISTED + 2
    assert lines[-1] == "  and 3 more, see scores.json"


def test_first_line_of_an_error() -> None:
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(KeyboardInterrupt()) == "KeyboardInterrupt"
