"""One thing that is wrong with a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal[
    "unreadable",
    "size mismatch",
    "unknown value",
    "missing partner",
    "names differ",
    "name collision",
    "listed twice",
    "empty split",
    "in two splits",
    "all void",
    "absent class",
    "one class",
    "masks disagree",
    "exif turn",
    "wrong count",
]


@dataclass(frozen=True)
class Problem:
    """What is wrong, where, and what to do about it.

    ``message`` names the file (or split, or class), what was found, and the fix.
    """

    kind: Kind
    path: Path
    message: str

    @classmethod
    def at(cls, kind: Kind, path: Path, text: str) -> Problem:
        """A problem of ``path``, with which the message begins."""
        return cls(kind, path, f"{path}: {text}")

    def to_json(self) -> dict[str, str]:
        return {"kind": self.kind, "path": str(self.path), "message": self.message}
