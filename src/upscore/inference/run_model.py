"""The network of a run folder: where its model lies, which classes it has, ready for photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from upscore.core.files import read_json
from upscore.core.labels import Labels
from upscore.core.run_folder import RunFolder
from upscore.core.runtime import Runtime
from upscore.errors import NotFoundError, RunError, SettingsError
from upscore.inference.segmenter import Segmenter
from upscore.inference.test_time_augmentation import Averaged
from upscore.inference.tiles import DEFAULT_TILE, Tiled, require_tile
from upscore.inference.whole_image import WholeImage
from upscore.models.checkpoint import CONFIG, load_model


def load_network(
    path: Path,
    runtime: Runtime,
    *,
    tile: int = DEFAULT_TILE,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
) -> Segmenter:
    """The network over the whole photo; arguments and errors are those of ``load_segmenter``."""
    require_tile(tile)
    saved = load_model(find_model(path))
    segmenter: Segmenter = WholeImage(saved.model, saved.labels, saved.input_spec, runtime)
    if flip or tuple(scales) != (1.0,):
        segmenter = Averaged(segmenter, flip=flip, scales=scales)
    # Tiles outside, so that memory stays in proportion to a tile whatever the scales.
    return Tiled(segmenter, tile=tile) if tile else segmenter


def read_labels(path: Path) -> Labels:
    """The classes of a run, without loading its weights.

    Raises:
        NotFoundError, RunError: as :func:`find_model`, or a model folder that is damaged.
    """
    config = find_model(path) / CONFIG
    content = read_json(config)
    try:
        return Labels.from_json(content["classes"])
    except (KeyError, TypeError, SettingsError) as error:
        raise RunError(f"{config}: damaged, no classes in it ({error})") from error


def find_model(path: Path) -> Path:
    """The model folder that ``path`` is or holds.

    Raises:
        NotFoundError: no such folder.
        RunError: neither a run folder nor a model folder, or one without a model so far.
    """
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
