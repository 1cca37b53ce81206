"""Messages about failures."""

from __future__ import annotations

import errno

import pytest

from upscore.core import system_errors
from upscore.core.failures import (
    LISTED,
    Failure,
    check_failures,
    failure_message,
    first_line,
    format_failures,
)
from upscore.core.quoting import LONGEST
from upscore.core.system_errors import is_memory_error
from upscore.errors import DataError, OutputError, WorkError


def test_all_of_few() -> None:
    assert format_failures("2 failed:", ["a: bad", "b: bad"]) == "2 failed:\n  a: bad\n  b: bad"


def test_a_failure_is_one_line_without_codes() -> None:
    text = format_failures("1 failed:", ["a\nb\x1b]0;x\x07\u2066: bad"])
    assert text == "1 failed:\n  a\\nb\\x1b]0;x\\x07\\u2066: bad"


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


def message(error: Exception, name: str = "a.png") -> str:
    """Of an error as it arrives: with its traceback."""
    try:
        raise error
    except Exception as caught:
        return failure_message(name, caught, doing="label it")


def test_an_error_is_told_with_the_item_and_the_place() -> None:
    assert message(DataError("a.png: too\n  dark")) == "a.png: too dark"
    assert message(DataError("too dark")) == "a.png: too dark"
    assert message(DataError("too dark"), name="t") == "t: too dark"
    assert message(MemoryError()) == "a.png: not enough memory to label it; try a smaller --tile"
    text = message(RuntimeError("CUDA out of memory. Tried 2 GiB\nmore"))
    assert text == (
        "a.png: not enough memory to label it (CUDA out of memory. Tried 2 GiB); try a smaller "
        "--tile"
    )
    assert message(KeyError("odd")).startswith(
        "a.png: cannot label it (KeyError: 'odd'; at test_failures.py:"
    )
    assert message(ValueError("memory map of 3 frames")).startswith("a.png: cannot label it (Val")


def test_what_was_found_is_cut_short() -> None:
    assert len(message(ValueError("x" * 5000))) < LONGEST + 100


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OutputError("cannot write b.png: full"), "cannot write b.png: full"),
        (OSError(errno.ENOSPC, "No space"), "the disk is full; free some space"),
        (OSError(errno.EMFILE, "Too many open files"), "too many files are open"),
        (RuntimeError("can't start new thread"), "no more threads or processes"),
        (BlockingIOError(errno.EAGAIN, "fork"), "no more threads or processes"),
        (RuntimeError("CUDA error: unspecified launch failure\nx"), r"the GPU failed \(CUDA error"),
    ],
)
def test_what_is_no_items_fault_ends_the_job(error: Exception, told: str) -> None:
    with pytest.raises((OutputError, WorkError), match=told):
        message(error)


def test_memory_is_one_items_trouble_until_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_errors, "SPARE_BYTES", 1 << 60)
    with pytest.raises(WorkError, match="out of memory"):
        message(MemoryError())


def test_an_unreadable_file_is_its_own_trouble() -> None:
    assert "PermissionError" in message(PermissionError(errno.EACCES, "denied", "a.png"))


def test_an_import_that_lacks_memory() -> None:
    """Packages then say that they seem to be broken."""
    broken = ImportError("this install seems to be broken")
    assert not is_memory_error(broken)
    broken.__cause__ = ImportError("a.so: failed to map segment from shared object")
    assert is_memory_error(broken)
