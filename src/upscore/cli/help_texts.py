"""The texts of ``--help``: an overview in groups, and each verb's options with examples."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from upscore.cli.verbs import GROUPS, SECTIONS, VERBS, Verb

BEGIN = """\
usage: upscore COMMAND ...

Semantic segmentation: train a network on labelled photos, score it, use it.
Start with

    upscore predict photo.jpg         segment a photo with an included network
    upscore train --data PHOTOS       train on your own photos and masks
    upscore evaluate                  score the last run
"""

END = """\
upscore help COMMAND, or upscore COMMAND --help, shows options and examples.
With every command: --json one JSON object on stdout; --quiet only errors;
-v more messages; --log json progress as JSON lines on stderr; --debug the
traceback of an error.

exit status  0 done; 1 some or all of it failed, failures are listed;
             2 not begun, wrong usage or input;
             130 stopped by Ctrl-C (128 + signal), everything saved
environment  UPSCORE_CACHE: folder of downloads and compiled kernels
             OMP_NUM_THREADS: threads of networks and kernels
"""


WIDTH = 80
"""Columns of all helps."""
COLUMN = 18
"""Where the texts of options begin."""
GLUE = "\0"
"""Stands for a space at which no line ends."""


def overview() -> str:
    """What ``upscore --help`` prints."""
    parts = [BEGIN]
    for title, names in SECTIONS.items():
        rows = []
        for name in names:
            group = GROUPS.get(name)
            text = group or _first_line(next(verb for verb in VERBS if verb.name == name))
            rows.append(_row(name, text))
        parts.append(f"{title}\n" + "\n".join(rows) + "\n")
    parts.append(END)
    return "\n".join(parts).rstrip()


def group_help(group: str) -> str:
    """What ``upscore data --help`` prints."""
    verbs = [verb for verb in VERBS if verb.group == group]
    rows = [_row(verb.name.split()[1], _first_line(verb)) for verb in verbs]
    lines = [f"usage: upscore {group} COMMAND ...", "", GROUPS[group], "", *rows, ""]
    examples = [f"    {verb.examples[0]}" for verb in verbs if verb.examples]
    return "\n".join([*lines, "examples:", *examples])


def verb_help(verb: Verb, show: Callable[[], Any]) -> str:
    """What ``upscore VERB --help`` prints; ``show`` prints tyro's help and ends."""
    printed = io.StringIO()
    with _wide(), contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        show()
    lines = _words(re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue())).splitlines()
    parts, rows = list[str](), list[tuple[str, str]]()
    for line in map(str.rstrip, lines):
        name, text = _row_of(line)
        if name:
            rows.append((name, text))
        elif text and rows:  # more of the last option
            rows[-1] = (rows[-1][0], f"{rows[-1][1]} {text}".strip())
        elif not line or set(line) != {"-", " "}:  # no rule below a title
            parts += [_option(*row) for row in rows]
            rows = []
            indent = " " * 4 if line.startswith("usage: ") else ""
            parts.append(_wrap(line.strip(), subsequent=indent))
    parts += [_option(*row) for row in rows]
    examples = [f"    {example}" for example in verb.examples]
    return "\n".join(["\n".join(parts).rstrip(), "", "examples:", *examples])


@contextlib.contextmanager
def _wide() -> Iterator[None]:
    """Let nothing be wrapped meanwhile, as lines of tyro's texts keep their ends."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "5000"
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _words(text: str) -> str:
    """Tyro's help without what says nothing to people: None is no value that can be typed."""
    text = re.sub(r"\s*\((?:required|default:(?:\s+(?:None|False))?)\s*\)", "", text)
    return text.replace("{None}|", "")


def _row_of(line: str) -> tuple[str, str]:
    """An option of tyro's help and its text; one of them is empty where it is on another line."""
    found = re.fullmatch(r"  (\S+(?: \S+)*)(?:  +(\S.*))?", line)
    if found:
        return found[1], found[2] or ""
    return "", line.strip() if line.startswith("    ") else ""


def _option(name: str, text: str) -> str:
    beside = len(name) <= COLUMN - 4
    begin = f"  {name:<{COLUMN - 2}}" if beside else " " * COLUMN
    wrapped = _wrap(f"{begin}{text}", subsequent=" " * COLUMN)
    return wrapped if beside else f"  {name}\n{wrapped}".rstrip()


def _wrap(text: str, *, subsequent: str = "") -> str:
    """Lines of at most ``WIDTH`` characters; options stay together with their values."""
    together = re.sub(r"\[[^\]]*\]|--[a-z][a-z-]* (?=\S)|\(default: ", _join_words, text)
    lines = textwrap.wrap(
        together, WIDTH, subsequent_indent=subsequent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return "\n".join(lines).replace(GLUE, " ")


def _join_words(found: re.Match[str]) -> str:
    return found[0].replace(" ", GLUE)


def _first_line(verb: Verb) -> str:
    text = inspect.getdoc(verb.load()) or ""
    return " ".join(text.split("\n\n")[0].split())


def _row(name: str, text: str) -> str:
    lines = textwrap.wrap(text, 64)
    return "\n".join(f"  {name if n == 0 else '':<12}{line}" for n, line in enumerate(lines))
