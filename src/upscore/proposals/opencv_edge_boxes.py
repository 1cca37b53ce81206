"""OpenCV's EdgeBoxes as a source of proposals, to compare ours with."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from upscore.core.labels import RGBImage
from upscore.edges.detectors import EdgeDetector
from upscore.proposals.base import Proposals, Settings
from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxesParameters
from upscore.proposals.opencv import edge_boxes_opencv


@dataclass(frozen=True)
class OpenCVEdgeBoxes:
    """OpenCV's port of EdgeBoxes on an edge map of ours.

    Attributes:
        edges: image -> strength and orientation.
        parameters: as those of ours.

    Raises:
        SettingsError: a parameter that is out of range.
    """

    edges: EdgeDetector
    parameters: EdgeBoxesParameters

    def __post_init__(self) -> None:
        self.parameters.check()

    def settings(self) -> Settings:
        return {
            "kind": "OpenCVEdgeBoxes",
            "edges": self.edges.settings(),
            **asdict(self.parameters),
        }

    def __call__(self, image: RGBImage, *, name: str = "") -> Proposals:  # noqa: ARG002
        """Boxes of an image (H, W, 3) uint8 RGB.

        Raises:
            DataError: not such an image.
            MissingExtraError: no OpenCV, or one without its extra modules.
        """
        return edge_boxes_opencv(*self.edges(image), parameters=self.parameters)
