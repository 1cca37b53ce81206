"""Text that a terminal shows as it is: names of files and classes may hold anything."""

from __future__ import annotations

import re

_ACTIVE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, ESC among them; not tab and line end
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # line ends and turns of the reading direction
    "\ud800-\udfff"  # bytes of a file name that are no text
    "]"
)


def printable(text: str) -> str:
    """``text`` with whatever a terminal would obey written as Python does: ``\\x1b``."""
    return _ACTIVE.sub(_escaped, text)


def one_line(text: str) -> str:
    """The same with tabs and ends of lines escaped, too."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
