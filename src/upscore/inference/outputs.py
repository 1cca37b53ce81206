"""Result files of a labelled image: one table of formats, their paths and their writers.

The command line shows the names of the formats, so numpy is imported only by the writers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from upscore.core.choices import chosen
from upscore.core.files import real_path
from upscore.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from upscore.core.labels import LabelMap, Labels, RGBImage
    from upscore.inference.segmenter import ScoreMap


ALPHA = 0.5
"""Share of the colours in an overlay."""


@dataclass(frozen=True)
class LabelledImage:
    """An image with its labels.

    Attributes:
        image: (H, W, 3) uint8.
        labels: (H, W) uint8, class indices.
        label_set: names and colours of the C classes.
        probabilities: (C, H, W) float32 in [0, 1]; None where no format needs them.
        alpha: share of the colours in the overlay, 0 to 1.
    """

    image: RGBImage
    labels: LabelMap
    label_set: Labels
    probabilities: ScoreMap | None = None
    alpha: float = ALPHA


@dataclass(frozen=True)
class OutputFormat:
    """A kind of result file.

    Attributes:
        suffix: of the file's name, as ``.png``.
        write: writes one image to a path, whole or not at all. It raises OutputError.
        needs_probabilities: whether ``write`` uses the probabilities.
        is_film: of a video: one overlay video, in place of a folder with a file for each frame.
    """

    suffix: str
    write: Callable[[Path, LabelledImage], None]
    needs_probabilities: bool = False
    is_film: bool = False


def write_labels(path: Path, item: LabelledImage) -> None:
    """A palette PNG of the image's size whose values are class indices."""
    from upscore.core.images import write_label_map

    write_label_map(path, item.labels, item.label_set)


def write_overlay(path: Path, item: LabelledImage) -> None:
    """A JPEG of the image under the classes' colours, with a legend of the classes found."""
    from upscore.core.draw import overlay, painted, with_legend
    from upscore.core.images import write_image

    present = painted(item.label_set, item.labels)
    # without a name for the overlay, which is dropped once it has a legend
    sheet = with_legend(
        overlay(item.image, item.labels, item.label_set, alpha=item.alpha), item.label_set, present
    )
    write_image(path, sheet)


def write_probabilities(path: Path, item: LabelledImage) -> None:
    """An npz of ``probabilities`` (C, H, W) float16, ``classes`` (C,), ``colors`` (C, 3) uint8.

    Not compressed: zlib would take longer than the network and save little.
    """
    import numpy as np

    from upscore.core.files import atomic_path

    assert item.probabilities is not None
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            probabilities=item.probabilities.astype(np.float16),
            classes=np.array(item.label_set.names),
            colors=np.array(item.label_set.colors, dtype=np.uint8),
        )


FORMATS: dict[str, OutputFormat] = {
    "labels": OutputFormat(".png", write_labels),
    "overlay": OutputFormat(".jpg", write_overlay, is_film=True),
    "probabilities": OutputFormat(".npz", write_probabilities, needs_probabilities=True),
}
"""All formats by name. A name is a value of ``save`` and the folder of the files."""

SAVE_HELP = f"What to write: {', '.join(FORMATS)}, separated by commas."
OUT_HELP = f"Folder for the results: {'/, '.join(FORMATS)}/."


def require_formats(save: Sequence[str]) -> tuple[str, ...]:
    """The names in ``save``, each once, in the order of ``FORMATS``.

    Raises:
        SettingsError: none, or an unknown one.
    """
    return chosen("save", save, FORMATS)


def need_probabilities(formats: Sequence[str]) -> bool:
    """Whether one of these formats needs probabilities."""
    return any(FORMATS[name].needs_probabilities for name in formats)


def output_path(out: Path, output_format: str, name: str) -> Path:
    """``out/labels/NAME.png``, ``out/overlay/NAME.jpg``, and likewise for each format."""
    return out / output_format / f"{name}{FORMATS[output_format].suffix}"


def refuse_overwriting(inputs: Iterable[Path], results: Iterable[Path]) -> None:
    """Refuse results at the path of an input. Raises SettingsError."""
    sources = {real_path(source) for source in inputs}
    for path in results:
        if real_path(path) in sources:
            raise SettingsError(
                f"{path} is an input and would be overwritten by a result; use another --out"
            )


def write_outputs(out: Path, name: str, formats: Sequence[str], item: LabelledImage) -> None:
    """Write an image in several formats, each file whole or not at all.

    Raises:
        OutputError: cannot write.
    """
    for output_format in formats:
        FORMATS[output_format].write(output_path(out, output_format, name), item)
