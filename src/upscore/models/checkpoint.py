"""A network on disk: a folder of config.json and model.safetensors, loaded strictly."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from upscore.core.crop_geometry import CropGeometry
from upscore.core.damage import reading
from upscore.core.failures import first_line
from upscore.core.files import atomic_path, make_folder, read_json, write_json
from upscore.core.images import InputSpec
from upscore.core.json import parse_json
from upscore.core.labels import Labels
from upscore.core.model_folder import CONFIG, WEIGHTS, builtin_networks, repair
from upscore.core.photo_values import AS_STORED, PhotoValues
from upscore.core.plural import plural
from upscore.core.quoting import quote, shorten
from upscore.core.settings import build
from upscore.core.tensor_files import read_safetensors, require_usable, write_safetensors
from upscore.errors import NotFoundError, RunError, SettingsError
from upscore.models.base import Network, count_parameters
from upscore.models.blueprint import blueprint
from upscore.models.factory import create_model
from upscore.models.packed_weights import unpack

FORMAT_VERSION = 1
"""Version of model folders; it changes when older versions of upscore cannot read new ones."""

SEGMENTATION, CLASSIFICATION = "segmentation", "classification"
"""``task`` in config.json: what the network gives scores for, pixels (if it is left out) or whole
photos."""


@dataclass(frozen=True)
class SavedModel:
    """A loaded network in eval mode, float32, on the CPU, with its labels and input specification.

    Attributes:
        crops: how boxes were cropped in training; None for a network trained on whole photos, or
            by an older upscore that did not save it here.
        photos: how values of photos became 8-bit RGB in training.
        warning: why its predictions cannot be trusted, where the folder says so.
    """

    model: Network
    labels: Labels
    input_spec: InputSpec
    crops: CropGeometry | None = None
    photos: PhotoValues = AS_STORED
    warning: str | None = None


def save_model(
    folder: str | Path,
    model: nn.Module,
    *,
    labels: Labels,
    input_spec: InputSpec,
    crops: CropGeometry | None = None,
    photos: PhotoValues = AS_STORED,
    trained: Mapping[str, Any] | None = None,
) -> None:
    """Write ``folder/model.safetensors``, then ``folder/config.json``, each whole or not at all.

    Weights go to disk as float32 in the default memory layout, from whatever device.

    Args:
        crops: how boxes were cropped in training, for a network that was trained on crops.
        photos: how values of photos became 8-bit RGB in training.
        trained: where the network comes from (data, scores, version), as `upscore info` prints it.
            An entry ``warning`` is shown when the network is loaded to predict.

    Raises:
        SettingsError: not a network of ``MODELS``, one folded for inference, or one whose number
            of classes is not that of ``labels``.
        OutputError: cannot write.
    """
    if not isinstance(model, Network):
        raise SettingsError(
            f"cannot save a {type(model).__name__}: only networks made by create_model are saved"
        )
    if model.num_classes != len(labels):
        raise SettingsError(
            f"the network scores {model.num_classes} classes, but {len(labels)} labels were given"
        )
    write_folder(
        Path(folder),
        model,
        expected=_expected_state(model.architecture, json.dumps(model.options)),
        architecture=model.architecture,
        options=model.options,
        entries={
            "classes": labels.to_json(),
            "input_spec": input_spec.to_json(),
            **({} if crops is None else {"crops": crops.model_dump(mode="json")}),
            **({} if photos == AS_STORED else {"photos": photos.to_json()}),
            **({} if trained is None else {"trained": dict(trained)}),
        },
    )


def write_folder(
    folder: Path,
    model: nn.Module,
    *,
    expected: Mapping[str, Tensor],
    architecture: str,
    options: Mapping[str, Any],
    entries: Mapping[str, Any],
) -> None:
    """Write a network of any kind, as :func:`save_model`.

    Args:
        expected: weights that a network of these options has; their values do not matter.
        entries: of config.json, besides those of the network itself.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    state = {key: v.float() if v.is_floating_point() else v for key, v in state.items()}
    if _complaint(state, expected):
        raise SettingsError(
            f"cannot save this {architecture}: its weights are not those of its options "
            "(folded for inference?); save the network that it was made from"
        )
    identity = {"architecture": architecture, "options": dict(options)}
    make_folder(folder)
    with atomic_path(folder / WEIGHTS) as temporary:
        write_safetensors(state, temporary, {"upscore": json.dumps(identity, sort_keys=True)})
    write_json(
        folder / CONFIG,
        {
            "format_version": FORMAT_VERSION,
            **identity,
            "num_parameters": count_parameters(model),
            **entries,
        },
    )


def rename_classes(folder: Path, labels: Labels) -> None:
    """Give the classes of a saved network, where there is one, the names and colours of ``labels``.

    Raises:
        RunError: damaged.
        OutputError: cannot write.
    """
    if (folder / CONFIG).exists():
        write_json(folder / CONFIG, {**read_json(folder / CONFIG), "classes": labels.to_json()})


def load_model(folder: Path) -> SavedModel:
    """Read a model folder. Every key must be there, no other, each of the right shape.

    Raises:
        NotFoundError: no such folder.
        RunError: not a model folder, half-written, damaged, from a newer upscore, or weights that
            do not fit; the message names the file and the key.
    """
    config = read_config(folder)
    path = folder / CONFIG
    with refusing_damage(path):
        labels = Labels.from_json(config["classes"])
        input_spec = InputSpec.from_json(config["input_spec"])
        crops = crops_from_config(config)
        photos = photos_from_config(config)
        warning = config.get("trained", {}).get("warning")
        model = _without_weights(config["architecture"], config["options"])
    if len(labels) != model.num_classes:
        raise RunError(
            f"{path}: lists {len(labels)} classes, but its network scores {model.num_classes}"
        )
    if len(input_spec.mean) != model.options["in_channels"]:
        raise RunError(
            f"{path}: input_spec has {plural(len(input_spec.mean), 'channel')}, but its network "
            f"takes {model.options['in_channels']}"
        )
    fill(model, folder, config)
    warning = None if warning is None else shorten(str(warning))
    return SavedModel(model.eval(), labels, input_spec, crops, photos, warning)


