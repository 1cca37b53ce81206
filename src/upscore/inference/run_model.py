"""Networks and class names of run folders."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from upscore.core.failures import first_line
from upscore.core.labels import Labels
from upscore.core.limits import DEFAULT_TILE
from upscore.core.model_folder import CONFIG, builtin_networks, find_model, is_network_folder
from upscore.core.option_values import require_tile
from upscore.core.runtime import Runtime
from upscore.errors import RunError
from upscore.inference.segmenter import Segmenter
from upscore.inference.test_time_augmentation import TestTimeAugmentation
from upscore.inference.tiles import Tiled
from upscore.inference.whole_image import WholeImage
from upscore.models.checkpoint import SavedModel, load_model, read_config

logger = logging.getLogger(__name__)


def load_network(
    path: Path,
    runtime: Runtime,
    *,
    tile: int = DEFAULT_TILE,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
) -> Segmenter:
    """A network for whole photos. Arguments and errors are those of ``load_segmenter``."""
    require_tile(tile)
    saved = load_trained(path)
    segmenter: Segmenter = WholeImage(saved.model, saved.labels, saved.input_spec, runtime)
    if flip or tuple(scales) != (1.0,):
        segmenter = TestTimeAugmentation(segmenter, flip=flip, scales=scales)
    # tiles around all else, so that memory is in proportion to a tile at any scales
    return Tiled(segmenter, tile=tile) if tile else segmenter


def load_trained(path: Path) -> SavedModel:
    """The network of a run or model folder, for predictions; its warning is logged, if it has one.

    Raises:
        NotFoundError, RunError: as :func:`find_model` and :func:`load_model`.
    """
    folder = find_model(path)
    if str(path) in builtin_networks() and is_network_folder(path):
        logger.info("%s: the network in this folder is used, not the included one so called", path)
    saved = load_model(folder)
    if saved.warning is not None:
        logger.warning("%s: %s", folder, saved.warning)
    return saved


def read_labels(path: Path) -> Labels:
    """The classes of a run, without loading its weights.

    Raises:
        NotFoundError, RunError: as :func:`find_model`, or a model folder that is damaged.
    """
    folder = find_model(path)
    content = read_config(folder)
    try:
        return Labels.from_json(content["classes"])
    except Exception as error:  # values of any kind
        raise RunError(
            f"{folder / CONFIG}: damaged, no classes in it ({first_line(error)})"
        ) from error
