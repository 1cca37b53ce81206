"""Numbers and failures of a batch of files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from upscore.core.failures import format_failures
from upscore.core.plural import plural
from upscore.errors import WorkError


@dataclass
class Summary:
    """Numbers and failures of a batch.

    Attributes:
        images: processed photos and frames of videos.
        skipped: files whose results all existed (``resume``).
        passed_over: files that were found beside the others and are no images.
        failures: (file, message) of files that could not be processed.
        seconds: wall time of the batch.
        verb: past participle for the message, such as "segmented".
        network_seconds: the part of ``seconds`` that the network took.
        shares: share of each class in the pixels of these images together, in [0, 1], by name;
            empty without images, and where classes are not known.
    """

    images: int = 0
    skipped: int = 0
    failures: list[tuple[Path, str]] = field(default_factory=list)
    seconds: float = 0.0
    verb: str = "segmented"
    network_seconds: float = 0.0
    passed_over: list[Path] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)

    @property
    def has_results(self) -> bool:
        """Whether any file has its results, from this batch or from before."""
        return bool(self.images or self.skipped)

    def check(self) -> None:
        """Raise WorkError with the list of failed files, if there are any."""
        if not self.failures:
            return
        others = "; all others are done" if self.has_results else ""
        begin = f"{plural(len(self.failures), 'file')} could not be {self.verb}{others}:"
        raise WorkError(format_failures(begin, [message for _, message in self.failures]))
