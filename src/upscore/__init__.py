"""Semantic segmentation with FCN and its decoders: ``upscore.load("RUN").segment("photo.jpg")``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upscore.inference.photo import load as load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """``load`` brings torch, so it is imported when it is first asked for."""
    if name == "load":
        from upscore.inference.photo import load

        return load
    raise AttributeError(f"module 'upscore' has no attribute {name!r}")
