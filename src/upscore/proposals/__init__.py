"""Object proposals: image -> edge map -> boxes (K, 4) xyxy with an objectness score.

from upscore.proposals import EdgeBoxes, LearnedEdges

boxes = EdgeBoxes(edges=LearnedEdges(), max_boxes=2000)(image).boxes

The edge detectors are those of :mod:`upscore.edges`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from upscore.core.extras import require_extras

if TYPE_CHECKING:
    from upscore.edges import EdgeDetector as EdgeDetector
    from upscore.edges import FromArray as FromArray
    from upscore.edges import GradientEdges as GradientEdges
    from upscore.edges import LearnedEdges as LearnedEdges
    from upscore.proposals.base import Proposals as Proposals
    from upscore.proposals.base import ProposalSource as ProposalSource
    from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes as EdgeBoxes
    from upscore.proposals.ground_truth import GroundTruth as GroundTruth
    from upscore.proposals.precomputed import FromFile as FromFile
    from upscore.proposals.sliding_window import Grid as Grid
    from upscore.proposals.sliding_window import SlidingWindows as SlidingWindows
    from upscore.proposals.store import ProposalStore as ProposalStore

_MODULES = {
    "EdgeBoxes": "proposals.edge_boxes.edge_boxes",
    "EdgeDetector": "edges",
    "FromArray": "edges",
    "FromFile": "proposals.precomputed",
    "GradientEdges": "edges",
    "Grid": "proposals.sliding_window",
    "GroundTruth": "proposals.ground_truth",
    "LearnedEdges": "edges",
    "ProposalSource": "proposals.base",
    "ProposalStore": "proposals.store",
    "Proposals": "proposals.base",
    "SlidingWindows": "proposals.sliding_window",
}
"""Where each public name is defined; imported on first use, as torch, numba and pyarrow are slow to
import and few callers need all three."""

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_extras(f"{__name__}.{name}", "proposals")
    return getattr(import_module(f"upscore.{module}"), name)
