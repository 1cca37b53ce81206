"""Edge detection: image -> strength and orientation of its edges.

from upscore.edges import LearnedEdges

strength, orientation = LearnedEdges()(image)

Beside the detectors: the edge network, its training samples and the BSDS benchmark.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from upscore.core.extras import require_extras

if TYPE_CHECKING:
    from upscore.edges.detectors import EdgeDetector, FromArray, GradientEdges
    from upscore.edges.learned import LearnedEdges

_MODULES = {
    "EdgeDetector": "detectors",
    "FromArray": "detectors",
    "GradientEdges": "detectors",
    "LearnedEdges": "learned",
}
"""Where each public name is defined; imported on first use."""

__all__ = ["EdgeDetector", "FromArray", "GradientEdges", "LearnedEdges"]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_extras(f"{__name__}.{name}", "proposals")
    return getattr(import_module(f"upscore.edges.{module}"), name)
