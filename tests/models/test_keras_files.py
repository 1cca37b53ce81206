"""VGG16 from three kinds of .h5 files against torchvision's order of the same weights."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from upscore.core.images import InputSpec
from upscore.errors import MissingExtraError, RunError
from upscore.models.base import Network
from upscore.models.factory import create_model
from upscore.models.keras_files import LINEAR, read_keras_vgg
from upscore.models.pretrained import initialise
from upscore.models.vgg import torchvision_keys

h5py = pytest.importorskip("h5py")
CHANNELS = [2, 3, 4, 5, 6]
CONVOLUTIONS = [ours for ours, _, _ in torchvision_keys(batch_norm=False)]


def arrays(*, top: bool) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Keras' kernels (height, width, in, out) and biases by our layers."""
    rng, found, before = np.random.default_rng(0), {}, 3
    for name in CONVOLUTIONS:
        after = CHANNELS[int(name[4]) - 1]
        found[name] = rng.normal(size=(3, 3, before, after)), rng.normal(size=after)
        before = after
    if top:
        for name, shape in (("fc1", (49 * before, 8)), ("fc2", (8, 8)), ("predictions", (8, 10))):
            found[name] = rng.normal(size=shape), rng.normal(size=shape[1])
    return {key: (k.astype("f4"), b.astype("f4")) for key, (k, b) in found.items()}


def write(path: Path, kind: str, *, top: bool = False) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    made = arrays(top=top)
    with h5py.File(path, "w") as file:
        for name, (kernel, bias) in made.items():
            theirs = f"block{name[4]}_conv{name[6]}" if name in CONVOLUTIONS else name
            if kind == "hed":
                index = int(name[6]) - 1
                layer = f"block{name[4]}/layers/conv2d" + (f"_{index}" if index else "")
                file[f"{layer}/vars/0"], file[f"{layer}/vars/1"] = kernel, bias
            elif kind == "old":
                file[f"{theirs}/{theirs}_W_1:0"], file[f"{theirs}/{theirs}_b_1:0"] = kernel, bias
            else:
                file[f"{theirs}/{theirs}/kernel:0"] = kernel
                file[f"{theirs}/{theirs}/bias:0"] = bias
        if kind == "hed":
            file["dsn1/vars/0"], file["fuse/vars/0"] = np.ones((1, 1, 2, 1)), np.ones((1, 1, 5, 1))
    return made


def network(name: str = "fcn8s", **options: object) -> Network:
    return create_model(name, num_classes=2, channels=CHANNELS, **{"fc_width": 8, **options})


def by_torchvision(made: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Tensor]:
    """The same weights as torchvision's file would have them, element by element for fc1."""
    keys = {ours: theirs for ours, theirs, _ in torchvision_keys(batch_norm=False)}
    state = {}
    for name, (kernel, bias) in made.items():
        theirs = keys.get(name) or LINEAR[name]
        if name == "fc1":
            channels = len(kernel) // 49
            weight = np.empty((kernel.shape[1], len(kernel)), "f4")
            for c in range(channels):
                for y in range(7):
                    for x in range(7):
                        weight[:, c * 49 + y * 7 + x] = kernel[(y * 7 + x) * channels + c]
        else:
            weight = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
        state[f"{theirs}.weight"] = torch.from_numpy(np.ascontiguousarray(weight))
        state[f"{theirs}.bias"] = torch.from_numpy(bias)
    return state


@pytest.mark.parametrize(
    ("kind", "top"), [("hed", False), ("old", True), ("new", True), ("new", False)]
)
def test_the_weights_of_each_kind(tmp_path: Path, kind: str, top: bool) -> None:
    want = by_torchvision(write(tmp_path / "w.h5", kind, top=top))
    got = read_keras_vgg(tmp_path / "w.h5")
    assert got.keys() == want.keys()
    for key, value in want.items():
        assert torch.equal(got[key], value), key


def test_what_an_optimizer_left_is_passed_over(tmp_path: Path) -> None:
    want = by_torchvision(write(tmp_path / "w.h5", "new"))
    with h5py.File(tmp_path / "w.h5", "a") as file:
        file["optimizer_weights/Adam/learning_rate:0"] = np.float32(0.1)
        file["optimizer_weights/Adam/block1_conv1/kernel/m:0"] = np.ones((3, 3, 3, 2), "f4")
    got = read_keras_vgg(tmp_path / "w.h5")
    assert got.keys() == want.keys()
    assert all(torch.equal(got[key], value) for key, value in want.items())


