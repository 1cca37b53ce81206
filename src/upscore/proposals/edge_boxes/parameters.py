"""The parameters of EdgeBoxes, written once for the search, the command line and pipelines.

Nothing heavy is imported here, so that ``--help`` stays quick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from upscore.errors import SettingsError


def _parameter(default: float, low: float, high: float = math.inf) -> Any:
    """A field with its allowed range, both ends included."""
    return field(default=default, metadata={"range": (low, high)})


@dataclass(frozen=True, kw_only=True)
class SearchParameters:
    """The parameters of EdgeBoxes that people change: how windows are searched and selected.

    ``beta`` is best a little above the IoU that boxes are to reach with objects. It shrinks by
    ``eta`` while it is above 0.5: with an ``eta`` below 1, boxes lie denser at the head of the list
    than at its end. ``min_score`` is on the released code's scale, 5.7 times the paper's for a
    kappa of 1.5. ``min_box_area`` is for windows: at the image's border, and after refinement, they
    may be smaller.

    Raises:
        SettingsError: everything that is out of range.
    """

    alpha: float = _parameter(0.65, 0.1, 0.95)
    """Of edge-boxes: IoU of neighbouring windows; higher looks at more of them."""
    beta: float = _parameter(0.75, 1e-6, 1)
    """Of edge-boxes: boxes that overlap a better one by more than this IoU are dropped."""
    eta: float = _parameter(1.0, 1e-6, 1)
    """Of edge-boxes: beta is multiplied by this after each box that is kept."""
    min_score: float = _parameter(0.01, 0)
    """Of edge-boxes: windows with lower scores are dropped."""
    min_box_area: float = _parameter(1000.0, 1)
    """Of edge-boxes: smallest area of a window in pixels."""
    max_aspect_ratio: float = _parameter(3.0, 1, 100)
    """Of edge-boxes: longest shape of a window, longer by shorter side."""

    def __post_init__(self) -> None:
        wrong = []
        for parameter in fields(self):
            if "range" not in parameter.metadata:
                continue
            low, high = parameter.metadata["range"]
            value = getattr(self, parameter.name)
            if not (math.isfinite(value) and low <= value <= high):
                allowed = f"at least {low:g}" if high == math.inf else f"{low:g}..{high:g}"
                wrong.append(f"{parameter.name} is {value:g}, expected {allowed}")
        if wrong:
            raise SettingsError(f"EdgeBoxes: {'; '.join(wrong)}")

    def changed(self) -> dict[str, Any]:
        """The parameters that differ from their defaults, by name."""
        values = {item.name: (getattr(self, item.name), item.default) for item in fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}


@dataclass(frozen=True, kw_only=True)
class EdgeBoxesParameters(SearchParameters):
    """All parameters of the paper, with the released code's names and defaults.

    Raises:
        SettingsError: everything that is out of range.
    """

    max_boxes: int = _parameter(10_000, 1)
    """At most so many boxes."""
    edge_min_magnitude: float = _parameter(0.1, 0, 0.999)
    """Weaker edge pixels do not count."""
    edge_merge_threshold: float = _parameter(0.5, 1e-6)
    """An edge group grows until its orientation has changed by so many times pi."""
    cluster_min_magnitude: float = _parameter(0.5, 0)
    """Groups with no more strength in sum are dissolved."""
    gamma: float = _parameter(2.0, 1e-6, 100)
    """Affinities of groups are cosines to this power."""
    kappa: float = _parameter(1.5, 0, 10)
    """Scores are divided by half the sum of the sides to this power."""

    def parameters(self) -> dict[str, Any]:
        """All of them by name, as the settings of a source hold them."""
        return {item.name: getattr(self, item.name) for item in fields(EdgeBoxesParameters)}


SEARCH_PARAMETERS = tuple(item.name for item in fields(SearchParameters))
"""Names of the parameters that command lines and pipeline files take."""
