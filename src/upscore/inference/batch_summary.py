"""What became of a batch of files, and how its failures are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from upscore.core.failures import tell_failures
from upscore.errors import WorkError


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
        count = "1 file" if len(self.failures) == 1 else f"{len(self.failures)} files"
        begin = f"{count} could not be {self.verb}; all others are done:"
        raise WorkError(tell_failures(begin, [message for _, message in self.failures]))
