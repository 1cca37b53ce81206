"""A photo and its mask on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """One photo and its mask. ``name`` is unique in the data set and has no suffix."""

    name: str
    image: Path
    mask: Path
