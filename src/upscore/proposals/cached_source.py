"""Boxes of a store, and for photos that it lacks boxes that are made as the store's own were."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from upscore.core.json import JSONObject
from upscore.core.labels import RGBImage
from upscore.core.runtime import DeviceName, Precision
from upscore.errors import DataError, SettingsError
from upscore.proposals.base import Proposals, ProposalSource, image_key
from upscore.proposals.store import ProposalStore, plain_settings, settings_differences

if TYPE_CHECKING:
    from upscore.edges.detectors import EdgeDetector

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class StoredOrMade:
    """A source that looks a photo up in a store by its content, whatever its name.

    A photo that the store lacks, as a new one or one of another data set, gets its boxes computed
    with the store's settings, so that all boxes are of one kind. That is possible where EdgeBoxes
    made the store, with colour gradients or with the learned edges of this version of upscore. The
    first time is logged.

    Attributes:
        store: opened.
        device, precision: of the edge network, for boxes that are computed.
    """

    store: ProposalStore
    _: KW_ONLY
    device: DeviceName = "auto"
    precision: Precision = "auto"

    def settings(self) -> JSONObject:
        """Those of the store."""
        return self.store.settings

    def __call__(self, image: RGBImage, *, name: str = "") -> Proposals:  # noqa: ARG002
        """Boxes of an image (H, W, 3) uint8.

        Raises:
            DataError: not such an image, a damaged store, or one that lacks the photo and that
                EdgeBoxes did not make.
        """
        key = image_key(image)
        if key in self.store:
            return self.store.read(key)
        return self._maker(image)

    @cached_property
    def _maker(self) -> ProposalSource:
        settings = self.store.settings
        try:
            maker = edge_boxes_of(settings, device=self.device, precision=self.precision)
        except SettingsError as error:
            raise DataError(
                f"{self.store.path}: has no boxes of this photo, it was made for "
                f"{self.store.made_for()}; and they cannot be computed alike: {error}. Run "
                "`upscore proposals make` for the data set of this photo"
            ) from error
        logger.info(
            "%s: lacks a photo; its boxes, and those of others that it lacks, are computed with "
            "the store's settings",
            self.store.path,
        )
        return maker


def edge_boxes_of(
    settings: Mapping[str, Any], *, device: DeviceName = "auto", precision: Precision = "auto"
) -> ProposalSource:
    """The EdgeBoxes whose ``settings()`` these are.

    Raises:
        SettingsError: settings of another source, of edges that upscore does not ship, or of an
            EdgeBoxes that this version does not know.
    """
    from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes

    if settings.get("kind") != "EdgeBoxes":
        raise SettingsError(f"they are of {settings.get('kind')}, not of EdgeBoxes")
    rest = {name: value for name, value in settings.items() if name not in ("kind", "edges")}
    try:
        source = EdgeBoxes(_edges_of(settings["edges"], device, precision), **rest)
    except (KeyError, TypeError, ValueError) as error:  # SettingsError is a ValueError
        raise SettingsError(f"settings that this upscore does not know ({error})") from error
    differences = settings_differences(settings, plain_settings(source.settings()))
    if differences:
        raise SettingsError(f"this upscore would make others: {'; '.join(differences)}")
    return source


def _edges_of(
    settings: Mapping[str, Any], device: DeviceName, precision: Precision
) -> EdgeDetector:
    from upscore.edges import GradientEdges, LearnedEdges

    if settings["kind"] == "LearnedEdges":
        scales = tuple(settings["scales"])
        return LearnedEdges(scales=scales, device=device, precision=precision)
    if settings["kind"] == "GradientEdges":
        return GradientEdges(scales=tuple(settings["scales"]))
    raise SettingsError(f"edges of {settings['kind']}")