@contextlib.contextmanager
def refusing_damage(path: Path) -> Iterator[None]:
    """Raise RunError where the content of a config.json is not what this block expects."""
    try:
        yield
    except KeyError as error:
        raise RunError(f"{path}: damaged, no entry {error}") from error
    except SettingsError as error:
        raise RunError(f"{path}: {error}") from error
    except Exception as error:  # values of any kind for settings of any kind
        raise RunError(f"{path}: damaged ({first_line(error)})") from error


def fill(model: nn.Module, folder: Path, config: Mapping[str, Any]) -> None:
    """Give a network without memory, of the meta device, the weights of a model folder.

    Args:
        config: the content of its config.json.

    Raises:
        RunError: damaged weights, or those of another network.
    """
    state = read_weights(folder, config)
    complaint = _complaint(state, model.state_dict())
    if complaint:
        raise RunError(f"{folder / WEIGHTS}: does not fit its {CONFIG}: {complaint}")
    model.load_state_dict(state, strict=True, assign=True)


def crops_from_config(config: Mapping[str, Any]) -> CropGeometry | None:
    """Crop settings of the training in a config.json. Raises SettingsError where they are wrong."""
    crops = config.get("crops")
    return None if crops is None else build(CropGeometry, crops, "crops")


def photos_from_config(config: Mapping[str, Any]) -> PhotoValues:
    """How values of photos became 8-bit RGB in training, from a config.json.

    Raises ValueError where it is wrong.
    """
    return PhotoValues.from_json(config.get("photos", {}))


def _without_weights(architecture: str, options: Mapping[str, Any]) -> Network:
    """The network without memory for its weights."""
    with blueprint():
        return create_model(architecture, **options)


@functools.lru_cache(maxsize=2)
def _expected_state(architecture: str, options: str) -> dict[str, Tensor]:
    """Weights of a network without their memory; a training saves the same network many times.

    Args:
        options: as JSON, as in config.json.
    """
    return _without_weights(architecture, json.loads(options)).state_dict()


def _complaint(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str | None:
    """The first difference in keys, shapes or types, or None."""
    for what, keys in (
        ("no weights for", [key for key in wanted if key not in state]),
        ("left-over weights", [key for key in state if key not in wanted]),
    ):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            return f"{what} {', '.join(keys[:3])}{more}"
    for key, want in wanted.items():
        found = state[key]
        if found.shape != want.shape:
            return f"{key} is {tuple(found.shape)}, expected {tuple(want.shape)}"
        if found.dtype != want.dtype:
            fix = "; write the file again with tensor.float()" if found.is_floating_point() else ""
            return f"{key} is {found.dtype}, expected {want.dtype}{fix}"
    return None


def read_config(folder: Path, *, task: str | None = SEGMENTATION) -> dict[str, Any]:
    """The content of config.json of a model folder.

    Args:
        task: what the network must be for; None: anything.

    Raises:
        NotFoundError: no such folder.
        RunError: not a model folder, half-written, damaged, from a newer upscore, or of a network
            for another task.
    """
    if not folder.exists():
        raise NotFoundError(f"{folder}: no such model folder")
    path = folder / CONFIG
    missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).exists()]
    if len(missing) == 2 and folder not in builtin_networks().values():
        raise RunError(f"{folder}: not a model folder (no {CONFIG} and no {WEIGHTS} in it)")
    if missing:
        raise RunError(f"{folder}: half-written, {missing[0]} is missing; {repair(folder)}")
    try:
        config = read_json(path)
    except RunError as error:
        raise RunError(f"{error}; {repair(folder)}") from error
    version = config.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise RunError(f"{path}: damaged, format_version is {quote(version)}")
    if version > FORMAT_VERSION:
        raise RunError(
            f"{path}: written by a newer upscore (model format {version}, this one reads up to "
            f"{FORMAT_VERSION}); upgrade with: pip install -U upscore"
        )
    found = config.get("task", SEGMENTATION)
    if found not in (SEGMENTATION, CLASSIFICATION):
        raise RunError(f"{path}: damaged, task is {quote(found)}")
    if task is not None and found != task:
        raise RunError(f"{folder}: {_OTHER_TASK[found].format(folder=folder)}")
    return config


_OTHER_TASK = {
    SEGMENTATION: "a network that labels pixels, not an image classifier; type: upscore predict "
    "{folder} PHOTO",
    CLASSIFICATION: "an image classifier, which names what a photo shows as a whole, not a network "
    "that labels pixels (`upscore train` makes one); type: upscore classify PHOTO --model {folder}",
}
"""What to say about a network by its task, where one for the other task is wanted."""


def read_weights(folder: Path, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights in a model folder.

    Args:
        config: the content of its config.json.

    Raises:
        RunError: damaged, or of another network where the file says so.
    """
    path, fix = folder / WEIGHTS, repair(folder)
    stored, metadata = read_safetensors(path, fix)
    with reading(path, "damaged or truncated", fix, error=RunError):
        state = unpack(stored)
        identity = parse_json(metadata["upscore"]) if "upscore" in metadata else None
    require_usable(state, path)
    stated = {"architecture": config.get("architecture"), "options": config.get("options")}
    if identity is not None and identity != stated:
        raise RunError(
            f"{folder}: {CONFIG} and {WEIGHTS} belong to different networks, as the folder was "
            f"half-written; {fix}"
        )
    return state
