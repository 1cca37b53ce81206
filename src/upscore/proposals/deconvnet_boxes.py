"""How DeconvNet makes crops of proposals: which it keeps, how it grows them, what lies outside."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.boxes import clip_boxes, grow_boxes, square_boxes
from upscore.core.json import JSONObject
from upscore.core.labels import VOID
from upscore.core.quoting import quote
from upscore.errors import DataError, SettingsError
from upscore.proposals.base import Proposals

IMAGE_FILL = 0
"""Black, before the mean is subtracted, as in training and in the released inference."""

LABEL_FILL = VOID
"""Outside the image a label map is void, so that no loss is taken there."""


@dataclass(frozen=True)
class BoxRule:
    """From proposals to the boxes that a network looks at.

    In this order: each box grows about its centre, becomes a square, is cut off at the image's
    border, is left out when too small; then the best stay. So the limit on the side is for the
    grown box, and a box that is left out takes nobody's place, as in DeconvNet's release.

    Attributes:
        growth: factor on width and height, for context around the object.
        square: whether a box becomes the square of its longer side with the same centre.
        leave_image: whether boxes may reach outside the image (:func:`crop_with_padding` fills what
            is missing), or are cut off at its border.
        min_side: boxes whose shorter side is below so many pixels are left out; 0 keeps all.
        top: how many stay.

    Raises:
        SettingsError: ``growth`` not above 0, ``min_side`` below 0, ``top`` below 1.
    """

    growth: float = 1.2
    square: bool = False
    leave_image: bool = True
    min_side: float = 0.0
    top: int = 50

    def __post_init__(self) -> None:
        if not (self.growth > 0 and math.isfinite(self.growth)):
            raise SettingsError(f"growth is {self.growth}; expected a number above 0, as 1.2")
        if not (self.min_side >= 0 and math.isfinite(self.min_side)):
            raise SettingsError(f"min_side is {self.min_side}; expected pixels, 0 or more")
        if self.top < 1:
            raise SettingsError(f"top is {self.top}; allowed: 1 or more")

    def settings(self) -> JSONObject:
        return {"kind": "BoxRule", **asdict(self)}

    def __call__(self, proposals: Proposals, *, height: int, width: int) -> Proposals:
        """The boxes to look at, best first, of an image of ``height`` x ``width``.

        Raises:
            SettingsError: a negative size.
        """
        boxes = proposals.boxes if self.growth == 1 else grow_boxes(proposals.boxes, self.growth)
        if self.square:
            boxes = square_boxes(boxes)
        if not self.leave_image:
            boxes = clip_boxes(boxes, height, width)
        seen = shorter_sides(boxes) > 0  # one that lies beside the image is cut to nothing
        grown = Proposals(boxes[seen], proposals.scores[seen])
        return drop_small(grown, self.min_side).top(self.top)


PAPER = BoxRule()
"""The paper (Noh et al. 2015, section 5.1): the best 50 of about 2,000, grown by 1.2."""

RELEASED = BoxRule(square=True, min_side=112)
"""What was released. Its inference passes over boxes, grown already, whose shorter side is below
112. No text states that boxes become squares: all training windows that are publicly quoted
are squares, of about 1.2 times the longer side. Boxes of the release's own cache have grown and
are squares already: ``dataclasses.replace(RELEASED, growth=1.0, square=False)``."""


def shorter_sides(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """min(width, height) of boxes (K, 4) xyxy: (K,) float32."""
    sides: npt.NDArray[np.float32] = np.minimum(
        boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    )
    return sides


def drop_small(proposals: Proposals, min_side: float) -> Proposals:
    """Those whose shorter side is ``min_side`` pixels or more, in their order."""
    kept = shorter_sides(proposals.boxes) >= min_side
    return Proposals(proposals.boxes[kept], proposals.scores[kept])


def whole_pixels(box: npt.ArrayLike) -> tuple[int, int, int, int]:
    """The window x1, y1, x2, y2 of whole pixels of a box; halves are rounded up, none is empty.

    Raises:
        DataError: not four finite numbers, x2 <= x1 or y2 <= y1.
    """
    values: npt.NDArray[Any] = np.asarray(box, np.float64)
    if values.shape != (4,) or not np.isfinite(values).all():
        raise DataError(f"a box is {quote(box)}; expected four finite numbers x1, y1, x2, y2")
    if values[2] <= values[0] or values[3] <= values[1]:
        raise DataError(f"the box {values.tolist()} is empty; expected x1 < x2 and y1 < y2")
    x1, y1, x2, y2 = (math.floor(value + 0.5) for value in values)
    return x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)


def crop_with_padding(
    image: npt.NDArray[np.uint8], box: npt.ArrayLike, fill: int
) -> npt.NDArray[np.uint8]:
    """What a box shows of an image or label map; ``fill`` where it reaches outside.

    Args:
        image: (H, W) or (H, W, C) uint8.
        box: x1, y1, x2, y2; rounded by :func:`whole_pixels`. It may leave the image on any side,
            and even lie beside it.
        fill: 0 to 255: :data:`IMAGE_FILL` for a photo, :data:`LABEL_FILL` for labels.

    Returns:
        (h, w) or (h, w, C) uint8, of the box's size.

    Raises:
        DataError: not such an image, or a bad box.
        SettingsError: ``fill`` outside its range.
    """
    if image.ndim not in (2, 3) or image.dtype != np.uint8:
        raise DataError(
            f"an image has shape {image.shape} and dtype {image.dtype}; expected (H, W) or (H, W, "
            "C) uint8"
        )
    if not 0 <= fill <= 255:
        raise SettingsError(f"fill is {fill}; allowed: 0 to 255")
    x1, y1, x2, y2 = whole_pixels(box)
    height, width = image.shape[:2]
    crop = np.full((y2 - y1, x2 - x1, *image.shape[2:]), fill, np.uint8)
    left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    if left < right and top < bottom:
        crop[top - y1 : bottom - y1, left - x1 : right - x1] = image[top:bottom, left:right]
    return crop
