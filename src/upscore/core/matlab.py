"""MATLAB files (.mat) of versions 5 to 7: numbers, cells and structs.

scipy's reader ends the process by a signal on some damaged files; here every length is compared
with what is there before anything is read.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from upscore.core.damage import read_bytes, reading
from upscore.errors import DataError

MatValue: TypeAlias = "npt.NDArray[Any] | list[MatValue] | list[dict[str, MatValue]] | None"
"""Numbers; the elements of a cell array; the structs of a struct array; None for other kinds."""

MOST_BYTES = 256_000_000
"""Of a file, and of what it unpacks to."""
DEEPEST = 16
"""Cells and structs inside each other."""

_COMPRESSED, _MATRIX = 15, 14
_STORED = dict(
    zip((1, 2, 3, 4, 5, 6, 7, 9, 12, 13), "i1 u1 i2 u2 i4 u4 f4 f8 i8 u8".split(), strict=True)
)
_NUMBERS = dict(zip(range(6, 16), "f8 f4 i1 u1 i2 u2 i4 u4 i8 u8".split(), strict=True))
_CELL, _STRUCT = 1, 2
_COMPLEX = 0x800


def read_mat(path: Path, name: str) -> MatValue:
    """The variable ``name`` of a MATLAB file, or None if the file lacks it.

    Raises:
        NotFoundError: no such file.
        DataError: damaged, of another version than 5 to 7, or not a MATLAB file.
    """
    content = memoryview(read_bytes(path, MOST_BYTES))
    what, fix = "is not a MATLAB file that can be read", "replace or remove it"
    with reading(path, what, fix):
        if bytes(content[:10]) == b"MATLAB 7.3":
            raise DataError(
                f"{path}: a MATLAB file of version 7.3; save it with save(..., '-v7') instead"
            )
        order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:128]))
        if order is None:
            raise ValueError("no header of versions 5 to 7")
        for kind, payload in _unpacked(content[128:], order):
            if kind == _MATRIX:
                found, value = _Matrix(payload, order).read(only=name)
                if found == name:
                    return value
    return None


def _elements(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Kind and payload of each data element."""
    place = 0
    while place + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        if kind >> 16:  # a small one, in its own tag
            kind, size = kind & 0xFFFF, kind >> 16
            begin, place = place + 4, place + 8
            if size > 4:
                raise ValueError("a small element of more than 4 bytes")
        else:
            begin = place + 8
            place = begin + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if begin + size > len(content):
            raise ValueError("truncated")
        yield kind, content[begin : begin + size]


def _unpacked(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    left = MOST_BYTES
    for kind, payload in _elements(content, order):
        if kind != _COMPRESSED:
            yield kind, payload
            continue
        stream = zlib.decompressobj()
        plain = stream.decompress(payload, left + 1)
        left -= len(plain)
        if left < 0:
            raise ValueError(f"unpacks to over {MOST_BYTES / 1e6:g} MB")
        if not stream.eof:
            raise ValueError("truncated")
        yield from _elements(memoryview(plain), order)


class _Matrix:
    """One array: of numbers, a cell array or a struct array."""

    def __init__(self, payload: memoryview, order: str, depth: int = 0) -> None:
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} cells and structs inside each other")
        self._is_empty = not payload  # written so for []
        self._parts = _elements(payload, order)
        self._order = order
        self._depth = depth

    def read(self, only: str | None = None) -> tuple[str, MatValue]:
        """Name and value; a value of another name than ``only`` is not read."""
        if self._is_empty:
            return "", np.zeros((0, 0))
        flags = self._numbers()
        if len(flags) < 1:
            raise ValueError("an array without flags")
        kind, is_complex = int(flags[0]) & 0xFF, bool(int(flags[0]) & _COMPLEX)
        shape = tuple(int(length) for length in self._numbers())
        if len(shape) < 2 or min(shape) < 0:
            raise ValueError(f"an array of shape {shape[:8]}")
        count = 1
        for length in shape:
            count *= length
        name = self._text()
        if only is not None and name != only:
            return name, None
        if kind in _NUMBERS and not is_complex:
            numbers = self._numbers()
            if len(numbers) != count:
                raise ValueError(f"{len(numbers)} numbers in an array of shape {shape[:8]}")
            return name, numbers.astype(_NUMBERS[kind]).reshape(shape, order="F")
        if kind == _CELL:
            return name, list(self._arrays(count))
        if kind == _STRUCT:
            return name, self._structs(count)
        return name, None

    def _structs(self, count: int) -> list[dict[str, MatValue]]:
        lengths = self._numbers()
        if len(lengths) != 1 or not 1 <= int(lengths[0]) <= 64:
            raise ValueError("a struct with names of a wrong length")
        length, names = int(lengths[0]), bytes(self._next())
        keys = [
            names[place : place + length].split(b"\0")[0].decode("latin-1")
            for place in range(0, len(names), length)
        ]
        if not keys:
            return []
        values = list(self._arrays(count * len(keys)))
        return [
            dict(zip(keys, values[place : place + len(keys)], strict=True))
            for place in range(0, len(values), len(keys))
        ]

    def _arrays(self, count: int) -> Iterator[MatValue]:
        found = 0
        for kind, payload in islice(self._parts, count):
            if kind != _MATRIX:
                raise ValueError("something else than an array in a cell or struct")
            found += 1
            yield _Matrix(payload, self._order, self._depth + 1).read()[1]
        if found < count:
            raise ValueError("truncated")

    def _numbers(self) -> npt.NDArray[Any]:
        kind, payload = self._element()
        if kind not in _STORED:
            raise ValueError(f"numbers of kind {kind}")
        return np.frombuffer(payload, self._order + _STORED[kind])

    def _text(self) -> str:
        return bytes(self._next()).decode("latin-1")

    def _next(self) -> memoryview:
        return self._element()[1]

    def _element(self) -> tuple[int, memoryview]:
        element = next(self._parts, None)
        if element is None:
            raise ValueError("truncated")
        return element
