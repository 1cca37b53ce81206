"""Writes caffemodels of all generations, from protobuf's encoding and Caffe's caffe.proto."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
V1_TYPES = {"Convolution": 4, "InnerProduct": 14, "Deconvolution": 39, "ReLU": 18, "BN": 43}


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def blob(values: Array, *, old: bool = False, packed: bool = True, double: bool = False) -> bytes:
    """A BlobProto; ``old`` with num, channels, height and width, filled up with ones in front."""
    kind, field = ("<f8", 8) if double else ("<f4", 5)
    flat = np.ascontiguousarray(values, kind)
    if packed:
        data = message(field, flat.tobytes())
    else:
        tag = varint(field << 3 | (1 if double else 5))
        data = b"".join(tag + value.tobytes() for value in flat.ravel())
    if old:
        shape = (1,) * (4 - values.ndim) + values.shape
        return b"".join(number(i, side) for i, side in enumerate(shape, start=1)) + data
    return message(7, message(1, b"".join(map(varint, values.shape)))) + data


def layer(
    name: str, kind: str, blobs: Iterable[Array], generation: int = 2, **options: bool
) -> bytes:
    """A layer with its field number in the network."""
    parts = [blob(values, old=generation < 2, **options) for values in blobs]
    if generation == 2:
        body = message(1, name) + message(2, kind) + message(3, "x") + message(4, name)
        return message(100, body + b"".join(message(7, part) for part in parts))
    if generation == 1:
        body = message(2, "x") + message(3, name) + message(4, name)
        body += number(5, V1_TYPES.get(kind, 0)) + b"".join(message(6, part) for part in parts)
        return message(2, body + b"".join(varint(7 << 3 | 5) + struct.pack("<f", 1) for _ in "ab"))
    inner = message(1, name) + message(2, kind.lower())
    inner += b"".join(message(50, part) for part in parts)
    return message(2, message(2, "x") + message(3, name) + message(1, inner))


def net(layers: Iterable[bytes]) -> bytes:
    return message(1, "test") + message(3, "data") + b"".join(layers)


def write_caffemodel(
    path: Path,
    layers: Mapping[str, Sequence[Array]],
    generation: int = 2,
    **options: bool,
) -> None:
    """Layers by name; their types follow from their names as far as anybody asks."""

    def kind(name: str) -> str:
        return "Deconvolution" if "up" in name or "deconv" in name else "Convolution"

    path.write_bytes(
        net(layer(name, kind(name), blobs, generation, **options) for name, blobs in layers.items())
    )
