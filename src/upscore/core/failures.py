"""Failures of single items in a long job, and the message that lists them at its end."""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from upscore.core.printable import one_line
from upscore.core.quoting import shorten
from upscore.core.system_errors import is_memory_error, shortage
from upscore.errors import OutputError, UpscoreError, WorkError

LISTED = 20
"""Failures that a message spells out."""

_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Failure:
    """An item (an image, a file) that could not be processed, and why."""

    index: int
    name: str
    message: str

    def __str__(self) -> str:
        return self.message


def failure_message(
    name: str,
    error: Exception,
    *,
    doing: str,
    memory_hint: str = "try a smaller --tile",
) -> str:
    """The message for an error of one item, with which a job continues with the others.

    Any exception of an item is to come here: what nobody foresaw is reported with its place in the
    code.

    Args:
        name: of the item; the message begins with it where the error does not name it.
        doing: what failed, such as "segment it".
        memory_hint: what to do where memory was too small; empty where nothing helps.

    Raises:
        OutputError: ``error`` itself: the next result could not be written either.
        WorkError: no item's fault: the disk, the memory or the like is used up.
    """
    if isinstance(error, OutputError):
        raise error
    if reason := shortage(error):
        raise WorkError(reason) from error
    message = error_message(error, doing=doing, memory_hint=memory_hint)
    is_named = isinstance(error, UpscoreError) and _word(name).search(message)
    return message if is_named else f"{name}: {message}"


def _word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")


def failure_of(index: int, name: str, error: Exception, *, doing: str) -> Failure:
    """The failure of one item; arguments and errors as those of :func:`failure_message`."""
    return Failure(index, name, failure_message(name, error, doing=doing))


def error_message(error: Exception, *, doing: str, memory_hint: str) -> str:
    """An error in one line: an UpscoreError's own words, else what failed, why and where."""
    if isinstance(error, UpscoreError):
        return " ".join(str(error).split())
    if is_memory_error(error):
        hint = f"; {memory_hint}" if memory_hint else ""
        why = "" if isinstance(error, MemoryError) else f" ({first_line(error)})"
        return f"not enough memory to {doing}{why}{hint}"
    found = f"{type(error).__name__}: {first_line(error)}"
    return f"cannot {doing} ({found}; at {place_in_code(error)})"


def place_in_code(error: BaseException) -> str:
    """``upscore/FILE.py:LINE``, the innermost of ours where an exception came by."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    if not frames:
        return "an unknown place"
    frame = (ours or frames)[-1]
    path = Path(frame.filename)
    return f"{path.relative_to(_PACKAGE.parent).as_posix() if ours else path.name}:{frame.lineno}"


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or its type if the message is empty."""
    return shorten((str(error).strip().splitlines() or [type(error).__name__])[0])


def check_failures(
    failures: Sequence[Failure | str], num_done: int, what: str, *, others: str = "", rest: str = ""
) -> None:
    """Raise WorkError with the failures, if there are any.

    Args:
        num_done: items that did not fail.
        what: as in ``images could not be scored``.
        others: what became of the others, as in ``all others are``.
        rest: as of :func:`format_failures`.
    """
    if failures:
        others = f"; {others}" if others and num_done else ""
        begin = f"{len(failures)} of {len(failures) + num_done} {what}{others}:"
        raise WorkError(format_failures(begin, failures, rest=rest))


def format_failures(begin: str, failures: Sequence[Failure | str], *, rest: str = "") -> str:
    """``begin``, then a line for each of the first ``LISTED`` failures.

    Args:
        rest: where all of them can be read, as in ``see scores.json``.
    """
    lines = [begin, *(f"  {one_line(str(failure))}" for failure in failures[:LISTED])]
    if len(failures) > LISTED:
        lines.append(f"  and {len(failures) - LISTED} more" + (f", {rest}" if rest else ""))
    return "\n".join(lines)
