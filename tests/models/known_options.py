"""Options for tests that run through the catalogue, whose networks have different ones."""

from __future__ import annotations

from typing import Any

from upscore.models.factory import model_options


def known_options(name: str, **options: Any) -> dict[str, Any]:
    """Those of ``options`` that the network has."""
    return {key: value for key, value in options.items() if key in model_options(name)}
