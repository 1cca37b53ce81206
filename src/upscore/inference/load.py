"""A segmenter from a run folder, or from the model folder inside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from upscore.core.run_folder import RunFolder
from upscore.core.runtime import DeviceName, Precision, select_runtime
from upscore.errors import NotFoundError, RunError
from upscore.inference.averaged import Averaged
from upscore.inference.segmenter import Segmenter
from upscore.inference.tiles import DEFAULT_TILE, Tiled, require_tile
from upscore.inference.whole_image import WholeImage
from upscore.models.checkpoint import load_model


def load_segmenter(
    path: Path,
    *,
    device: DeviceName = "auto",
    precision: Precision = "auto",
    tile: int = DEFAULT_TILE,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
) -> Segmenter:
    """The trained network of a run, ready to label photos.

    Args:
        path: a run folder, or a model folder (config.json and model.safetensors).
        tile: photos with a side over it are done in tiles; 0 for never (see ``Tiled``).
        flip: average over the mirrored photo too (see ``Averaged``).
        scales: average over these sizes.

    Raises:
        NotFoundError: no such folder.
        RunError: neither kind of folder, half-written, without a model so far, or too new.
        SettingsError: a device, precision, tile or scale that cannot be.
    """
    require_tile(tile)
    runtime = select_runtime(device, precision)
    saved = load_model(find_model(path))
    segmenter: Segmenter = WholeImage(saved.model, saved.labels, saved.input_spec, runtime)
    if flip or tuple(scales) != (1.0,):
        segmenter = Averaged(segmenter, flip=flip, scales=scales)
    # Tiles outside, so that memory stays in proportion to a tile whatever the scales.
    return Tiled(segmenter, tile=tile) if tile else segmenter


def find_model(path: Path) -> Path:
    """The model folder that ``path`` is or holds. Raises as :func:`load_segmenter`."""
    if not path.exists():
        raise NotFoundError(f"{path}: no such run folder; `upscore train` makes one")
    if path.is_dir() and (path / "config.json").exists():
        return path
    if path.is_dir() and not (path / "manifest.json").exists():
        raise RunError(
            f"{path}: neither a run folder (no manifest.json in it) nor a model folder (no "
            "config.json in it); name the folder given to `upscore train --out`"
        )
    run = RunFolder.open(path)
    if not run.model.exists():
        raise RunError(
            f"{path}: this run has no model yet, its training has not come to the first "
            "validation; go on with the same `upscore train` command and --resume"
        )
    return run.model
