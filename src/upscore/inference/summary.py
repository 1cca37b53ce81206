"""What became of a batch of files, and how its failures are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from upscore.errors import WorkError

LISTED = 20
"""Failures that a message spells out."""


@dataclass
class Summary:
    """What became of a batch.

    Attributes:
        images: photos done, and frames of videos.
        skipped: files whose results were all there (``resume``).
        failures: (file, message) of those that could not be done.
        seconds: wall time of the whole.
        verb: what was to be done to them, for the message: "labelled".
    """

    images: int = 0
    skipped: int = 0
    failures: list[tuple[Path, str]] = field(default_factory=list)
    seconds: float = 0.0
    verb: str = "labelled"

    def check(self) -> None:
        """Raise WorkError that lists the files that failed, if any did."""
        if not self.failures:
            return
        lines = [message for _, message in self.failures[:LISTED]]
        if len(self.failures) > LISTED:
            lines.append(f"... and {len(self.failures) - LISTED} more")
        count = "1 file" if len(self.failures) == 1 else f"{len(self.failures)} files"
        begin = f"{count} could not be {self.verb}; all others are done:"
        raise WorkError("\n".join([begin, *lines]))


def first_line(error: Exception) -> str:
    """The first line of what an exception says, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
