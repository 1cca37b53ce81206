"""Messages about failures."""

from __future__ import annotations

import pytest

from upscore.core.failures import LISTED, Failure, check_failures, first_line, format_failures
from upscore.errors import WorkError


def test_all_of_few() -> None:
    assert format_failures("2 failed:", ["a: bad", "b: bad"]) == "2 failed:\n  a: bad\n  b: bad"


def test_the_first_of_many_and_where_the_rest_is() -> None:
    lines = format_failures("failed:", ["x"] * (LISTED + 3), rest="see scores.json").splitlines()
    assert len(lines) == LISTED + 2
    assert lines[-1] == "  and 3 more, see scores.json"


def test_first_line_of_an_error() -> None:
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(KeyboardInterrupt()) == "KeyboardInterrupt"


@pytest.mark.parametrize(("num_done", "others"), [(3, "; all others are"), (0, "")])
def test_the_others_are_named_where_there_are_any(num_done: int, others: str) -> None:
    check_failures([], num_done, "images could not be scored")
    failures = [Failure(0, "a", "a: bad"), "b: bad"]
    with pytest.raises(WorkError) as caught:
        check_failures(failures, num_done, "failed", others="all others are")
    assert str(caught.value) == f"2 of {num_done + 2} failed{others}:\n  a: bad\n  b: bad"
