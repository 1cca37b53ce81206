"""Layers and weights of .caffemodel files: Caffe's binary protobuf, all three generations.

The file is mapped into memory, not read: weights are views of it until somebody copies them, so
that a file of 1 GB needs no memory of its own. Nothing in it is run, and a length is compared with
the bytes that are there before it is believed. Field numbers are those of Caffe's caffe.proto.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.damage import reading
from upscore.core.quoting import quote
from upscore.errors import RunError

CAFFEMODEL = ".caffemodel"

MOST_FIELDS = 200_000
"""Of all messages that are read; DeconvNet has about three thousand."""
MOST_AXES = 32
"""Of a blob, as in Caffe."""
LONGEST_NAME = 200

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5
"""Protobuf's wire types; 3 and 4, groups, are in no such file."""

Span = tuple[int, int]
"""First byte, and the one after the last."""

LAYER_TYPES = {
    4: "Convolution", 5: "Data", 6: "Dropout", 8: "Flatten", 12: "ImageData", 14: "InnerProduct",
    15: "LRN", 17: "Pooling", 18: "ReLU", 20: "Softmax", 21: "SoftmaxWithLoss", 22: "Split",
    25: "Eltwise", 39: "Deconvolution",
}  # fmt: skip
"""Types of V1 layers by number. Forks of Caffe gave 40 and above to layers of their own."""


@dataclass(frozen=True)
class Blob:
    """An array of a layer.

    Attributes:
        shape: as stored; the older generations have always four sides.
        values: flat, float32 or float64, in the order of ``shape``, a read-only view of the file
            that may not be aligned.
    """

    shape: tuple[int, ...]
    values: npt.NDArray[Any]

    def array(self) -> npt.NDArray[np.float32]:
        """A copy of its own, float32, in its shape."""
        return np.array(self.values, dtype=np.float32, order="C").reshape(self.shape)


@dataclass(frozen=True)
class CaffeLayer:
    """A layer.

    Attributes:
        name: as in the prototxt.
        type: as in newer prototxts (``Convolution``); ``type 43`` for numbers of forks.
        blobs: weight and bias of most layers; empty for those that have nothing to learn.
    """

    name: str
    type: str
    blobs: tuple[Blob, ...]


@dataclass(frozen=True)
class _Generation:
    """Field numbers of a layer message."""

    name: int
    type: int
    blobs: int


_V0, _V1, _V2 = _Generation(1, 2, 50), _Generation(4, 5, 6), _Generation(1, 2, 7)
_LAYERS = {2: _V1, 100: _V2}
"""Fields of the network that hold layers. A V1 layer may hold a V0 layer in its field 1."""

_TEXT = re.compile(rb"\s*(#|(name|layers?|input\w*|state|force_backward)\s*[:{])")
_OTHERS = {
    b"PK\x03\x04": "a zip archive, as PyTorch's .pth files are",
    b"\x89HDF": "an HDF5 file; Keras and newer Caffe (.caffemodel.h5) write such",
    b"\x80\x02": "a Python pickle, as older .pth files are",
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"<": "a web page; the download was redirected",
}


def read_caffemodel(path: Path) -> Iterator[CaffeLayer]:
    """The layers in the order of the file, one after the other.

    V0, V1 and V2 layers, shapes of both kinds, float and double, packed or not. Gradients (diff)
    and settings of layers are passed over.

    Raises:
        NotFoundError: no such file.
        RunError: no caffemodel, truncated, or a blob whose shape and numbers do not fit; it names
            the layer.

    Example:
        >>> for layer in read_caffemodel(Path("fcn8s.caffemodel")):  # doctest: +SKIP
        ...     print(layer.name, [blob.shape for blob in layer.blobs])
    """
    what = "not a caffemodel that can be read"
    with reading(path, what, "fetch it again, or name another file", error=RunError):
        with path.open("rb") as stream:
            head = stream.read(200)
            if complaint := _other(head):
                raise ValueError(complaint)
            content = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        wire, found = _Wire(content), False
        for number, _, value in wire.fields((0, len(content)), dict.fromkeys(_LAYERS, (BYTES,))):
            if number in _LAYERS:
                found = True
                yield _layer(wire, value, _LAYERS[number])
        if not found:
            raise ValueError("it has no layers")


def _other(head: bytes) -> str | None:
    """What a file is that is none."""
    if not head:
        return "it is empty"
    if _TEXT.match(head):
        return (
            "it is text: a prototxt describes a network and has no weights; "
            "name the .caffemodel beside it"
        )
    return next(
        (f"it is {what}" for magic, what in _OTHERS.items() if head.startswith(magic)), None
    )


