"""How a box of a photo becomes a network's input: kept with the network that learned from such."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt

from upscore.core.settings import Settings

Side = Annotated[int, Ge(1)]


class CropGeometry(Settings):
    """What a box shows. Training and inference want the same, or objects come in other shapes."""

    growth: Annotated[float, Gt(0)]
    """Factor on the box's width and height, about its centre."""
    square: bool
    """Whether the box becomes the square of its longer side, so that nothing is distorted; else it
    is stretched to ``size``, whatever its shape."""
    leave_image: bool
    """Whether boxes reach outside the photo, which is black there, or are cut off at its border."""
    size: tuple[Side, Side]
    """Height and width that it is resized to."""
