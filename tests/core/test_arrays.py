"""Array files of numpy: refused before memory is taken, where they are not what they say."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from upscore.core.arrays import Archive, is_archive, read_npy
from upscore.errors import DataError, NotFoundError


def header(shape: str, kind: str = "<f4") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f4", ">i2", "u1", "<U5"])
def test_arrays_are_read_as_numpy_does(tmp_path: Path, kind: str, order: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(kind, order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "b.npz", x=array, y=array[0, 0, 0])
    found = read_npy(tmp_path / "a.npy")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    archive = Archive(tmp_path / "b.npz")
    assert archive.names == ("x", "y")
    assert "x" in archive
    assert "z" not in archive
    np.testing.assert_array_equal(archive.read("x"), array)
    assert archive.read("y") == array[0, 0, 0]
    assert is_archive(tmp_path / "b.npz")
    assert not is_archive(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header("(100000, 1000000)") + bytes(40), "says 400000000000 bytes, it holds 40"),
        (header("(-1, -4)") + bytes(16), "its header says 16 bytes"),
        (header("(2,)") + bytes(9), "says 8 bytes, it holds 9"),
        (header("(" * 300), "not an array file"),
        (header("(2,)", "|O") + bytes(16), "Object arrays cannot be loaded"),
        (b"\x93NUMPY\x09\x00", "format 9.0"),
        (b"", "not an array file"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_npy(path)
    assert str(caught.value).startswith(f"{path}: ")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("x.npy", content)
    with pytest.raises(DataError, match=message):
        Archive(tmp_path / "a.npz").read("x")


def test_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match="not a zip file"):
        Archive(tmp_path / "a.npz")
    with pytest.raises(NotFoundError):
        read_npy(tmp_path / "b.npy")
