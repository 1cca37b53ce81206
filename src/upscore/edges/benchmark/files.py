"""Edge maps as files of any tool, and the scores of edge maps as files of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from upscore.core.arrays import is_archive, read_npy
from upscore.core.files import write_json
from upscore.core.images import read_mask
from upscore.core.limits import MAX_PIXELS
from upscore.core.tables import write_csv
from upscore.edges.benchmark.score import EdgeScores, Strength
from upscore.errors import DataError, NotFoundError

MAP_SUFFIXES = (".png", ".npy")
FORMAT_VERSION = 1


def find_edge_map(folder: Path, name: str) -> Path:
    """The edge map of photo ``name``: ``folder/name.png`` or ``folder/name.npy``.

    Raises:
        NotFoundError: neither is there.
        DataError: both are.
    """
    found = [path for suffix in MAP_SUFFIXES if (path := folder / f"{name}{suffix}").exists()]
    if not found:
        raise NotFoundError(f"{folder}: no {name}.png or {name}.npy; add the edge map of the photo")
    if len(found) > 1:
        raise DataError(f"{found[0]}: there is {found[1].name} as well; remove one of them")
    return found[0]


def read_edge_map(path: Path, *, max_pixels: int = MAX_PIXELS) -> Strength:
    """An edge map (H, W) float32 as any tool may have written it.

    A grey PNG of 8 or 16 bits, whose largest value counts as 1; or a ``.npy`` (H, W) of bytes, of
    16-bit numbers, or of floats as they are, whatever their range.

    Raises:
        NotFoundError: no such file.
        DataError: damaged, or not of these kinds.
    """
    if path.suffix.lower() == ".npy":
        return _scaled(_read_npy(path))
    pixels = read_mask(path, max_pixels=max_pixels)
    with Image.open(path) as picture:
        mode = picture.mode
    if mode in ("1", "L", "LA"):
        return _scaled(pixels.astype(np.uint8))
    if mode == "I" or mode.startswith("I;16"):
        return _scaled(pixels.astype(np.uint16))
    raise DataError(f"{path}: a PNG of Pillow mode {mode}; expected grey of 8 or 16 bits")


def _read_npy(path: Path) -> npt.NDArray[Any]:
    if is_archive(path):
        raise DataError(f"{path}: an archive of arrays; expected one array in a .npy file")
    values = read_npy(path)
    if values.ndim != 2 or not (values.dtype.kind == "f" or values.dtype in (np.uint8, np.uint16)):
        raise DataError(
            f"{path}: an array of shape {values.shape}, {values.dtype}; expected (H, W) of floats "
            "in [0, 1], uint8 or uint16"
        )
    return values


def _scaled(values: npt.NDArray[Any]) -> Strength:
    """Floats as they are; the largest number that others can hold becomes 1."""
    strength = values.astype(np.float32)
    if values.dtype.kind != "f":
        strength /= np.float32(np.iinfo(values.dtype).max)
    return strength


def edge_scores_to_dict(scores: EdgeScores, about: Mapping[str, Any]) -> dict[str, Any]:
    """The content of scores.json: JSON values.

    Args:
        about: what else it shall record: data set, command, settings.
    """
    counts = scores.counts
    return {
        "format_version": FORMAT_VERSION,
        "ods": asdict(scores.best),
        "ois": asdict(scores.own_best),
        "ap": scores.ap,
        "curve": {
            "threshold": scores.thresholds.tolist(),
            "precision": scores.precision.tolist(),
            "recall": scores.recall.tolist(),
            "f": counts.f.tolist(),
            "true": counts.true.tolist(),
            "found": counts.found.tolist(),
            "detected": counts.detected.tolist(),
            "right": counts.right.tolist(),
        },
        "images": [{"name": image.name, **asdict(image.best)} for image in scores.images],
        "failures": [asdict(failure) for failure in scores.failures],
        "about": dict(about),
    }


def write_edge_scores(scores: EdgeScores, folder: Path, about: Mapping[str, Any]) -> None:
    """Write scores.json, images.csv and curve.csv into ``folder``.

    Raises:
        OutputError: the folder cannot be written.
    """
    write_json(folder / "scores.json", edge_scores_to_dict(scores, about))
    write_csv(
        folder / "images.csv",
        ("name", "f", "threshold", "precision", "recall"),
        ((image.name, *astuple(image.best)) for image in scores.images),
    )
    columns = (scores.thresholds, scores.precision, scores.recall, scores.counts.f)
    write_csv(
        folder / "curve.csv",
        ("threshold", "precision", "recall", "f"),
        zip(*(column.tolist() for column in columns), strict=True),
    )
