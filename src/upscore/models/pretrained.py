"""Initial weights: torchvision's VGG16 files, and networks trained before."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from upscore.core.files import download, verify
from upscore.core.images import INPUT_SPECS, InputSpec
from upscore.core.run_folder import RunFolder
from upscore.errors import NotFoundError, RunError, SettingsError, WorkError
from upscore.models.base import Network
from upscore.models.checkpoint import CONFIG, WEIGHTS, read_state
from upscore.models.input_conversion import convert_first_layer
from upscore.models.layers import ConvBlock
from upscore.models.vgg import DEPTHS, VGG16

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageNetFile:
    """A file of VGG16 weights: where it is, how its sha256 begins, how it wants its photos."""

    url: str
    expected: str
    input_name: str = "imagenet"


IMAGENET = {
    "vgg16": ImageNetFile(
        "https://download.pytorch.org/models/vgg16-397923af.pth", "sha256:397923af"
    ),
    "vgg16_bn": ImageNetFile(
        "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth", "sha256:6c64b313"
    ),
}
"""torchvision's weights."""


@dataclass(frozen=True)
class Transfer:
    """What came of starting a network from weights: keys of the network, and of the source."""

    copied: tuple[str, ...]
    fresh: tuple[str, ...]
    """Keys of the network that the weights say nothing about."""
    unused: tuple[str, ...]
    """Keys of the source that the network has no place for."""
    converted: bool = False
    """Whether conv1_1 was converted to another input than that of the source."""


