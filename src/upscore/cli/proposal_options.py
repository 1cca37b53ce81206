"""The options of sources of proposals, the same for every command that makes boxes.

Commands take them as ``options: Annotated[..., arg(name="")] = SOURCE_DEFAULTS``, so that the
command line stays flat; :mod:`upscore.cli.segmenter_options` explains.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from upscore.proposals.edge_boxes.parameters import SearchParameters
from upscore.proposals.sources import EDGES, MAX_BOXES, SOURCES, make_source

if TYPE_CHECKING:
    from upscore.data import DataSet
    from upscore.proposals.base import ProposalSource


@dataclass(frozen=True)
class SourceOptions:
    """Which boxes to make. Options of other sources are refused."""

    source: Annotated[str, arg(metavar=f"{{{','.join(SOURCES)}}}")] = "edge-boxes"
    """Source of the boxes."""
    edges: Annotated[str, arg(metavar=f"{{{','.join(EDGES)}}}")] = "learned"
    """Edge map for edge-boxes: the edge network of upscore, or colour gradients."""
    model: Annotated[Path | None, arg(metavar="FILE")] = None
    """Weights of the edge network, from `upscore edges train`."""
    max_boxes: int = MAX_BOXES
    """Maximum number of boxes for each photo; the best are kept."""
    search: Annotated[SearchParameters, arg(name="")] = SearchParameters()  # noqa: RUF009
    file: Annotated[Path | None, arg(metavar="PATH")] = None
    """For file: a .parquet of upscore, a .json of COCO, or the folder of DeconvNet's .mat files."""

    def build(self, data: DataSet | None = None) -> ProposalSource:
        """The source; nothing is loaded yet.

        Args:
            data: what ground truth is read from.

        Raises:
            SettingsError: an option that the source does not know, or a value out of range.
        """
        return make_source(
            self.source,
            max_boxes=self.max_boxes,
            edges=self.edges,
            model=self.model,
            file=self.file,
            data=data,
            **self.search.changed(),
        )


SOURCE_DEFAULTS = SourceOptions()
