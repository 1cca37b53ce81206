"""The formats of figures as files; apart from the figures, as matplotlib may be missing."""

from __future__ import annotations

from collections.abc import Sequence

from upscore.core.quoting import quote
from upscore.errors import SettingsError

FIGURE_FORMATS = ("png", "pdf", "svg")


def require_figure_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """The formats, each once. Raises SettingsError for none or an unknown one."""
    unknown = [name for name in formats if name not in FIGURE_FORMATS]
    if unknown or not formats:
        found = f"holds {quote(unknown[0])}" if unknown else "is empty"
        raise SettingsError(f"--figures {found}; allowed: {', '.join(FIGURE_FORMATS)}, with commas")
    return tuple(dict.fromkeys(formats))
