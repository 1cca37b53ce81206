"""EdgeBoxes (Zitnick and Dollar, ECCV 2014): edge groups, box scores, window search."""
