"""What a labelled photo leaves on disk, and under which name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from upscore.core.draw import overlay, with_legend
from upscore.core.files import atomic_path
from upscore.core.images import write_image, write_label_map
from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.errors import SettingsError
from upscore.inference.segmenter import ScoreMap

OutputFormat = Literal["labels", "overlay", "probabilities"]
OUTPUT_FORMATS: tuple[OutputFormat, ...] = get_args(OutputFormat)
SUFFIXES: dict[OutputFormat, str] = {"labels": ".png", "overlay": ".jpg", "probabilities": ".npz"}


def require_formats(save: Sequence[str]) -> tuple[OutputFormat, ...]:
    """The known products among ``save``, each once, in their own order.

    Raises:
        SettingsError: none, or an unknown one.
    """
    unknown = [name for name in save if name not in OUTPUT_FORMATS]
    if unknown or not save:
        found = f"holds {unknown[0]!r}" if unknown else "is empty"
        raise SettingsError(f"save {found}; allowed: {', '.join(OUTPUT_FORMATS)}, joined by commas")
    return tuple(product for product in OUTPUT_FORMATS if product in save)


def output_path(out: Path, product: OutputFormat, name: str) -> Path:
    """``out/labels/NAME.png``, ``out/overlay/NAME.jpg``, ``out/probabilities/NAME.npz``."""
    return out / product / f"{name}{SUFFIXES[product]}"


def refuse_overwriting(targets: Mapping[Path, Sequence[Path]]) -> None:
    """Refuse results (values) that would stand where an input (a key) stands (SettingsError)."""
    sources = {source.resolve() for source in targets}
    for paths in targets.values():
        for path in paths:
            if path.resolve() in sources:
                raise SettingsError(
                    f"{path} is an input and would be overwritten by a result; use another --out"
                )


def write_outputs(
    out: Path,
    name: str,
    products: Sequence[OutputFormat],
    image: RGBImage,
    labels: LabelMap,
    probabilities: ScoreMap | None,
    label_set: Labels,
) -> None:
    """Write the asked products of one photo, each whole or not at all.

    Raises:
        OutputError: cannot write.
    """
    for product in products:
        path = output_path(out, product, name)
        if product == "labels":
            write_label_map(path, labels, label_set)
        elif product == "overlay":
            drawn = overlay(image, labels, label_set)
            write_image(path, with_legend(drawn, label_set, np.unique(labels)))
        else:
            assert probabilities is not None
            write_probabilities(path, probabilities, label_set)


def write_probabilities(path: Path, probabilities: ScoreMap, label_set: Labels) -> None:
    """(C, H, W) float32 -> npz of ``probabilities`` float16, ``classes`` (C,), ``colors`` (C, 3).

    Not compressed: zlib would take longer than the network and save little.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            probabilities=probabilities.astype(np.float16),
            classes=np.array(label_set.names),
            colors=np.array(label_set.colors, dtype=np.uint8),
        )
