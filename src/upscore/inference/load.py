"""Segmenters from run folders, model folders and pipeline files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from upscore.core.limits import DEFAULT_TILE
from upscore.core.model_folder import is_pipeline
from upscore.core.option_values import require_tile
from upscore.core.runtime import DeviceName, Precision, select_runtime
from upscore.crf.settings import load_crf
from upscore.errors import SettingsError
from upscore.inference.pipeline.run import load_pipeline
from upscore.inference.refine import CRF_TILE, Refine, crf_device
from upscore.inference.run_model import load_network
from upscore.inference.segmenter import Segmenter
from upscore.inference.tiles import Tiled

NETWORK_OPTIONS: dict[str, tuple[Any, str]] = {
    "tile": (DEFAULT_TILE, "in the whole_image stages"),
    "flip": (False, "in the whole_image stages"),
    "scales": ((1.0,), "in the whole_image stages"),
    "crf": (None, "as a stage: NAME: {refine: {of: STAGE, crf: deconvnet}}"),
}
"""Options of run folders: their defaults, and where a pipeline file has them."""


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
    """The trained network of a run, or a pipeline, as a segmenter.

    Args:
        path: a run folder, a model folder (config.json and model.safetensors), or a pipeline file
            (.yaml, see docs/pipelines.md), which takes none of the last four arguments.
        tile: photos with a side over it are done in tiles; 0 for never (see ``Tiled``).
        flip: average over the mirrored photo too (see ``TestTimeAugmentation``).
        scales: average over these sizes.
        crf: refine with a dense CRF: settings by name or a YAML file of them (see ``load_crf``).
            It refines photos up to a side of ``CRF_TILE`` (or ``tile``, if that is larger) as a
            whole, and larger ones in tiles; with ``tile`` 0, always the whole photo.

    Raises:
        NotFoundError: no such folder or file, or no such file of CRF settings.
        RunError: neither kind of folder, half-written, without a model so far, or too new.
        SettingsError: an invalid device, precision, tile, scale or CRF setting, an error in the
            pipeline file, or one of the last four arguments for a pipeline.
    """
    if is_pipeline(path):
        refuse_network_options(path, tile=tile, flip=flip, scales=tuple(scales), crf=crf)
        return load_pipeline(path, device=device, precision=precision, stages=())
    require_tile(tile)
    refinement = None if crf is None else load_crf(crf).build(device=crf_device(device))
    runtime = select_runtime(device, precision)
    segmenter = load_network(path, runtime, tile=tile, flip=flip, scales=scales)
    if refinement is None:
        return segmenter
    refinement.compatibility_matrix(len(segmenter.labels))  # refuses a table of another size
    # around the tiles of the network, which are blended into one photo before the refinement
    segmenter = Refine(segmenter, refinement)
    return Tiled(segmenter, tile=max(tile, CRF_TILE)) if tile else segmenter


def refuse_network_options(path: Path, **options: Any) -> None:
    """Refuse options that belong into a pipeline file, with SettingsError that names the place."""
    lines = [
        f"--{name} is for a run folder, but {path} is a pipeline; set it there, {where}"
        for name, (default, where) in NETWORK_OPTIONS.items()
        if options.get(name, default) != default
    ]
    if lines:
        raise SettingsError("\n".join(lines))
