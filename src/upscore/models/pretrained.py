"""Initial weights: published ImageNet weights, and networks trained before."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from upscore.core.choices import suggest
from upscore.core.files import exists
from upscore.core.images import INPUT_SPECS, InputSpec
from upscore.core.model_folder import builtin_networks, find_model, included
from upscore.core.plural import plural
from upscore.core.quoting import join, quote
from upscore.errors import NotFoundError, RunError, SettingsError, WorkError
from upscore.models.backbones import BACKBONES
from upscore.models.base import BACKBONE_PREFIX, Network
from upscore.models.checkpoint import CLASSIFICATION, load_model, read_config
from upscore.models.classifier_folder import load_classifier_folder
from upscore.models.imagenet_files import read_imagenet_file
from upscore.models.input_conversion import convert_first_layer, repeated, taking_rgb

logger = logging.getLogger(__name__)

IMAGENET = {name: file for kind in BACKBONES.values() for name, file in kind.imagenet_files.items()}
"""Files of ImageNet weights of all backbones, by name."""


def initialise(
    model: Network,
    weights: str,
    *,
    input_spec: InputSpec,
    file_input: str | None = None,
) -> None:
    """Start ``model`` from weights by name or path.

    If the weights were made for another input than ``input_spec``, the first layer is converted
    to it (see :func:`convert_first_layer`), which the logger ``upscore.models.pretrained`` reports
    (INFO). So is the first layer of a network of other than three channels, which is adapted to
    weights from a file (see :func:`taking_rgb`).

    Args:
        weights: a name in ``IMAGENET`` of the network's backbone, such as ``vgg16`` (downloaded
            once) or ``lite0`` (shipped), or the path of such a file (.pth, .safetensors, .h5 of
            Keras, .caffemodel), a model folder (also of an image classifier, whose layers up to
            fc7 are taken), or a run folder.
        input_spec: how photos will be prepared for ``model``.
        file_input: input specification of a weight file, as ``imagenet`` or ``caffe``;
            None: ``caffe`` for .h5 and .caffemodel, else that of the backbone's published
            weights. Names and folders have their own.

    Raises:
        NotFoundError: neither a name that is known nor a path that exists.
        SettingsError: ``file_input`` with weights that are no file, an unknown one, or weights of
            another backbone.
        RunError: damaged, a key does not fit (it is named), or a folder's weights for another
            number of channels.
        WorkError: the download failed, or the file is not the published one.
    """
    path = None if weights in IMAGENET else weights_path(weights)
    if file_input is not None and (path is None or path.is_dir()):
        raise SettingsError(
            f"init.input is {file_input!r}, but init.weights is {weights}, which knows its own "
            "input; leave init.input out (it is for weight files)"
        )
    if path is None:
        known = model.backbone.imagenet_files
        if weights not in known:
            owner = next(name for name, kind in BACKBONES.items() if weights in kind.imagenet_files)
            raise SettingsError(
                f"init.weights is {weights}, which are weights of the backbone {owner}, "
                f"{_other_backbone(model, owner)}"
            )
        try:
            path = IMAGENET[weights].find()
        except (NotFoundError, WorkError) as error:
            raise type(error)(f"init.weights is {weights}: {error}") from error
    if path.is_dir():
        folder = find_model(path)
        classifies = read_config(folder, task=None).get("task") == CLASSIFICATION
        saved = load_classifier_folder(folder) if classifies else load_model(folder)
        _require_backbone(model, saved.model, weights)
        state, given = saved.model.state_dict(), saved.input_spec
        theirs, ours = len(given.mean), model.options["in_channels"]
        if theirs != ours:
            raise RunError(
                f"init.weights is {weights}, whose network takes {plural(theirs, 'channel')}, and "
                f"this one takes {ours}; set model.options.in_channels={theirs}"
            )
        start_from(model, state, source=weights)
    else:
        file = read_imagenet_file(path, source=weights)
        given = InputSpec.named(file_input or file.input_name or model.backbone.input_name)
        channels = model.backbone.first_block.conv.in_channels if model.has_backbone else 3
        if channels != 3:
            with taking_rgb(model.backbone.first_block):
                start_from_imagenet(model, file.state, source=file.source)
                _convert(model, weights, given=given, wanted=repeated(input_spec))
            logger.info(
                "%s: its weights need RGB, this network takes %s; the first layer was adapted (%s)",
                weights,
                plural(channels, "channel"),
                "its first channel has the sum of the kernels over RGB"
                if channels < 3
                else "its channels after RGB start at zero",
            )
            return
        start_from_imagenet(model, file.state, source=file.source)
    _convert(model, weights, given=given, wanted=input_spec)


def _require_backbone(model: Network, other: nn.Module, weights: str) -> None:
    """Raise SettingsError where a network has none of ``other``'s backbone to start from."""
    owner = _backbone_of(other)
    if model.has_backbone and owner != _backbone_of(model):
        raise SettingsError(
            f"init.weights is {weights}, whose network has "
            f"{f'the backbone {owner}' if owner else 'no backbone'}, "
            f"{_other_backbone(model, owner)}"
        )


