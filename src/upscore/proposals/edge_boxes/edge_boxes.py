"""EdgeBoxes: boxes that hold many edges whole (Zitnick and Dollar, "Edge boxes", ECCV 2014).

From the paper, in the steps that the released code takes: thinning, groups (``edge_groups``),
scores (``edge_scores``), windows, refinement and non-maximum suppression (``box_search``).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from upscore.core.images import require_rgb
from upscore.core.labels import RGBImage
from upscore.edges.maps import (
    Map,
    edge_orientation,
    require_orientation,
    require_strength,
    thin_edges,
)
from upscore.errors import SettingsError
from upscore.proposals.base import Proposals, Settings

if TYPE_CHECKING:
    from upscore.edges.detectors import EdgeDetector

THINNING_RADIUS = 2
"""Of the released code."""


@dataclass(frozen=True, kw_only=True)
class EdgeBoxesParameters:
    """The paper's parameters, with the released code's names and defaults.

    Attributes:
        max_boxes: at most so many boxes.
        alpha: IoU of neighbouring sliding windows, in [0.1, 0.95]; more is slower and finer.
        beta: of two boxes with a larger IoU the worse is left out, in (0, 1]. Best a little above
            the IoU that boxes are to reach with objects.
        eta: beta is multiplied by this after each box while it is above 0.5, in (0, 1]; below 1,
            boxes lie denser at the head of the list than at its end.
        min_score: windows with lower scores are left out; 0 or more. Scores are on the released
            code's scale, 5.7 times the paper's for kappa 1.5.
        edge_min_magnitude: weaker edge pixels do not count, in [0, 1).
        edge_merge_threshold: an edge group grows until its orientation has changed by so many
            times pi; above 0.
        cluster_min_magnitude: groups with no more strength in sum are dissolved; 0 or more.
        max_aspect_ratio: of windows, longer by shorter side; 1 or more.
        min_box_area: of windows, pixels; 1 or more. Windows at the image's border and refined boxes
            may be smaller.
        gamma: affinities of groups are cosines to this power; above 0.
        kappa: scores are divided by half the sum of the sides to this power; 0 or more.
    """

    max_boxes: int = 10_000
    alpha: float = 0.65
    beta: float = 0.75
    eta: float = 1.0
    min_score: float = 0.01
    edge_min_magnitude: float = 0.1
    edge_merge_threshold: float = 0.5
    cluster_min_magnitude: float = 0.5
    max_aspect_ratio: float = 3.0
    min_box_area: float = 1000.0
    gamma: float = 2.0
    kappa: float = 1.5

    def check(self) -> None:
        """Raises SettingsError with everything that is out of range."""
        infinity = math.inf
        ranges = {
            "max_boxes": (1, infinity), "alpha": (0.1, 0.95), "beta": (1e-6, 1),
            "eta": (1e-6, 1), "min_score": (0, infinity), "edge_min_magnitude": (0, 0.999),
            "edge_merge_threshold": (1e-6, infinity), "cluster_min_magnitude": (0, infinity),
            "max_aspect_ratio": (1, 100), "min_box_area": (1, infinity), "gamma": (1e-6, 100),
            "kappa": (0, 10),
        }  # fmt: skip
        wrong = []
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                allowed = f"at least {low:g}" if high == infinity else f"{low:g}..{high:g}"
                wrong.append(f"{name} is {value:g}, want {allowed}")
        if wrong:
            raise SettingsError(f"EdgeBoxes: {'; '.join(wrong)}")


@dataclass(frozen=True, init=False)
class EdgeBoxes:
    """Object proposals from edges, no classes and no training of its own.

    ``EdgeBoxes(max_boxes=2000)(image)`` gives :class:`Proposals`; an image without edges, or of a
    few pixels, gives none. The result is the same for any number of threads.

    Attributes:
        edges: the detector; :class:`LearnedEdges` where none is given.
        parameters: the others.
        threads: for one image; as many as there are cores where it is None. To go through a folder
            take 1 and several processes, as ``upscore proposals make`` does.

    Raises:
        SettingsError: a parameter that is out of range.
    """

    edges: EdgeDetector
    parameters: EdgeBoxesParameters
    threads: int | None

    def __init__(
        self,
        edges: EdgeDetector | None = None,
        *,
        max_boxes: int = 10_000,
        alpha: float = 0.65,
        beta: float = 0.75,
        eta: float = 1.0,
        min_score: float = 0.01,
        edge_min_magnitude: float = 0.1,
        edge_merge_threshold: float = 0.5,
        cluster_min_magnitude: float = 0.5,
        max_aspect_ratio: float = 3.0,
        min_box_area: float = 1000.0,
        gamma: float = 2.0,
        kappa: float = 1.5,
        threads: int | None = None,
    ) -> None:
        if edges is None:
            from upscore.edges.learned import LearnedEdges

            edges = LearnedEdges()
        parameters = EdgeBoxesParameters(
            max_boxes=max_boxes,
            alpha=alpha,
            beta=beta,
            eta=eta,
            min_score=min_score,
            edge_min_magnitude=edge_min_magnitude,
            edge_merge_threshold=edge_merge_threshold,
            cluster_min_magnitude=cluster_min_magnitude,
            max_aspect_ratio=max_aspect_ratio,
            min_box_area=min_box_area,
            gamma=gamma,
            kappa=kappa,
        )
        parameters.check()
        if threads is not None and threads < 1:
            raise SettingsError(f"EdgeBoxes: threads is {threads}; want 1 or more")
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "parameters", parameters)
        object.__setattr__(self, "threads", threads)

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
        plain = require_strength(strength)
        if orientation is None:
            normal = edge_orientation(plain)
        else:
            normal = require_orientation(orientation, plain.shape)
        return self._search(thin_edges(plain, normal, radius=THINNING_RADIUS), normal)

    def _search(self, thin: Map, normal: Map) -> Proposals:
        from upscore.core.jit.compile import telling
        from upscore.core.jit.threads import num_threads
        from upscore.proposals.edge_boxes.groups import find_groups
        from upscore.proposals.edge_boxes.scores import build_tables
        from upscore.proposals.edge_boxes.search import search, sliding_windows

        p = self.parameters
        if min(thin.shape) < 3:  # nothing but border
            return Proposals.none()
        with telling("EdgeBoxes"):
            groups = find_groups(
                thin,
                normal,
                edge_min_magnitude=p.edge_min_magnitude,
                edge_merge_threshold=p.edge_merge_threshold,
                cluster_min_magnitude=p.cluster_min_magnitude,
                gamma=p.gamma,
            )
            if groups.mass.size == 1:  # number 0, which is none
                return Proposals.none()
            tables = build_tables(
                thin, groups, edge_min_magnitude=p.edge_min_magnitude, kappa=p.kappa
            )
            windows = sliding_windows(
                *thin.shape,
                alpha=p.alpha,
                max_aspect_ratio=p.max_aspect_ratio,
                min_box_area=p.min_box_area,
            )
            boxes, scores = search(
                tables,
                windows,
                alpha=p.alpha,
                beta=p.beta,
                eta=p.eta,
                min_score=p.min_score,
                wanted=p.max_boxes,
                threads=num_threads(self.threads),
            )
        return Proposals(boxes.astype(np.float32), scores)

    def settings(self) -> Settings:
        return {"kind": "EdgeBoxes", "edges": self.edges.settings(), **asdict(self.parameters)}
