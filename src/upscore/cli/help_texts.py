"""The texts of ``--help``: an overview in groups, and each verb's options with examples."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import textwrap
from collections.abc import Callable
from typing import Any

from upscore.cli.verbs import GROUPS, SECTIONS, VERBS, Verb

BEGIN = """\
usage: upscore COMMAND ...

Semantic segmentation: train a network on labelled photos, score it, use it. Start with

    upscore predict photo.jpg                    segment a photo with a network that is included
    upscore train --data PHOTOS                  train on your own photos and masks
    upscore evaluate                             score the last run
"""

END = """\
upscore help COMMAND, or upscore COMMAND --help, shows options and examples.
With every command: --json one JSON object on stdout; --quiet only errors; -v more messages;
--log json progress as JSON lines on stderr; --debug the traceback of an error.

exit status  0 done; 1 some or all of it failed, failures are listed; 2 not begun, wrong
             usage or input;
             130 stopped by Ctrl-C (128 + signal), everything saved
environment  UPSCORE_CACHE: folder of downloads and compiled kernels
             OMP_NUM_THREADS: threads of networks and kernels
"""


GONE = "\0"
"""Stands for signs that are taken out."""


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
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        show()
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue()).rstrip()
    # says nothing to people: what is missing is named, and None is no value that can be typed
    empty = r"\((?:required|default:(?:\s+None)?)\s*\)"
    text = re.sub(empty, lambda match: re.sub(r"\S", GONE, match[0]), text)
    lines = [line for line in text.splitlines() if GONE not in line or line.strip(f"{GONE} ")]
    text = "\n".join(line.replace(GONE, " ").rstrip() for line in lines)
    examples = "\n".join(f"    {example}" for example in verb.examples)
    return f"{text}\n\nexamples:\n{examples}" if examples else text


def _first_line(verb: Verb) -> str:
    text = inspect.getdoc(verb.load()) or ""
    return " ".join(text.split("\n\n")[0].split())


def _row(name: str, text: str) -> str:
    lines = textwrap.wrap(text, 64)
    return "\n".join(f"  {name if n == 0 else '':<12}{line}" for n, line in enumerate(lines))
