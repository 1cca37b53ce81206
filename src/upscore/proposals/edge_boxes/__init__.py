"""EdgeBoxes (Zitnick and Dollar, ECCV 2014): edge groups, box scores, window search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes

__all__ = ["EdgeBoxes"]


def __getattr__(name: str) -> Any:
    if name == "EdgeBoxes":
        from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes

        return EdgeBoxes
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
