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
    """Which boxes. Options of a source that is not taken are refused."""

    source: Annotated[str, arg(metavar=f"{{{','.join(SOURCES)}}}")] = "edge-boxes"
    """Where boxes come from."""
    edges: Annotated[str, arg(metavar=f"{{{','.join(EDGES)}}}")] = "learned"
    """Edge map of edge-boxes: our network, or colour gradients."""
    model: Annotated[Path | None, arg(metavar="FILE")] = None
    """Other weights of the edge network, of `upscore edges train`."""
    max_boxes: int = MAX_BOXES
    """How many are kept of a photo, the best."""
    search: Annotated[SearchParameters, arg(name="")] = SearchParameters()  # noqa: RUF009
    file: Annotated[Path | None, arg(metavar="PATH")] = None
    """Of file: a .parquet of ours, a .json as COCO has them, or the folder of DeconvNet's .mat."""

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
