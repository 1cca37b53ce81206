"""Geometry of crops: how a box of a photo becomes a network's input. Kept with the network."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt

from upscore.core.settings import Settings, Side


class CropGeometry(Settings):
    """The part of a photo that a box stands for, the same in training and inference."""

    growth: Annotated[float, Gt(0)]
    """Factor on the box's width and height, about its centre."""
    square: bool
    """Whether the box becomes the square of its longer side, without distortion; otherwise a box of
    any shape is stretched to ``size``."""
    leave_image: bool
    """Whether boxes reach outside the photo, which is black there, or are cut off at its border."""
    size: tuple[Side, Side]
    """Height and width to which it is resized."""