def _backbone_of(model: nn.Module) -> str | None:
    trunk = model._modules.get("trunk")
    return next((name for name, kind in BACKBONES.items() if isinstance(trunk, kind)), None)


def _other_backbone(model: Network, owner: str | None) -> str:
    """What to set where weights are those of another backbone."""
    change = f"model.options.backbone={owner}, or " if "backbone" in model.options and owner else ""
    return (
        f"and this {model.architecture} has {'another one' if owner else 'one'}; "
        f"set {change}init.weights="
        f"{' or '.join(model.backbone.imagenet_files)}"
    )


def _convert(model: Network, weights: str, *, given: InputSpec, wanted: InputSpec) -> None:
    """Convert the first layer to the input ``wanted`` where its weights need another."""
    if given == wanted:
        return
    try:
        convert_first_layer(model.backbone.first_block, given=given, wanted=wanted)
    except RunError as error:
        raise RunError(f"{weights}: {error}") from error
    logger.info(
        "%s: its weights need photos as %s, this network gets them as %s; the first layer was "
        "converted",
        weights,
        _described(given),
        _described(wanted),
    )


def _described(spec: InputSpec) -> str:
    """The name of a specification, or its values."""
    for name, known in INPUT_SPECS.items():
        if spec == known:
            return name
    mean, std = (", ".join(f"{v:g}" for v in values) for values in (spec.mean, spec.std))
    return f"{spec.channel_order}, mean {mean}, std {std}"


def weights_path(weights: str) -> Path:
    """The file or folder of weights that have no published name. Raises NotFoundError."""
    path = included(weights) or Path(weights)
    if not exists(path):
        raise NotFoundError(
            f"init.weights is {quote(weights)}, which is no file, folder or name; "
            f"{suggest(weights, [*IMAGENET, *builtin_networks()])}. Or give a file of weights, a "
            "model folder or a run folder"
        )
    return path


def start_from_imagenet(model: Network, state: Mapping[str, Tensor], *, source: str) -> None:
    """Copy a published state into the backbone as it is (``initialise`` converts the first layer).

    Raises:
        SettingsError: the network has no backbone.
        RunError: a key is missing, left over, not finite or of another shape; it is named.
    """
    try:
        backbone = model.backbone
    except SettingsError as error:
        raise SettingsError(f"{error} to load {source} into") from error
    backbone.load_imagenet(state, source=source)


def start_from(model: Network, state: Mapping[str, Tensor], *, source: str) -> None:
    """Start from another network: its whole backbone, and those of its other layers that fit.

    This is the papers' staged training: FCN-16s from FCN-32s, FCN-8s from FCN-16s. Score layers
    that the coarser network did not have become zero, so that training continues from its scores.
    When the number of classes differs, the score layers keep their fresh start.

    Raises:
        RunError: a key of the backbone is missing, left over, or of another shape; it is named.
    """
    ours = model.state_dict()
    for key, value in ours.items():
        if not key.startswith(BACKBONE_PREFIX):
            continue
        if key not in state:
            raise RunError(f"{source}: no weights {key}, which {model.architecture} needs")
        if state[key].shape != value.shape:
            raise RunError(
                f"{source}: {key} is {tuple(state[key].shape)}, {model.architecture} needs "
                f"{tuple(value.shape)}; give the new network the same options as the old one"
            )
    for key in state:
        if key.startswith(BACKBONE_PREFIX) and key not in ours:
            raise RunError(
                f"{source}: left-over weights {key}, for which {model.architecture} has no place; "
                "give the new network the same options as the old one"
            )
    copied = {key for key in ours if key in state and state[key].shape == ours[key].shape}
    with torch.no_grad():
        for key in copied:
            ours[key].copy_(state[key])
        for layer in model.added_score_layers(copied):
            for parameter in layer.parameters():
                parameter.zero_()
    new = dict.fromkeys(key.rpartition(".")[0] for key in ours if key not in copied)
    logger.info(
        "the training starts from %s, with %s",
        source,
        f"all its layers but these, which are new: {join(new)}" if new else "all its layers",
    )
