"""``upscore proposals show``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from upscore.cli.proposal_options import SOURCE_DEFAULTS, SourceOptions
from upscore.cli.segmenter_options import MAX_PIXELS
from upscore.errors import DataError, SettingsError

if TYPE_CHECKING:
    from upscore.core.labels import RGBImage
    from upscore.edges.maps import Map
    from upscore.proposals.base import Proposals, ProposalSource


def show(
    image: Annotated[Positional[Path], arg(metavar="IMAGE")],
    /,
    *,
    out: Annotated[Path, arg(metavar="PNG")],
    boxes: int = 10,
    options: Annotated[SourceOptions, arg(name="")] = SOURCE_DEFAULTS,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Draw the edge map of a photo and the best boxes.

    Args:
        image: The photo.
        out: The picture to make.
        boxes: How many boxes, the best.
        max_pixels: Photos with more pixels are refused.
    """
    from upscore.cli.console import console, show_messages
    from upscore.core.images import read_image
    from upscore.report.figures.proposals import boxes_figure
    from upscore.report.figures.scores import write_png

    if boxes < 1:
        raise SettingsError(f"--boxes is {boxes}; allowed: 1 or more")
    if options.source == "ground-truth":
        raise SettingsError(
            "--source ground-truth needs a data set, and a photo alone is given; "
            "upscore proposals recall --sources ground-truth --data PATH measures it"
        )
    source = options.build()
    photo = read_image(image, max_pixels=max_pixels)
    show_messages("upscore.compiled")
    try:
        found, strength = _boxes_and_edges(source, photo, image.stem)
    except DataError as error:
        raise DataError(f"{image}: {error}") from error
    best = found.top(boxes)
    name = options.source if strength is None else f"{options.source} of {options.edges} edges"
    title = f"{image.name}: {name}, best {len(best)} of {len(found)} boxes"
    write_png(out, boxes_figure(photo, best, title=title, strength=strength))
    console.print(f"best {len(best)} of {len(found)} boxes: {out}", markup=False)


def _boxes_and_edges(
    source: ProposalSource, photo: RGBImage, name: str
) -> tuple[Proposals, Map | None]:
    """The boxes, and the edge map of a source that has one."""
    from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes

    if not isinstance(source, EdgeBoxes):
        return source(photo, name=name), None
    strength, orientation = source.edges(photo)
    return source.from_edges(strength, orientation), strength