def test_a_trunk_leaves_fc6_and_fc7_fresh(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = write(tmp_path / "w.h5", "hed")
    torch.manual_seed(0)
    model = network()
    fc6 = model.backbone.get_submodule("fc6.conv").weight.clone()
    with caplog.at_level(logging.INFO):
        initialise(model, str(tmp_path / "w.h5"), input_spec=InputSpec.named("caffe"))
    assert "fc6 and fc7 start fresh, none in the file" in caplog.text
    assert torch.equal(model.backbone.get_submodule("fc6.conv").weight, fc6)
    kernel = torch.from_numpy(made["conv5_3"][0]).permute(3, 2, 0, 1)
    assert torch.equal(model.backbone.get_submodule("conv5_3.conv").weight, kernel)


@pytest.mark.parametrize("name", ["fcn8s", "deconvnet", "unet"])
def test_networks_that_take_it(tmp_path: Path, name: str) -> None:
    made = write(tmp_path / "w.h5", "new", top=True)
    options = {} if name == "unet" else {"fc_width": 8}
    model = create_model(name, num_classes=2, channels=CHANNELS, **options)
    initialise(model, str(tmp_path / "w.h5"), input_spec=InputSpec.named("caffe"))
    kernel = torch.from_numpy(made["conv1_1"][0]).permute(3, 2, 0, 1)
    assert torch.equal(model.backbone.first_block.conv.weight, kernel)
    if name != "unet":
        weight = model.backbone.get_submodule("fc7.conv").weight
        assert torch.equal(weight[..., 0, 0], torch.from_numpy(made["fc2"][0]).T)


def test_other_sizes_of_fc6_start_fresh(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "w.h5", "new", top=True)
    with caplog.at_level(logging.INFO):
        model = network(fc_width=5, fc_kernel=3)
        initialise(model, str(tmp_path / "w.h5"), input_spec=InputSpec.named("caffe"))
    assert "start fresh, those of the file have other sizes" in caplog.text


def test_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.h5"
    path.write_bytes(b"no HDF5")
    with pytest.raises(RunError, match=r"w\.h5: cannot be read as an HDF5 file"):
        read_keras_vgg(path)
    with h5py.File(path, "w") as file:
        file["dense/kernel"] = np.ones((2, 2), "f4")
    with pytest.raises(
        RunError, match="no kernel and bias of conv1_1 in it; expected Keras' VGG16"
    ):
        read_keras_vgg(path)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(
        MissingExtraError, match=r'needs h5py, .* type: pip install "upscore\[keras\]"$'
    ):
        read_keras_vgg(path)


@pytest.mark.parametrize("name", ["block3_conv4/block3_conv4/kernel:0", "dense_5/kernel:0"])
def test_layers_of_another_network_are_named(tmp_path: Path, name: str) -> None:
    """VGG19 has all the layers of VGG16, which compute something else without the further ones."""
    path = tmp_path / "w.h5"
    write(path, "new")
    with h5py.File(path, "a") as file:
        file[name] = np.ones((3, 3, 4, 4), "f4")
    with pytest.raises(RunError, match=rf"left-over weights '{name}', for which VGG16 has no"):
        read_keras_vgg(path)


def test_numbers_that_are_not_in_the_file(tmp_path: Path) -> None:
    path, other = tmp_path / "w.h5", tmp_path / "private"
    other.write_bytes(bytes(64))
    write(path, "new", top=True)
    with h5py.File(path, "a") as file:
        del file["fc1/fc1/bias:0"]
        file.create_dataset("fc1/fc1/bias:0", (8,), "f4", external=[(str(other), 0, 32)])
    with pytest.raises(RunError, match="numbers of 'fc1/fc1/bias:0' are in another file"):
        read_keras_vgg(path)


def test_a_file_that_unpacks_to_far_more_than_it_has(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    write(path, "new", top=True)
    with h5py.File(path, "a") as file:
        del file["fc1/fc1/kernel:0"]
        shape, chunks = (49 * 60_000, 8), (1 << 16, 8)
        file.create_dataset("fc1/fc1/kernel:0", shape, "f4", chunks=chunks, compression="gzip")
    with pytest.raises(RunError, match=r"its arrays have over \d"):
        read_keras_vgg(path)