class _Wire:
    """Protobuf's encoding: fields of messages, without recursion.

    Args:
        content: of the file.
    """

    def __init__(self, content: memoryview) -> None:
        self.content = content
        self._left = MOST_FIELDS

    def fields(
        self, span: Span, wanted: Mapping[int, tuple[int, ...]]
    ) -> Iterator[tuple[int, int, Any]]:
        """(field number, wire type, value) of the message in the bytes ``span``.

        The value is a number for ``VARINT``, a span for ``BYTES``; for numbers of fixed
        width the raw bytes of all that follow each other, which is how unpacked arrays are stored.

        Args:
            wanted: the wire types that a field may have, by its number.
        """
        at, end = span
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"it has over {MOST_FIELDS} fields")
            first = at
            key, at = self.varint(at, end)
            number, kind = key >> 3, key & 7
            if number == 0:
                raise ValueError(f"a field has no number (byte {first})")
            value: Any
            if kind == VARINT:
                value, at = self.varint(at, end)
            elif kind == BYTES:
                length, at = self.varint(at, end)
                if length > end - at:
                    raise ValueError(
                        f"truncated: a field of {length} bytes at byte {at}, where {end - at} are "
                        "left"
                    )
                value, at = (at, at + length), at + length
            elif kind in (FOUR_BYTES, EIGHT_BYTES):
                width = 4 if kind == FOUR_BYTES else 8
                value, at = self._run(first, at, end, width)
            else:
                raise ValueError(f"wire type {kind} at byte {first}")
            if kind not in wanted.get(number, (kind,)):
                raise ValueError(f"field {number} has the wire type {kind} at byte {first}")
            yield number, kind, value

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """The number at ``at``, and the place after it."""
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise ValueError(f"truncated inside a number at byte {at}")
            byte = self.content[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, at
        raise ValueError(f"a number of over 10 bytes before byte {at}")

    def _run(self, first: int, at: int, end: int, width: int) -> tuple[bytes, int]:
        """The values of this key and of its repetitions, and the place after them."""
        if end - at < width:
            raise ValueError(f"truncated inside a number at byte {at}")
        step = at - first + width
        if step != width + 1:  # a key of several bytes: no array has it
            return bytes(self.content[at : at + width]), at + width
        tag, count, ahead = self.content[first], 1, 16
        most = (end - first) // step
        while count < most:
            there = min(ahead, most - count)
            begin = first + count * step
            tags = np.frombuffer(self.content[begin : begin + there * step], np.uint8)[::step]
            others = np.flatnonzero(tags != tag)
            count += int(others[0]) if len(others) else there
            if len(others):
                break
            ahead *= 2
        all_ = np.frombuffer(self.content[first : first + count * step], np.uint8)
        return all_.reshape(count, step)[:, 1:].tobytes(), first + count * step


def _layer(wire: _Wire, span: Span, generation: _Generation) -> CaffeLayer:
    """A layer of any generation."""
    name, kind, blobs, inner = "", "", [], None
    wanted = dict.fromkeys((1, generation.name, generation.type, generation.blobs), (BYTES,))
    if generation is _V1:
        wanted[generation.type] = (VARINT,)
    for number, _, value in wire.fields(span, wanted):
        if number == generation.name:
            name = _text(wire, value)
        elif number == generation.type:
            kind = (
                LAYER_TYPES.get(value, f"type {value}") if generation is _V1 else _text(wire, value)
            )
        elif number == generation.blobs:
            blobs.append(value)
        elif number == 1 and generation is _V1:
            inner = value
    if inner is not None:  # V0: the connections are outside, all else is inside
        return _layer(wire, inner, _V0)
    read = []
    for place, blob in enumerate(blobs):
        try:
            read.append(_blob(wire, blob))
        except ValueError as error:
            raise ValueError(f"blob {place} of layer {quote(name)}: {error}") from error
    return CaffeLayer(name, kind, tuple(read))


def _text(wire: _Wire, span: Span) -> str:
    begin, end = span
    if end - begin > LONGEST_NAME:
        raise ValueError(f"a name of {end - begin} characters")
    return bytes(wire.content[begin:end]).decode("utf-8")


_OLD_SIDES = (1, 2, 3, 4)
"""num, channels, height, width."""
_SHAPE, _FLOATS, _DOUBLES = 7, 5, 8


def _blob(wire: _Wire, span: Span) -> Blob:
    old: dict[int, int] = {}
    shape: tuple[int, ...] | None = None
    parts: dict[int, list[npt.NDArray[Any]]] = {_FLOATS: [], _DOUBLES: []}
    types: dict[int, npt.DTypeLike] = {_FLOATS: "<f4", _DOUBLES: "<f8"}
    wanted = {
        **dict.fromkeys(_OLD_SIDES, (VARINT,)),
        _SHAPE: (BYTES,),
        _FLOATS: (FOUR_BYTES, BYTES),
        _DOUBLES: (EIGHT_BYTES, BYTES),
    }
    for number, kind, value in wire.fields(span, wanted):
        if number in _OLD_SIDES:
            old[number] = _side(value)
        elif number == _SHAPE:
            shape = _shape(wire, value)
        elif number in parts:
            raw = wire.content[slice(*value)] if kind == BYTES else value
            if len(raw) % np.dtype(types[number]).itemsize:
                raise ValueError(f"{len(raw)} bytes are no whole numbers")
            parts[number].append(np.frombuffer(raw, types[number]))
    chosen = parts[_DOUBLES] or parts[_FLOATS]  # as Caffe does
    values = chosen[0] if len(chosen) == 1 else np.concatenate([np.empty(0, "<f4"), *chosen])
    if shape is None:
        shape = tuple(old.get(side, 0) for side in _OLD_SIDES) if old else (len(values),)
    if prod(shape) != len(values):
        raise ValueError(f"its shape is {quote(shape)}, but it has {len(values)} numbers")
    return Blob(shape, values)


def _shape(wire: _Wire, span: Span) -> tuple[int, ...]:
    sides: list[int] = []
    for number, kind, value in wire.fields(span, {1: (VARINT, BYTES)}):
        if number != 1:
            continue
        if kind == VARINT:
            sides.append(_side(value))
            continue
        at, stop = value
        while at < stop and len(sides) <= MOST_AXES:
            side, at = wire.varint(at, stop)
            sides.append(_side(side))
    if len(sides) > MOST_AXES:
        raise ValueError(f"over {MOST_AXES} sides")
    return tuple(sides)


def _side(value: int) -> int:
    if value >= 1 << 63:
        raise ValueError("a side below 0")
    return value
