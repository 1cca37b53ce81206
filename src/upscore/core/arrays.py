"""Files of numpy's (.npy, .npz) of any origin: no pickles, and no memory before their sizes fit."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from upscore.core.damage import reading

MOST_BYTES = 4_000_000_000
"""Of one array."""
MOST_ARRAYS = 1000
"""In an archive."""

WHAT = "not an array file of numpy that can be read"
FIX = "write it again with numpy.save or numpy.savez"

Array = npt.NDArray[Any]


def read_npy(path: Path) -> Array:
    """The array of an .npy file.

    Raises:
        NotFoundError: no such file.
        DataError: damaged, an archive, an array of objects, or over :data:`MOST_BYTES`.
    """
    with reading(path, WHAT, FIX), path.open("rb") as stream:
        return _read(stream, path.stat().st_size)


class Archive:
    """The arrays of an .npz file, each read when it is asked for.

    Attributes:
        names: of the arrays.
    """

    def __init__(self, path: Path) -> None:
        """Raises as :func:`read_npy`."""
        self.path = path
        with reading(path, WHAT, FIX), zipfile.ZipFile(path) as packed:
            members = packed.namelist()
            if len(members) > MOST_ARRAYS:
                raise ValueError(f"holds {len(members)} arrays, more than {MOST_ARRAYS}")
            self._members: Mapping[str, str] = {n.removesuffix(".npy"): n for n in members}
        self.names = tuple(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def read(self, name: str) -> Array:
        """Raises as :func:`read_npy`, also for a name that is not there."""
        with reading(self.path, f"{WHAT}, {name}", FIX), zipfile.ZipFile(self.path) as packed:
            member = self._members[name]
            with packed.open(member) as stream:
                return _read(stream, packed.getinfo(member).file_size)


def is_archive(path: Path) -> bool:
    """Whether a file begins as an .npz does, whatever its name. Raises as :func:`read_npy`."""
    with reading(path, WHAT, FIX), path.open("rb") as stream:
        return stream.read(2) == b"PK"


def _read(stream: IO[bytes], size: int) -> Array:
    """The array of a stream of ``size`` bytes, if they are what its header says."""
    version = np.lib.format.read_magic(stream)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"format {version[0]}.{version[1]}")
    shape, _, dtype = read_header(stream)
    there = size - stream.tell()
    num_bytes = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and (num_bytes != there or min(shape, default=0) < 0):
        raise ValueError(f"its header says {num_bytes} bytes, it holds {there}")
    if num_bytes > MOST_BYTES:
        raise ValueError(f"an array of {num_bytes / 1e9:.1f} GB, over {MOST_BYTES / 1e9:g}")
    stream.seek(0)
    array: Array = np.lib.format.read_array(stream, allow_pickle=False)
    return array
