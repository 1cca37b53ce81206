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
from upscore.inference.segmenter import Scores

Product = Literal["labels", "overlay", "probabilities"]
PRODUCTS: tuple[Product, ...] = get_args(Product)
SUFFIXES: dict[Product, str] = {"labels": ".png", "overlay": ".jpg", "probabilities": ".npz"}


def require_products(save: Sequence[str]) -> tuple[Product, ...]:
    """The known products among ``save``, each once, in their own order.

    Raises:
        SettingsError: none, or an unknown one.
    """
    unknown = [name for name in save if name not in PRODUCTS]
    if unknown or not save:
        found = f"holds {unknown[0]!r}" if unknown else "is empty"
        raise SettingsError(f"save {found}; allowed: {', '.join(PRODUCTS)}, joined by commas")
    return tuple(product for product in PRODUCTS if product in save)


def result_path(out: Path, product: Product, name: str) -> Path:
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


def write_results(
    out: Path,
    name: str,
    products: Sequence[Product],
    image: RGBImage,
    labels: LabelMap,
    probabilities: Scores | None,
    label_set: Labels,
) -> None:
    """Write the asked products of one photo, each whole or not at all.

    Raises:
        OutputError: cannot write.
    """
    for product in products:
        path = result_path(out, product, name)
        if product == "labels":
            write_label_map(path, labels, label_set)
        elif product == "overlay":
            drawn = overlay(image, labels, label_set)
            write_image(path, with_legend(drawn, label_set, np.unique(labels)))
        else:
            assert probabilities is not None
            write_probabilities(path, probabilities, label_set)


def write_probabilities(path: Path, probabilities: Scores, label_set: Labels) -> None:
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
