"""Write OpenCV's proposals for a data set to a file that upscore reads.

    python -m benchmarks.peers.write_boxes --source selective-search --data PATH --out boxes.parquet
    upscore proposals recall --data PATH --sources boxes.parquet edge-boxes:learned
    upscore proposals show photo.jpg --source file --file boxes.parquet --out boxes.png

``--source edge-boxes --edges structured-forest`` takes our EdgeBoxes on OpenCV's edges. Like
``upscore proposals make``, it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.peers.edge_boxes import OpenCVEdgeBoxes
from benchmarks.peers.selective_search import SelectiveSearch
from benchmarks.peers.structured_forest import StructuredForest
from upscore.edges.detectors import EdgeDetector
from upscore.errors import SettingsError, UpscoreError
from upscore.proposals.base import ProposalSource
from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes
from upscore.proposals.sources import EDGES, MAX_BOXES, make_edges
from upscore.workflows.proposals import make_proposals

SOURCES = ("selective-search", "opencv-edge-boxes", "edge-boxes")


def peer_edges(name: str, model: Path | None = None) -> EdgeDetector:
    """An edge detector of upscore's or OpenCV's.

    Raises:
        SettingsError: no model of the structured forest.
    """
    if name != "structured-forest":
        return make_edges(name, model=model)
    if model is None:
        raise SettingsError(
            "--edges structured-forest needs its model file, which is not part of OpenCV: give it "
            "with --model model.yml.gz (docs/proposals.md says where people get it; its licence is "
            "non-commercial)"
        )
    return StructuredForest(model)


def peer_source(
    name: str,
    *,
    max_boxes: int = MAX_BOXES,
    mode: str = "fast",
    edges: str = "gradient",
    model: Path | None = None,
) -> ProposalSource:
    """A source of proposals by name, one of :data:`SOURCES`."""
    if name == "selective-search":
        return SelectiveSearch(mode, max_boxes=max_boxes)  # type: ignore[arg-type]
    detector = peer_edges(edges, model)
    if name == "opencv-edge-boxes":
        return OpenCVEdgeBoxes(detector, max_boxes=max_boxes)
    return EdgeBoxes(detector, max_boxes=max_boxes)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", choices=SOURCES, default="edge-boxes")
    parser.add_argument("--data", type=Path, required=True, help="data set")
    parser.add_argument("--split", help="of the data set; all where it is left out")
    parser.add_argument("--out", type=Path, required=True, help="boxes.parquet")
    parser.add_argument("--max-boxes", type=int, default=MAX_BOXES)
    parser.add_argument("--mode", choices=("fast", "quality"), default="fast", help="of selective")
    parser.add_argument("--edges", choices=(*EDGES, "structured-forest"), default="gradient")
    parser.add_argument("--model", type=Path, help="of the structured forest: model.yml.gz")
    parser.add_argument("--workers", type=int)
    options = parser.parse_args(arguments)
    try:
        source = peer_source(
            options.source,
            max_boxes=options.max_boxes,
            mode=options.mode,
            edges=options.edges,
            model=options.model,
        )
        made = make_proposals(
            options.data,
            lambda _: source,
            options.out,
            split=options.split,
            workers=options.workers,
        )
        print(f"{made.summary.boxes:,} boxes of {made.summary.photos:,} photos: {made.path}")
        made.summary.check()
    except UpscoreError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
