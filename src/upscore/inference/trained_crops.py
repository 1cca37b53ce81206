"""Instance-wise segmentation with the crop geometry of the network's training.

The geometry (growth, undistorted squares or stretched boxes, cut off at the photo's border or not,
input size) is in ``config.json`` of the model. Older runs have it only in their ``recipe.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from upscore.core.crop_geometry import CropGeometry
from upscore.core.files import read_json
from upscore.core.model_folder import CONFIG, find_model
from upscore.core.runtime import Runtime
from upscore.core.settings import build, load_yaml, set_key
from upscore.errors import RunError, SettingsError, UpscoreError
from upscore.inference.instance_wise import PAPER, PRESETS, InstanceSettings, InstanceWise
from upscore.inference.run_model import load_trained
from upscore.models.checkpoint import crops_from_config
from upscore.proposals.base import ProposalSource

WINDOW = ("growth", "square", "leave_image", "input_size")
"""Settings of the crop geometry: those of the run, unless others are given."""


def trained_settings(path: Path) -> dict[str, Any]:
    """The crop geometry (:data:`WINDOW`) of a run or model folder; empty if trained on photos.

    A network that was trained on square crops of photos has its ``input_size``.

    Raises:
        NotFoundError, RunError: as ``find_model``, or a damaged ``config.json``.
    """
    folder = find_model(path)
    config = folder / CONFIG
    try:
        crops = crops_from_config(read_json(config))
    except SettingsError as error:
        raise RunError(f"{config}: damaged ({error})") from error
    if crops is not None:
        return _of(crops)
    try:
        return _from_recipe(load_yaml(folder.parent / "recipe.yaml"))
    except UpscoreError:  # no recipe, or one without crops
        return {}


def instance_settings(
    path: Path, given: Mapping[str, Any], *, preset: Literal["paper", "released"] = "paper"
) -> InstanceSettings:
    """Settings for a network: those given, else those of its training, else the preset's.

    Args:
        path: run or model folder.
        given: of ``InstanceSettings``, by name; ``square=False`` overrides the training.

    Raises:
        SettingsError: an invalid setting. And as :func:`trained_settings`.
    """
    content = {**PRESETS[preset].model_dump(), **trained_settings(path), **given}
    return build(InstanceSettings, content, str(path))


def load_instance_wise(
    path: Path,
    proposals: ProposalSource,
    runtime: Runtime,
    *,
    preset: Literal["paper", "released"] = "paper",
    **given: Any,
) -> InstanceWise:
    """The network of a run for instance-wise segmentation, with the crops of its training.

    Raises:
        RunError: a model that is damaged or too new. And as :func:`instance_settings`.
    """
    settings = instance_settings(path, given, preset=preset)
    saved = load_trained(path)
    return InstanceWise(
        saved.model, saved.labels, saved.input_spec, runtime, proposals, settings=settings
    )


def _of(crops: CropGeometry) -> dict[str, Any]:
    return {**crops.model_dump(exclude={"size"}), "input_size": crops.size}


def _from_recipe(content: dict[str, Any]) -> dict[str, Any]:
    """The crop geometry in a ``recipe.yaml``, of its last stage, whose weights are the run's.

    Raises:
        SettingsError: a recipe with other contents.
    """
    stages = content.get("stages")
    last = stages[-1] if isinstance(stages, list) and stages else {}
    changes = last.get("set") if isinstance(last, dict) else None
    for key, value in changes.items() if isinstance(changes, dict) else ():
        set_key(content, key, value)
    crops, augment = (_mapping(content.get(key)) for key in ("crops", "augment"))
    size = augment.get("crop")
    if crops.get("kind") in ("objects", "proposals"):
        found = {
            "growth": crops.get("growth", PAPER.growth),
            "square": crops.get("square", PAPER.square),
            "leave_image": crops.get("leave_image", PAPER.leave_image),
            "size": size or augment.get("resize") or PAPER.input_size,
        }
        return _of(build(CropGeometry, found, "crops"))
    if isinstance(size, list) and len(size) == 2 and size[0] == size[1] and size[0]:
        return {"input_size": (int(size[0]), int(size[1]))}
    return {}


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
