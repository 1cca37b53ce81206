"""EdgeBoxes (Zitnick and Dollar, ECCV 2014): edge groups, box scores, window search."""

from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes

__all__ = ["EdgeBoxes"]
