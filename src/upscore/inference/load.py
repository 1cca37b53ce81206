"""A segmenter from a run folder, or from the model folder inside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from upscore.core.run_folder import RunFolder
from upscore.core.runtime import DeviceName, Precision, select_runtime
from upscore.crf.settings import load_crf
from upscore.errors import NotFoundError, RunError
from upscore.inference.averaged import Averaged
from upscore.inference.refine import CRF_TILE, Refine
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
    crf: str | Path | None = None,
) -> Segmenter:
    """The trained network of a run, ready to label photos.

    Args:
        path: a run folder, or a model folder (config.json and model.safetensors).
        tile: photos with a side over it are done in tiles; 0 for never (see ``Tiled``).
        flip: average over the mirrored photo too (see ``Averaged``).
        scales: average over these sizes.
        crf: refine with a dense CRF: settings by name or a YAML file of them (see ``load_crf``).
            It sees the whole photo up to a side of ``CRF_TILE`` (or ``tile``, if that is larger),
            and tiles of it beyond; with ``tile`` 0, the whole photo always.

    Raises:
        NotFoundError: no such folder, or no such file of CRF settings.
        RunError: neither kind of folder, half-written, without a model so far, or too new.
        SettingsError: a device, precision, tile, scale or CRF setting that cannot be.
    """
    require_tile(tile)
    refinement = None if crf is None else load_crf(crf).build()
    runtime = select_runtime(device, precision)
    saved = load_model(find_model(path))
    if refinement is not None:
        refinement.compatibility_matrix(len(saved.labels))  # refuses a table of another size
    segmenter: Segmenter = WholeImage(saved.model, saved.labels, saved.input_spec, runtime)
    if flip or tuple(scales) != (1.0,):
        segmenter = Averaged(segmenter, flip=flip, scales=scales)
    # Tiles outside, so that memory stays in proportion to a tile whatever the scales.
    if tile:
        segmenter = Tiled(segmenter, tile=tile)
    if refinement is None:
        return segmenter
    # Around the tiles of the network, which blend into one photo before they are refined.
    segmenter = Refine(segmenter, refinement)
    return Tiled(segmenter, tile=max(tile, CRF_TILE)) if tile else segmenter


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
