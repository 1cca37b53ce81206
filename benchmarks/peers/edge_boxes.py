"""OpenCV's port of EdgeBoxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.peers.opencv import require_opencv
from upscore.core.json import JSONObject
from upscore.core.labels import RGBImage
from upscore.edges.detectors import EdgeDetector
from upscore.edges.maps import require_edges, thin_edges
from upscore.proposals.base import Proposals
from upscore.proposals.edge_boxes.edge_boxes import THINNING_RADIUS
from upscore.proposals.edge_boxes.parameters import EdgeBoxesParameters


@dataclass(frozen=True, kw_only=True)
class OpenCVEdgeBoxes(EdgeBoxesParameters):
    """OpenCV's port of EdgeBoxes on an edge map of ours, as a source of proposals.

    Its parameters are those of :class:`EdgeBoxesParameters`.

    Attributes:
        edges: image -> strength and orientation.

    Raises:
        SettingsError: a parameter that is out of range.
    """

    edges: EdgeDetector = field(kw_only=False)

    def settings(self) -> JSONObject:
        return {"kind": "OpenCVEdgeBoxes", "edges": self.edges.settings(), **self.parameters()}

    def __call__(self, image: RGBImage, *, name: str = "") -> Proposals:  # noqa: ARG002
        """Boxes of an image (H, W, 3) uint8 RGB.

        Raises:
            DataError: not such an image.
            MissingExtraError: no OpenCV, or one without its extra modules.
        """
        return edge_boxes_opencv(*self.edges(image), **self.parameters())


def edge_boxes_opencv(strength: object, orientation: object = None, **settings: Any) -> Proposals:
    """Boxes of OpenCV's port of EdgeBoxes, to compare ours with.

    The map is thinned as ours does it, since the port leaves that to the caller. Its boxes are
    moved back by one pixel: it returns MATLAB's counting from 1.

    Args:
        strength: (H, W) of floats in [0, 1].
        orientation: (H, W) of floats in [0, pi), computed where it is None.
        settings: parameters by name, as of ``EdgeBoxes``.

    Raises:
        DataError: NaN, other ranges or shapes.
        MissingExtraError: OpenCV is not installed.
        SettingsError: a parameter that is out of range.
    """
    p = EdgeBoxesParameters(**settings)
    plain, normal = require_edges(strength, orientation)
    cv2 = require_opencv()
    if min(plain.shape) < 3:  # reads beyond the image
        return Proposals.none()
    # a new object for each image: the port adds group masses of earlier images to new ones
    port = cv2.ximgproc.createEdgeBoxes(
        alpha=p.alpha,
        beta=p.beta,
        eta=p.eta,
        minScore=p.min_score,
        maxBoxes=p.max_boxes,
        edgeMinMag=p.edge_min_magnitude,
        edgeMergeThr=p.edge_merge_threshold,
        clusterMinMag=p.cluster_min_magnitude,
        maxAspectRatio=p.max_aspect_ratio,
        minBoxArea=p.min_box_area,
        gamma=p.gamma,
        kappa=p.kappa,
    )
    found, scores = port.getBoundingBoxes(thin_edges(plain, normal, radius=THINNING_RADIUS), normal)
    if len(found) == 0:
        return Proposals.none()
    corners = np.asarray(found, np.float32).reshape(-1, 4)
    corners[:, :2] -= 1
    corners[:, 2:] += corners[:, :2]
    values = np.asarray(scores, np.float32).ravel()
    return Proposals.sorted(corners, values).top(p.max_boxes)
