"""EdgeBoxes: boxes that hold many edges whole (Zitnick and Dollar, "Edge boxes", ECCV 2014).

From the paper, in the steps that the released code takes: thinning, groups (``groups``), scores
(``scores``), windows, refinement and non-maximum suppression (``search``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from upscore.core.images import require_rgb
from upscore.core.json import JSONObject
from upscore.core.labels import RGBImage
from upscore.edges.maps import require_edges, thin_edges
from upscore.errors import SettingsError
from upscore.proposals.base import Proposals
from upscore.proposals.edge_boxes.parameters import EdgeBoxesParameters

if TYPE_CHECKING:
    from upscore.edges.detectors import EdgeDetector

THINNING_RADIUS = 2
"""Of the released code."""


def _learned_edges() -> EdgeDetector:
    from upscore.edges.learned import LearnedEdges

    return LearnedEdges()


@dataclass(frozen=True, kw_only=True)
class EdgeBoxes(EdgeBoxesParameters):
    """Object proposals from edges, no classes and no training of its own.

    ``EdgeBoxes(max_boxes=2000)(image)`` gives :class:`Proposals`; an image without edges, or of a
    few pixels, gives none. The result is the same for any number of threads.

    Its parameters are those of :class:`EdgeBoxesParameters`.

    Attributes:
        edges: the detector; :class:`LearnedEdges` where none is given.
        threads: for one image; as many as there are cores where it is None. To go through a folder
            take 1 and several processes, as ``upscore proposals make`` does.

    Raises:
        SettingsError: a parameter that is out of range.
    """

    edges: EdgeDetector = field(default_factory=_learned_edges, kw_only=False)
    threads: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threads is not None and self.threads < 1:
            raise SettingsError(f"EdgeBoxes: threads is {self.threads}; expected 1 or more")

    def __call__(self, image: RGBImage, *, name: str = "") -> Proposals:  # noqa: ARG002
        """Boxes of an image (H, W, 3) uint8 RGB; ``name`` does not matter.

        Raises:
            DataError: no such image.
            SettingsError: alpha and max_aspect_ratio make more windows of this image than memory
                should hold.
        """
        require_rgb(image)
        return self.from_edges(*self.edges(image))

    def from_edges(self, strength: object, orientation: object = None) -> Proposals:
        """Boxes of an edge map (H, W) of floats in [0, 1].

        Args:
            orientation: (H, W) of floats in [0, pi), of the normals; computed where it is None.

        The map is thinned first; thinning one that is thin changes nothing. Boxes lie within the
        image; each side lies on a row or column of pixels that no edge counted whole touches.

        Raises:
            DataError: NaN, other ranges or shapes.
            SettingsError: as above.
        """
        from upscore.core.jit.compile import log_compilation
        from upscore.core.jit.threads import num_threads
        from upscore.proposals.edge_boxes.groups import find_groups
        from upscore.proposals.edge_boxes.scores import build_tables
        from upscore.proposals.edge_boxes.search import search, sliding_windows

        plain, normal = require_edges(strength, orientation)
        thin = thin_edges(plain, normal, radius=THINNING_RADIUS)
        if min(thin.shape) < 3:  # nothing but border
            return Proposals.none()
        with log_compilation("EdgeBoxes"):
            groups = find_groups(thin, normal, self)
            if groups.mass.size == 1:  # number 0, which is none
                return Proposals.none()
            tables = build_tables(thin, groups, self)
            height, width = thin.shape
            windows = sliding_windows(height, width, self)
            boxes, scores = search(tables, windows, self, threads=num_threads(self.threads))
        return Proposals(boxes.astype(np.float32), scores)

    def settings(self) -> JSONObject:
        return {"kind": "EdgeBoxes", "edges": self.edges.settings(), **self.parameters()}
