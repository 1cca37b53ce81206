"""The reader of caffemodels: what it reads, and what it refuses."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from models.caffe_writer import layer, message, net, number, varint, write_caffemodel
from upscore.errors import NotFoundError, RunError
from upscore.models import caffe_files
from upscore.models.caffe_files import read_caffemodel

RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(3, 2, 5, 4)).astype(np.float32)
BIAS = RNG.normal(size=3).astype(np.float32)


@pytest.mark.parametrize("generation", [0, 1, 2])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("double", [True, False])
def test_layers_of_each_generation(
    tmp_path: Path, generation: int, packed: bool, double: bool
) -> None:
    path = tmp_path / "a.caffemodel"
    layers = {"conv1_1": [WEIGHT, BIAS], "relu1_1": [], "fc6-deconv": [WEIGHT]}
    write_caffemodel(path, layers, generation, packed=packed, double=double)
    found = list(read_caffemodel(path))
    assert [one.name for one in found] == list(layers)
    kinds = {0: "convolution", 1: "Convolution", 2: "Convolution"}
    assert found[0].type == kinds[generation]
    weight, bias = (one.array() for one in found[0].blobs)
    np.testing.assert_array_equal(weight, WEIGHT)
    np.testing.assert_array_equal(bias.ravel(), BIAS)
    assert bias.shape == ((3,) if generation == 2 else (1, 1, 1, 3))
    assert weight.dtype == np.float32
    assert found[1].blobs == ()
    np.testing.assert_array_equal(found[2].blobs[0].array(), WEIGHT)


def test_mixed_encodings_and_fields_that_are_passed_over(tmp_path: Path) -> None:
    """Two packed pieces and single numbers make one array; diff and unknown fields are no part."""
    flat = WEIGHT.ravel()
    data = message(5, flat[:7].tobytes()) + message(6, flat.tobytes())  # diff
    data += b"".join(varint(5 << 3 | 5) + value.tobytes() for value in flat[7:60])
    data += message(5, flat[60:].tobytes())
    shape = b"".join(number(1, side) for side in WEIGHT.shape)  # not packed
    body = message(1, "a") + message(7, message(7, shape) + data) + message(147, b"settings")
    body += varint(20 << 3 | 5) + b"1234" + varint(300 << 3 | 1) + b"12345678" + number(10, 1)
    path = tmp_path / "a.caffemodel"
    path.write_bytes(net([message(100, body)]) + message(8, b"input_shape"))
    (one,) = read_caffemodel(path)
    np.testing.assert_array_equal(one.blobs[0].array(), WEIGHT)
    assert one.type == ""


def test_types_of_forks_have_their_number(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(net([layer("bn1_1", "BN", [BIAS, BIAS], 1)]))
    assert [one.type for one in read_caffemodel(tmp_path / "a")] == ["type 43"]


def test_the_file_is_mapped_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.caffemodel"
    write_caffemodel(path, {"fc6": [np.ones((1000, 4000), np.float32)]})  # 16 MB
    tracemalloc.start()
    shapes = [one.blobs[0].shape for one in read_caffemodel(path)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert shapes == [(1000, 4000)]
    assert peak < 1e6


def conv(*parts: bytes) -> bytes:
    return net([message(100, message(1, "conv1_1") + message(7, b"".join(parts)))])


HUGE = (1 << 63) - 1
BAD = {
    "empty": (b"", "it is empty"),
    "text": (b'name: "VGG"\nlayers { name: "a" }\n', "it is text: a prototxt .* no weights; name"),
    "zip": (b"PK\x03\x04....", r"a zip archive, as PyTorch's \.pth"),
    "hdf5": (b"\x89HDF\r\n", "an HDF5 file"),
    "page": (b"<!DOCTYPE html>", "a web page"),
    "no layers": (message(1, "net"), "it has no layers"),
    "truncated": (net([layer("a", "x", [WEIGHT])])[:-5], "truncated: a field of [0-9]+ bytes"),
    "cut varint": (b"\x80\x80", "truncated inside a number at byte 2"),
    "long varint": (b"\xff" * 12, "a number of over 10 bytes"),
    "huge length": (varint(100 << 3 | 2) + varint(HUGE), f"truncated: a field of {HUGE} bytes"),
    "group": (varint(100 << 3 | 3), "wire type 3"),
    "no number": (b"\x02\x00", "a field has no number"),
    "layer as number": (number(100, 7), "field 100 has the wire type 0"),
    "name as number": (net([message(100, number(1, 7))]), "field 1 has the wire type 0"),
    "long name": (net([message(100, message(1, "x" * 300))]), "a name of 300 characters"),
    "no utf-8": (net([message(100, message(1, b"\xff\xfe"))]), "utf-8"),
    "cut floats": (conv(message(5, b"12345")), "blob 0 of layer 'conv1_1': 5 bytes are no whole"),
    "cut float": (conv(varint(5 << 3 | 5) + b"12"), "'conv1_1': truncated inside a number"),
    "too few": (conv(message(7, message(1, varint(3))), message(5, BIAS[:2].tobytes())),
                r"its shape is \(3,\), but it has 2 numbers"),
    "no data": (conv(message(7, message(1, varint(3)))), r"its shape is \(3,\), but it has 0"),
    "huge shape": (conv(message(7, message(1, varint(HUGE) * 8))), "but it has 0 numbers"),
    "overflow": (conv(message(7, message(1, varint(1 << 32) * 2)), message(5, b"")),
                 r"its shape is \(4294967296, 4294967296\), but it has 0 numbers"),
    "below 0": (conv(message(7, message(1, varint(-1)))), "a side below 0"),
    "many sides": (conv(message(7, message(1, varint(1) * 1000))), "over 32 sides"),
    "old": (conv(number(1, 5), number(2, 1), message(5, BIAS.tobytes())),
            r"its shape is \(5, 1, 0, 0\), but it has 3 numbers"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_refused(tmp_path: Path, name: str) -> None:
    content, message_ = BAD[name]
    path = tmp_path / "a.caffemodel"
    path.write_bytes(content)
    with pytest.raises(RunError, match=message_) as caught:
        list(read_caffemodel(path))
    assert str(caught.value).startswith(f"{path}: not a caffemodel that can be read (")
    assert len(str(caught.value)) < 900


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="a: no such file"):
        list(read_caffemodel(tmp_path / "a"))


def test_messages_in_messages_cost_nothing(tmp_path: Path) -> None:
    """A message in itself ten thousand times is passed over as bytes, or is no layer."""
    inner = b""
    for _ in range(10_000):
        inner = message(1, inner)
    (tmp_path / "a").write_bytes(net([message(2, inner)]))
    with pytest.raises(RunError, match=r"a name of [0-9]+ characters"):
        list(read_caffemodel(tmp_path / "a"))


def test_more_fields_than_any_network_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caffe_files, "MOST_FIELDS", 100)
    (tmp_path / "a").write_bytes(number(4, 1) * 101)
    with pytest.raises(RunError, match=r"it has over 100 fields"):
        list(read_caffemodel(tmp_path / "a"))


def test_a_torch_file(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pth")
    with pytest.raises(RunError, match=re.escape("PyTorch's .pth")):
        list(read_caffemodel(tmp_path / "a.pth"))