def initialise(
    model: Network,
    weights: str,
    *,
    input_spec: InputSpec,
    file_input: str | None = None,
    cache: Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Transfer:
    """Start ``model`` from weights by name or path.

    Weights made for another input than ``input_spec`` have conv1_1 converted to it (see
    :func:`convert_first_layer`), which the logger ``upscore.models.pretrained`` reports (INFO).

    Args:
        weights: ``vgg16`` or ``vgg16_bn`` (downloaded once), or the path of a torchvision file
            (.pth or .safetensors), a model folder, or a run folder.
        input_spec: how photos will be prepared for ``model``.
        file_input: how a file wants them prepared, ``imagenet`` (which None stands for) or
            ``caffe``. Names and folders know their own.
        cache: see :func:`imagenet_weights`.

    Raises:
        NotFoundError: neither a name that is known nor a path that exists.
        SettingsError: ``file_input`` with weights that are no file, or an unknown one.
        RunError: damaged, a key does not fit (it is named), or weights for photos of other than
            three channels.
        WorkError: the download failed.
    """
    path = None if weights in IMAGENET else weights_path(weights)
    if file_input is not None and (path is None or path.is_dir()):
        raise SettingsError(
            f"init.input is {file_input!r}, but init.weights is {weights}, which knows its own "
            "input; leave init.input out (it is for weight files)"
        )
    if path is None:
        given = InputSpec.named(IMAGENET[weights].input_name)
        state = imagenet_weights(weights, cache=cache, progress=progress)
        transfer = start_from_imagenet(model, state, source=weights)
    elif path.is_dir():
        state, given = read_state(model_folder(path))
        transfer = start_from(model, state, source=weights)
    else:
        given = InputSpec.named(file_input or "imagenet")
        transfer = start_from_imagenet(model, read_weight_file(path), source=weights)
    if given == input_spec:
        return transfer
    first = model.get_submodule("trunk.conv1_1")
    assert isinstance(first, ConvBlock)
    try:
        convert_first_layer(first, given=given, wanted=input_spec)
    except RunError as error:
        raise RunError(f"{weights}: {error}") from error
    logger.info(
        "%s: its weights want photos as %s, this network gets them as %s; conv1_1 was converted",
        weights,
        _described(given),
        _described(input_spec),
    )
    return replace(transfer, converted=True)


def _described(spec: InputSpec) -> str:
    """The name of a specification, or what it is."""
    for name, known in INPUT_SPECS.items():
        if spec == known:
            return name
    mean, std = (", ".join(f"{v:g}" for v in values) for values in (spec.mean, spec.std))
    return f"{spec.channel_order}, mean {mean}, std {std}"


def weights_path(weights: str) -> Path:
    """The file or folder that weights which are no known name come from. Raises NotFoundError."""
    path = Path(weights)
    if not path.exists():
        raise NotFoundError(
            f"initial weights {weights!r}: no such file or folder; give {', '.join(IMAGENET)}, a "
            "torchvision file, a model folder or a run folder"
        )
    return path


def imagenet_weights(
    name: str,
    *,
    cache: Path | None = None,
    source: Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[str, Tensor]:
    """torchvision's weights by torchvision's keys.

    Args:
        name: one of ``IMAGENET``.
        cache: folder that keeps downloads; by default $UPSCORE_CACHE or ~/.cache/upscore.
        source: a file at hand, used (after the same check of its sha256) instead of a download.

    Raises:
        SettingsError: an unknown name.
        NotFoundError: ``source`` does not exist.
        WorkError: offline, or the file is not the published one.
        RunError: the file cannot be read.
    """
    if name not in IMAGENET:
        raise SettingsError(f"no ImageNet weights {name!r}; there are {', '.join(IMAGENET)}")
    entry = IMAGENET[name]
    if source is not None:
        if not source.exists():
            raise NotFoundError(f"{source}: no such file")
        verify(source, entry.expected)
        return read_weight_file(source)
    target = (cache or default_cache()) / entry.url.rpartition("/")[2]
    try:
        path = download(entry.url, target, expected=entry.expected, progress=progress)
    except WorkError as error:
        raise WorkError(
            f"weights {name} are not to be had: {error}. Or fetch {entry.url} elsewhere and put "
            f"it at {target}"
        ) from error
    return read_weight_file(path)


def default_cache() -> Path:
    """$UPSCORE_CACHE, or ~/.cache/upscore."""
    return Path(os.environ.get("UPSCORE_CACHE") or Path.home() / ".cache" / "upscore")


def read_weight_file(path: Path) -> dict[str, Tensor]:
    """Tensors by key from a .safetensors file or a PyTorch file (which may run no code).

    Raises:
        RunError: damaged, or something else than tensors by key.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise many kinds
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise RunError(f"{path}: cannot be read as weights ({reason})") from error
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise RunError(f"{path}: want tensors by key (a state dict), found something else")
    return dict(state)


def model_folder(path: Path) -> Path:
    """The model folder that ``path`` is or, for a run folder, holds.

    Raises:
        NotFoundError, RunError: neither.
    """
    if (path / CONFIG).exists() or (path / WEIGHTS).exists():
        return path
    return RunFolder.open(path).model


def torchvision_keys(*, batch_norm: bool) -> Iterator[tuple[str, str, str | None]]:
    """(our layer, torchvision's layer, its batch norm or None) for the 13 convolutions."""
    index = 0
    for stage, depth in enumerate(DEPTHS, start=1):
        for position in range(1, depth + 1):
            norm = f"features.{index + 1}" if batch_norm else None
            yield f"conv{stage}_{position}", f"features.{index}", norm
            index += 3 if batch_norm else 2  # convolution, (norm,) ReLU
        index += 1  # pool


def start_from_imagenet(model: Network, state: Mapping[str, Tensor], *, source: str) -> Transfer:
    """Copy a torchvision ``vgg16`` or ``vgg16_bn`` state into the trunk, fc6 and fc7 included.

    All as it is: the network then takes photos as the state does. (``initialise`` converts.)
    Linear weights become convolutions in the order C, H, W, which is exact. A bias before batch
    norm moves into the running mean, unless the network has a place for it. torchvision has no
    norm on fc6 and fc7: ours then start as the identity (in eval mode). So do all norms where the
    plain ``vgg16`` is loaded into DeconvNet with batch norm, which is how its authors start. Its
    convolutions have biases beside norms, and such norms keep the shift that they start with.

    Raises:
        SettingsError: the network has no VGG16 trunk.
        RunError: a key is missing, left over, not finite or of another shape; it is named.
    """
    trunk = getattr(model, "trunk", None)
    if not isinstance(trunk, VGG16):
        raise SettingsError(f"{model.architecture} has no VGG16 trunk to load {source} into")
    first = trunk.get_submodule("conv1_1")
    assert isinstance(first, ConvBlock)
    batch_norm = isinstance(first.norm, nn.BatchNorm2d)
    theirs = "features.1.weight" in state
    inserted = batch_norm and not theirs and first.conv.bias is not None
    if batch_norm != theirs and not inserted:
        have, want = ("vgg16", "vgg16_bn") if batch_norm else ("vgg16_bn", "vgg16")
        raise RunError(
            f"{source}: looks like {have}, but the network has batch_norm "
            f"{str(batch_norm).lower()}; use {want}, or change the option"
        )
    incoming = _Incoming(state, source)
    for ours, their_layer, their_norm in torchvision_keys(batch_norm=theirs):
        incoming.copy(trunk.get_submodule(ours), their_layer, their_norm)
    unused = ["classifier.6."]
    if trunk.has_fc:
        incoming.copy(trunk.fc6, "classifier.0", None, tuple(trunk.fc6.conv.weight.shape))
        incoming.copy(trunk.fc7, "classifier.3", None, tuple(trunk.fc7.conv.weight.shape))
    else:
        unused += ["classifier.0.", "classifier.3."]
        incoming.left -= {key for key in state if key.startswith(tuple(unused))}
    incoming.finish()
    keys = model.state_dict().keys()
    return Transfer(
        copied=tuple(key for key in keys if key.startswith("trunk.")),
        fresh=tuple(key for key in keys if not key.startswith("trunk.")),
        unused=tuple(key for key in state if key.startswith(tuple(unused))),
    )


class _Incoming:
    """A torchvision state that is being used up."""

    def __init__(self, state: Mapping[str, Tensor], source: str) -> None:
        self.state = state
        self.source = source
        self.left = {
            key
            for key in state
            if not key.startswith("classifier.6.") and not key.endswith(".num_batches_tracked")
        }

    def take(self, key: str, want: tuple[int, ...]) -> Tensor:
        if key not in self.state:
            raise RunError(f"{self.source}: no weights {key}; want torchvision's vgg16 or vgg16_bn")
        self.left.discard(key)
        value = self.state[key]
        if tuple(value.shape) != want:
            raise RunError(
                f"{self.source}: {key} is {tuple(value.shape)}, the network wants {want}; ImageNet "
                "weights fit width 1, 3 channels and the default layer sizes only"
            )
        if not bool(torch.isfinite(value).all()):
            raise RunError(f"{self.source}: {key} holds NaN or infinity; use another file")
        return value

    def copy(
        self,
        block: nn.Module,
        layer: str,
        norm: str | None,
        convolution: tuple[int, ...] | None = None,
    ) -> None:
        """One layer; ``convolution`` is the shape that a linear weight becomes."""
        assert isinstance(block, ConvBlock)
        ours = block.conv.weight
        shape = tuple(ours.shape)
        if convolution is not None:
            shape = (shape[0], shape[1] * shape[2] * shape[3])
        weight = self.take(f"{layer}.weight", shape)
        bias = self.take(f"{layer}.bias", (ours.shape[0],))
        with torch.no_grad():
            ours.copy_(weight.view(ours.shape))
            has_bias = block.conv.bias is not None
            if block.conv.bias is not None:
                block.conv.bias.copy_(bias)
            batch_norm = block.norm
            if not isinstance(batch_norm, nn.BatchNorm2d):
                return
            mean, variance = batch_norm.running_mean, batch_norm.running_var
            assert mean is not None
            assert variance is not None
            if norm is None:
                batch_norm.weight.fill_(1)
                if not has_bias:
                    batch_norm.bias.copy_(bias)
                mean.zero_()
                variance.fill_(1 - batch_norm.eps)
            else:
                width = (ours.shape[0],)
                batch_norm.weight.copy_(self.take(f"{norm}.weight", width))
                batch_norm.bias.copy_(self.take(f"{norm}.bias", width))
                mean.copy_(self.take(f"{norm}.running_mean", width))
                if not has_bias:
                    mean.sub_(bias)
                variance.copy_(self.take(f"{norm}.running_var", width))

    def finish(self) -> None:
        if self.left:
            raise RunError(
                f"{self.source}: left-over weights {', '.join(sorted(self.left)[:3])}; want "
                "torchvision's vgg16 or vgg16_bn"
            )


def start_from(model: Network, state: Mapping[str, Tensor], *, source: str) -> Transfer:
    """Start from another network of the catalogue: the whole trunk, and of the head what fits.

    This is the papers' staged training: FCN-16s from FCN-32s, FCN-8s from FCN-16s. Score layers
    that the coarser network did not have become zero, so that training goes on from what it
    scored. When the number of classes differs, the score layers keep their fresh start.

    Raises:
        RunError: a key of the trunk is missing, left over, or of another shape; it is named.
    """
    ours = model.state_dict()
    for key, value in ours.items():
        if not key.startswith("trunk."):
            continue
        if key not in state:
            raise RunError(f"{source}: no weights {key}, which {model.architecture} needs")
        if state[key].shape != value.shape:
            raise RunError(
                f"{source}: {key} is {tuple(state[key].shape)}, {model.architecture} wants "
                f"{tuple(value.shape)}; give the new network the same options as the old one"
            )
    unused = [key for key in state if key not in ours]
    for key in unused:
        if key.startswith("trunk."):
            raise RunError(
                f"{source}: left-over weights {key}, for which {model.architecture} has no place; "
                "give the new network the same options as the old one"
            )
    copied = [key for key in ours if key in state and state[key].shape == ours[key].shape]
    fresh = [key for key in ours if key not in copied]
    with torch.no_grad():
        for key in copied:
            ours[key].copy_(state[key])
        if "scores.fc7.weight" in copied:
            for key in fresh:
                if key.startswith("scores."):
                    ours[key].zero_()
    unused += [key for key in fresh if key in state]
    return Transfer(tuple(copied), tuple(fresh), tuple(unused))
