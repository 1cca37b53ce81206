"""Our reader of MATLAB files against scipy's, and damaged files, which end a process in scipy."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from scipy.io import loadmat, savemat

from upscore.core import matlab
from upscore.core.matlab import read_mat
from upscore.errors import DataError, NotFoundError

THEIR_FILES = Path(scipy.io.__file__).parent / "matlab" / "tests" / "data"

# scipy's reader goes on into memory that is not its own (signal 11)
DAMAGED = (
    "TUFUTEFCIDUuMCBNQVQtZmlsZSBQbGF0Zm9ybTogcG9zaXgsIENyZWF0ZWQgb246IFNhdCBOb3YgMjggMjA6NDk6MDYg"
    "MjAyNgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/wAAAAAAAAAAAAAAAAAAAAAAAAAAAAABSU0OAAAAGAEAAAYA"
    "AAAIAAAAAgAAAAAAAAAFAAAACAAAAAEAAAABAAAAAQAAAAUAAABHVGNscwAAAAUABAANAAAAAQAAAA0AAABTZWdtZW50"
    "YXRpb24AAAAADgAAAMAAAAAGAAAACAAAAAkAAAAAAAAABQAAAAgAAAD/AAAADAAAAAEAAAAAAAAAJAAAAJAAAAAABg8E"
    "EA0JAQYKEwoKCxAECA0EEAwKFAoMAhEGDAUQEQMRDAgDBwoABw8SDA4SBwIJExERDAcFBhMQDQEHFAMFABIOExEAEQ0Q"
    "CQcTFAQDBAMEExMKAAkOCw4QAwMCDA8EEAMICwwABgENEREREQcCCAURBBMBAAQDCBARABAJEgQCAQcFEwIPFAQSEwcC"
    "BAY="
)


def agrees(ours: Any, theirs: Any) -> bool:
    """Whether our value is scipy's; kinds that we leave out agree with all."""
    if ours is None:
        return True
    if isinstance(ours, np.ndarray):
        return ours.shape == theirs.shape and np.array_equal(ours, theirs, equal_nan=True)
    cells = theirs.ravel(order="F")
    if len(ours) != len(cells):
        return False
    for mine, their in zip(ours, cells, strict=True):
        fields = mine.items() if isinstance(mine, dict) else ()
        if not all(agrees(value, their[key]) for key, value in fields):
            return False
        if not isinstance(mine, dict) and not agrees(mine, their):
            return False
    return True


@pytest.mark.parametrize("compressed", [False, True])
def test_what_scipy_writes(tmp_path: Path, compressed: bool) -> None:
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = np.arange(6.0).reshape(2, 3), {"x": np.array([[7]], np.uint8)}
    content = {
        "numbers": np.array([[1, -2, 300]], np.int16),
        "cells": cells,
        "parts": {"Segmentation": np.eye(3, dtype=np.uint8), "text": "left out"},
    }
    savemat(tmp_path / "a.mat", content, do_compression=compressed)
    numbers = read_mat(tmp_path / "a.mat", "numbers")
    assert isinstance(numbers, np.ndarray)
    assert numbers.tolist() == [[1, -2, 300]]
    assert numbers.dtype == np.int16
    (parts,) = read_mat(tmp_path / "a.mat", "parts")  # type: ignore[misc]
    assert isinstance(parts, dict)
    assert np.array_equal(parts["Segmentation"], np.eye(3))  # type: ignore[arg-type]
    assert parts["text"] is None
    read_cells: Any = read_mat(tmp_path / "a.mat", "cells")
    assert read_cells[0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read_cells[1][0]["x"].tolist() == [[7]]
    assert read_mat(tmp_path / "a.mat", "other") is None


@pytest.mark.skipif(not THEIR_FILES.is_dir(), reason="scipy is installed without its tests")
def test_files_of_matlab_itself() -> None:
    """Versions 5 to 7, both byte orders."""
    compared = 0
    for path in sorted(THEIR_FILES.glob("test*_[567].*.mat")):
        if "_7.4_" not in path.name and "_6.1_SOL2" not in path.name:
            continue
        try:
            content = loadmat(path)
        except Exception:  # scipy's files of bad kinds
            continue
        for name in (name for name in content if not name.startswith("__")):
            assert agrees(read_mat(path, name), content[name]), (path.name, name)
            compared += 1
    assert compared > 20


def test_a_file_that_ends_the_process_in_scipy(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(base64.b64decode(DAMAGED))
    with pytest.raises(
        DataError, match=r"a\.mat: is not a MATLAB file that can be read \(numbers of kind 36"
    ):
        read_mat(tmp_path / "a.mat", "GTcls")


def test_every_byte_may_be_wrong(tmp_path: Path) -> None:
    """A value or one error, whichever byte is another one."""
    path = tmp_path / "a.mat"
    savemat(path, {"GTcls": {"Segmentation": np.ones((2, 3), np.uint8)}})
    good = path.read_bytes()
    refused = 0
    for place in range(len(good)):
        for byte in (0, 255, good[place] ^ 1):
            path.write_bytes(good[:place] + bytes([byte]) + good[place + 1 :])
            try:
                read_mat(path, "GTcls")
            except DataError:
                refused += 1
    assert refused > 100


def element(kind: int, payload: bytes) -> bytes:
    return struct.pack("<II", kind, len(payload)) + payload + bytes(-len(payload) % 8)


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mat"
    header = b"MATLAB 5.0".ljust(124) + struct.pack("<H", 0x100) + b"IM"
    flags, shape = element(6, struct.pack("<II", 1, 0)), element(5, struct.pack("<ii", 1, 1))
    nested = b""
    for _ in range(50):  # cells inside each other
        nested = element(14, flags + shape + element(1, b"x") + nested)
    path.write_bytes(header + nested)
    with pytest.raises(DataError, match="cells and structs inside each other"):
        read_mat(path, "x")
    path.write_bytes(header + element(15, zlib.compress(bytes(10_000))))
    monkeypatch.setattr(matlab, "MOST_BYTES", 5000)
    with pytest.raises(DataError, match="unpacks to over"):
        read_mat(path, "x")
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(200))
    with pytest.raises(DataError, match=r"version 7\.3; save it with"):
        read_mat(path, "x")
    with pytest.raises(NotFoundError):
        read_mat(tmp_path / "b.mat", "x")
