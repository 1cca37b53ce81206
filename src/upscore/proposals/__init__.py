"""Object proposals: image -> edge map -> boxes (K, 4) xyxy with an objectness score.

from upscore.proposals import EdgeBoxes, LearnedEdges

strength, orientation = LearnedEdges()(image)
boxes = EdgeBoxes(edges=LearnedEdges(), max_boxes=2000)(image).boxes
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upscore.edges.detectors import EdgeDetector, FromArray, GradientEdges, StructuredForest
    from upscore.edges.learned import LearnedEdges
    from upscore.proposals.base import Proposals, ProposalSource
    from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes
    from upscore.proposals.ground_truth import GroundTruth
    from upscore.proposals.opencv import edge_boxes_opencv
    from upscore.proposals.precomputed import FromFile
    from upscore.proposals.selective_search import SelectiveSearch
    from upscore.proposals.sliding_window import Grid
    from upscore.proposals.store import ProposalStore

# torch, numba and pyarrow take their time, and few callers need all three
_HOMES = {
    "EdgeBoxes": "edge_boxes",
    "EdgeDetector": "edges",
    "FromArray": "edges",
    "FromFile": "from_file",
    "GradientEdges": "edges",
    "Grid": "grid",
    "GroundTruth": "ground_truth",
    "LearnedEdges": "learned_edges",
    "ProposalSource": "proposals",
    "ProposalStore": "store",
    "Proposals": "proposals",
    "SelectiveSearch": "selective_search",
    "StructuredForest": "edges",
    "edge_boxes_opencv": "opencv",
}

__all__ = [
    "EdgeBoxes",
    "EdgeDetector",
    "FromArray",
    "FromFile",
    "GradientEdges",
    "Grid",
    "GroundTruth",
    "LearnedEdges",
    "ProposalSource",
    "ProposalStore",
    "Proposals",
    "SelectiveSearch",
    "StructuredForest",
    "edge_boxes_opencv",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
