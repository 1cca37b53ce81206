"""Initial weights from torchvision's files and from networks trained before."""

from __future__ import annotations

import hashlib
import math
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from models.torchvision_vgg import CHANNELS, FC, ours, theirs
from upscore.core.images import InputSpec
from upscore.core.labels import Labels
from upscore.core.run_folder import RunFolder
from upscore.errors import NotFoundError, RunError, SettingsError, WorkError
from upscore.models import pretrained as weights
from upscore.models.base import Network
from upscore.models.checkpoint import save_model
from upscore.models.classifier import create_classifier
from upscore.models.classifier_folder import save_classifier
from upscore.models.factory import create_model
from upscore.models.fcn import FCN
from upscore.models.pretrained import (
    initialise,
    start_from,
    start_from_imagenet,
)
from upscore.models.state_dicts import read_weight_file
from upscore.models.vgg import VGG16, torchvision_keys
from upscore.models.weight_files import Downloaded

# formats.md 1.6
PLAIN = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
NORMED = [0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40]
SPEC = InputSpec.named("imagenet")


@pytest.mark.parametrize(("batch_norm", "indices"), [(False, PLAIN), (True, NORMED)])
def test_key_table_of_torchvision(batch_norm: bool, indices: list[int]) -> None:
    table = list(torchvision_keys(batch_norm=batch_norm))
    assert [layer for _, layer, _ in table] == [f"features.{index}" for index in indices]
    assert [norm for _, _, norm in table] == [
        f"features.{index + 1}" if batch_norm else None for index in indices
    ]
    assert table[0][0] == "conv1_1"
    assert table[-1][0] == "conv5_3"


@torch.no_grad()
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("name", ["fcn8s", "conv-vgg-bilinear"])
def test_the_backbone_computes_what_torchvision_computes(name: str, batch_norm: bool) -> None:
    """On 224x224 the middle of our fc7, whose 7x7 kernel then meets no padding, is their fc7."""
    source, model = theirs(batch_norm=batch_norm), ours(name, batch_norm=batch_norm).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    start_from_imagenet(model, source.state_dict(), source="test")
    x = torch.randn(2, 3, 224, 224)
    pool5, fc7 = source.features_and_fc7(x)
    found = model.backbone(x, ("pool5", "fc7"))
    torch.testing.assert_close(found["pool5"], pool5, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["fc7"][:, :, 3, 3], fc7, rtol=1e-4, atol=1e-4)
    for key, value in model.state_dict().items():
        assert key.startswith("trunk.") or torch.equal(value, before[key])


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "options", "file_has_norm"),
    [
        ("deconvnet", {"batch_norm": False}, False),
        ("deconvnet", {"batch_norm": True, "norm_shift": 0.0}, True),
        ("deconvnet", {"batch_norm": True, "norm_shift": 0.0}, False),
        ("segnet", {"batch_norm": False, "fc_width": None}, False),
        ("unet", {"batch_norm": True, "fc_width": None}, True),
    ],
)
def test_the_encoders_with_and_without_fc_layers(
    name: str, options: dict[str, Any], file_has_norm: bool
) -> None:
    """Biases beside norms, norms put into the plain network (eval mode), and files' unused ends."""
    source = theirs(batch_norm=file_has_norm)
    settings = {"channels": CHANNELS, "fc_width": FC, **options}
    settings = {key: value for key, value in settings.items() if value is not None}
    model = create_model(name, num_classes=2, **settings).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    start_from_imagenet(model, source.state_dict(), source="test")
    x = torch.randn(2, 3, 224, 224)
    pool5, fc7 = source.features_and_fc7(x)
    backbone = model.backbone
    torch.testing.assert_close(backbone(x, ("pool5",))["pool5"], pool5, rtol=1e-4, atol=1e-4)
    if name == "deconvnet":
        torch.testing.assert_close(
            backbone(x, ("fc7",))["fc7"][:, :, 0, 0], fc7, rtol=1e-4, atol=1e-4
        )
    for key, value in model.state_dict().items():
        assert key.startswith("trunk.") or torch.equal(value, before[key])


@torch.no_grad()
def test_norms_put_into_the_plain_network_start_as_the_releases() -> None:
    model = create_model("deconvnet", num_classes=2, channels=CHANNELS, fc_width=FC)
    source = theirs(batch_norm=False).state_dict()
    start_from_imagenet(model, source, source="test")
    state = model.state_dict()
    assert torch.equal(state["trunk.conv1_1.conv.bias"], source["features.0.bias"])
    for layer in ("conv1_1", "fc7"):
        assert bool((state[f"trunk.{layer}.norm.weight"] == 1).all())
        torch.testing.assert_close(
            state[f"trunk.{layer}.norm.bias"],
            torch.full_like(state[f"trunk.{layer}.norm.bias"], 0.001),
        )


@torch.no_grad()
def test_fc6_and_fc7_are_copied_to_the_bit_in_c_h_w_order() -> None:
    source, model = theirs(batch_norm=False), ours()
    start_from_imagenet(model, source.state_dict(), source="test")
    assert isinstance(model, FCN)
    backbone = model.backbone
    assert isinstance(backbone, VGG16)
    fc6, linear = backbone.fc6.conv.weight, source.state_dict()["classifier.0.weight"]
    for c, h, w in ((0, 0, 1), (5, 6, 0), (31, 3, 4)):
        assert torch.equal(fc6[:, c, h, w], linear[:, (c * 7 + h) * 7 + w])
    fc7 = backbone.fc7.conv.weight
    assert torch.equal(fc7[:, :, 0, 0], source.state_dict()["classifier.3.weight"])


State = dict[str, Tensor]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("features.5.bias"), "no weights features.5.bias"),
        (lambda s: s.update(extra=torch.ones(1)), "left-over weights extra"),
        (lambda s: s.update({"features.0.weight": torch.ones(4, 1, 3, 3)}),
         "features.0.weight is (4, 1, 3, 3), the network needs (4, 3, 3, 3)"),
        (lambda s: s.update({"classifier.3.weight": torch.ones(FC, 32)}),
         f"classifier.3.weight is ({FC}, 32), the network needs ({FC}, {FC})"),
        (lambda s: s["classifier.3.weight"].fill_(float("nan")), "classifier.3.weight holds NaN"),
    ],
)  # fmt: skip
def test_keys_that_do_not_fit_are_named(change: Callable[[State], Any], message: str) -> None:
    state = {key: value.clone() for key, value in theirs(batch_norm=False).state_dict().items()}
    change(state)
    with pytest.raises(RunError) as caught:
        start_from_imagenet(ours(), state, source="file.pth")
    assert message in str(caught.value)
    assert "file.pth" in str(caught.value)


def test_norm_or_no_norm() -> None:
    with pytest.raises(RunError, match="looks like vgg16, but the network has batch_norm true"):
        start_from_imagenet(
            ours(batch_norm=True), theirs(batch_norm=False).state_dict(), source="x"
        )
    with pytest.raises(RunError, match=r"looks like vgg16_bn, but .* batch_norm false; use vgg16,"):
        start_from_imagenet(ours(), theirs(batch_norm=True).state_dict(), source="x")


def test_a_network_without_a_backbone() -> None:
    model = ours()
    del model.trunk
    with pytest.raises(SettingsError, match="fcn8s has no backbone to load x into"):
        start_from_imagenet(model, {}, source="x")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_at_hand(suffix: str, tmp_path: Path) -> None:
    state, path = theirs(batch_norm=False).state_dict(), tmp_path / f"vgg{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    model = ours()
    initialise(model, str(path), input_spec=SPEC)
    assert isinstance(model, FCN)
    assert torch.equal(model.backbone.first_block.conv.weight, state["features.0.weight"])


def test_tensors_without_their_numbers(tmp_path: Path) -> None:
    """A kilobyte that says that it has ten thousand million numbers."""
    torch.save({"a": torch.ones(1).expand(100_000, 100_000)}, tmp_path / "a.pth")
    with pytest.raises(RunError, match=r"a\.pth: .*without its numbers"):
        read_weight_file(tmp_path / "a.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_that_are_not_finite(suffix: str, tmp_path: Path) -> None:
    state = {"a": torch.full((3,), 3e38), "b": torch.tensor([1.0, math.nan])}
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    with pytest.raises(RunError, match=rf"w{suffix}: b holds NaN"):  # the sum of a is infinite
        read_weight_file(path)


def test_doubles_that_are_too_large(tmp_path: Path) -> None:
    """They are finite as they are stored, and infinite as float32."""
    state = {"a": torch.tensor([1e39, 1.0], dtype=torch.float64)}
    torch.save(state, tmp_path / "w.pth")
    save_file(state, tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        with pytest.raises(RunError, match=rf"{name}: a holds NaN or infinity"):
            read_weight_file(tmp_path / name)


def test_all_floats_become_float32(tmp_path: Path) -> None:
    for kind in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        torch.save({"a": torch.ones(2, dtype=kind), "n": torch.tensor(3)}, tmp_path / "w.pth")
        found = read_weight_file(tmp_path / "w.pth")
        assert found["a"].dtype == torch.float32
        assert found["n"].dtype == torch.int64


def test_variances_below_zero(tmp_path: Path) -> None:
    torch.save({"_bn0.running_var": torch.tensor([1.0, -0.1])}, tmp_path / "w.pth")
    with pytest.raises(RunError, match=r"w\.pth: _bn0\.running_var holds variances below 0"):
        read_weight_file(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "a holds qint8 numbers"),
        (lambda t: t.to(torch.float8_e4m3fn), "a holds float8_e4m3fn numbers"),
        (lambda t: t.to(torch.float8_e5m2), "a holds float8_e5m2 numbers"),
        (lambda t: t.to(torch.complex64), "a holds complex64 numbers"),
        (lambda t: t.to(torch.uint16), "a holds uint16 numbers"),
        (lambda t: t.to("meta"), r"a tensor of shape \(2, 2\) without its numbers"),
        (lambda t: torch.nested.nested_tensor([t, t[:1]]), "a tensor that is nested or sparse"),
        (lambda t: torch.nested.nested_tensor([t, t[:1]], layout=torch.jagged), "nested or sparse"),
        (lambda t: t.to_sparse(), "a tensor that is nested or sparse"),
        (lambda t: t.to_sparse_csr(), "a tensor that is nested or sparse"),
    ],
)
def test_numbers_of_other_kinds(
    make: Callable[[Tensor], Tensor], message: str, tmp_path: Path
) -> None:
    torch.save({"a": make(torch.eye(2))}, tmp_path / "w.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch's, about its own code
        with pytest.raises(RunError, match=rf"w\.pth: .*{message}"):
            read_weight_file(tmp_path / "w.pth")


def test_float8_in_safetensors(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2).to(torch.float8_e4m3fn)}, tmp_path / "w.safetensors")
    with pytest.raises(RunError, match=r"a holds float8_e4m3fn numbers, .* not quantised"):
        read_weight_file(tmp_path / "w.safetensors")


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code from a weight file",)


@pytest.mark.parametrize(
    "content", [b"", b"rubbish", {"state_dict": {}}, [1], {"epoch": 3}, Trap()]
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_files(
    content: Any, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"weights{suffix}"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(RunError, match=str(path)):
        read_weight_file(path)
    assert "code from" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"<html>", r"it is no PyTorch file, .* need their suffix: \.caffemodel, \.h5"),
        (Trap(), "holds Python code, print, which upscore never runs"),
        ({"epoch": 3, "state_dict": {}}, r"\['state_dict'\], 'weights.pth'\) writes them alone"),
    ],
)
def test_what_a_file_is_instead(content: Any, message: str, tmp_path: Path) -> None:
    """torch's own advice is to load without protection."""
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(RunError, match=message) as caught:
        read_weight_file(path)
    assert "weights_only" not in str(caught.value)


def test_a_name_that_is_too_long() -> None:
    with pytest.raises(NotFoundError, match="which is no file, folder or name; there are"):
        initialise(ours(), "x" * 300, input_spec=SPEC)


def test_neither_name_nor_path() -> None:
    with pytest.raises(
        NotFoundError,
        match=r"is 'vgg19', which is no file, folder or name; did you mean 'vgg16'\? There are",
    ):
        initialise(ours(), "vgg19", input_spec=SPEC)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small file that stands for torchvision's, served from disk."""
    path = tmp_path / "server" / "vgg16-small.pth"
    path.parent.mkdir()
    torch.save(theirs(batch_norm=False).state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    entry = Downloaded(path.as_uri(), f"sha256:{digest}")
    monkeypatch.setitem(weights.IMAGENET, "vgg16", entry)
    monkeypatch.setenv("UPSCORE_CACHE", str(tmp_path / "cache"))
    return path


def test_weights_by_name_are_checked_and_read_from_the_cache(
    published: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "cache" / published.name
    kept.parent.mkdir()
    kept.write_bytes(published.read_bytes())
    initialise(ours(), "vgg16", input_spec=SPEC)
    kept.write_bytes(b"another file")
    with pytest.raises(WorkError, match="the file is damaged or another release") as caught:
        initialise(ours(), "vgg16", input_spec=SPEC)
    assert "cannot be downloaded" not in str(caught.value)
    assert "Delete it, and it is downloaded again" in str(caught.value)
    kept.unlink()
    kept.mkdir()
    with pytest.raises(WorkError, match="is a folder, and a file of weights belongs there; remove"):
        initialise(ours(), "vgg16", input_spec=SPEC)


def test_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Downloaded("http://127.0.0.1:9/vgg16-x.pth", "sha256:00")
    monkeypatch.setitem(weights.IMAGENET, "vgg16", entry)
    monkeypatch.delenv("UPSCORE_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    place = re.escape(str(tmp_path / ".cache" / "upscore" / "vgg16-x.pth"))
    with pytest.raises(
        WorkError, match=rf"is vgg16: the weights cannot be downloaded.*put it at {place}"
    ):
        initialise(ours(), "vgg16", input_spec=SPEC)


def test_the_table_names_torchvisions_files() -> None:
    for entry in (weights.IMAGENET[name] for name in ("vgg16", "vgg16_bn")):
        assert isinstance(entry, Downloaded)
        algorithm, _, prefix = entry.expected.partition(":")
        assert algorithm == "sha256"
        assert entry.url.endswith(f"-{prefix}.pth")


@torch.no_grad()
def scramble(model: Network) -> Network:
    torch.manual_seed(7)
    for parameter in model.parameters():
        parameter.normal_(std=0.1)
    return model


@torch.no_grad()
@pytest.mark.parametrize("upsampling", ["fixed", "learned"])
def test_staged_training(upsampling: str) -> None:
    options = {"upsampling": upsampling, "score_init": "normal"}
    coarse = scramble(ours("fcn32s", **options))
    finer = ours("fcn16s", **options)
    start_from(finer, coarse.state_dict(), source="32s")
    assert isinstance(finer, FCN)
    for key, value in coarse.state_dict().items():
        if key != "upsample.input.weight":  # other stride, another kernel
            assert torch.equal(finer.state_dict()[key], value), key
    assert not finer.get_parameter("scores.pool4.weight").any()

    scramble(finer)
    finest = ours("fcn8s", **options)
    start_from(finest, finer.state_dict(), source="16s")
    for key, value in finer.state_dict().items():
        if key != "upsample.input.weight":
            assert torch.equal(finest.state_dict()[key], value), key
    assert not finest.get_parameter("scores.pool3.weight").any()


@torch.no_grad()
def test_a_staged_network_scores_what_the_coarse_one_scored() -> None:
    coarse = scramble(ours("fcn32s")).eval()
    finer = ours("fcn16s").eval()
    start_from(finer, coarse.state_dict(), source="32s")
    x = torch.randn(1, 3, 192, 160)
    # twice-interpolated and once-interpolated maps are not equal, but close
    difference = (finer(x) - coarse(x)).abs().mean()
    assert float(difference) < 0.2 * float(coarse(x).std())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({}, {}, "with all its layers$"),
        ({}, {"num_classes": 5}, "but these, which are new: seg_score$"),
    ],
)
def test_what_a_training_starts_from_is_said(
    old: dict[str, Any], new: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="upscore"):
        start_from(ours("deconvnet", **new), ours("deconvnet", **old).state_dict(), source="runs/1")
    assert re.match(f"the training starts from runs/1, .*{said}", caplog.messages[-1])


def test_deconvnets_second_stage_starts_from_all_of_the_first() -> None:
    old = scramble(ours("deconvnet"))
    new = ours("deconvnet")
    start_from(new, old.state_dict(), source="stage 1")
    for key, value in old.state_dict().items():
        assert torch.equal(new.state_dict()[key], value), key
    other = ours("deconvnet", num_classes=5)
    start_from(other, old.state_dict(), source="stage 1")
    differ = {k for k, v in other.state_dict().items() if not torch.equal(v, new.state_dict()[k])}
    assert differ == {"seg_score.weight", "seg_score.bias"}


@torch.no_grad()
def test_other_classes_keep_the_backbone_alone() -> None:
    old, new = scramble(ours("fcn8s")), ours("fcn8s", num_classes=5, score_init="normal")
    start_from(new, old.state_dict(), source="old")
    assert torch.equal(
        new.get_parameter("trunk.fc7.conv.weight"), old.get_parameter("trunk.fc7.conv.weight")
    )
    assert new.get_parameter("scores.pool3.weight").any()
    assert new.get_parameter("scores.fc7.weight").shape[0] == 5


@pytest.mark.parametrize(
    ("old", "message"),
    [
        ({"channels": [4, 8, 16, 32, 31]},
         r"trunk.conv5_1.conv.weight is \(31, 32, 3, 3\), fcn8s needs \(32, 32, 3, 3\)"),
        ({"batch_norm": True}, "no weights trunk.conv1_1.conv.bias, which fcn8s needs"),
    ],
)  # fmt: skip
def test_another_backbone_is_refused(old: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=message):
        start_from(ours("fcn8s"), ours("fcn16s", **old).state_dict(), source="old")


def test_a_network_with_another_backbone_says_what_to_set(tmp_path: Path) -> None:
    """A run, and an image classifier."""
    with_vgg16 = {"width": 1 / 64, "pyramid": 16, "context": 32}
    small = {"backbone": "lite0", "pyramid": 16, "context": 32}
    old = create_model("fpn", num_classes=2, **with_vgg16)
    save_model(tmp_path / "run", old, labels=Labels.of("ab"), input_spec=SPEC)
    with pytest.raises(
        SettingsError,
        match=r"run, whose network has the backbone vgg16, and this fpn has another one; set "
        r"model\.options\.backbone=vgg16, or init\.weights=lite0",
    ):
        initialise(
            create_model("fpn", num_classes=2, **small), str(tmp_path / "run"), input_spec=SPEC
        )
    lite0 = create_classifier("lite0", num_classes=2)
    save_classifier(tmp_path / "lite0", lite0, classes=["a", "b"], input_spec=SPEC)
    with pytest.raises(SettingsError, match=r"has the backbone lite0, .* set init\.weights=vgg16"):
        initialise(ours("deconvnet"), str(tmp_path / "lite0"), input_spec=SPEC)
    none = create_model("patch-cnn", num_classes=2)
    save_model(tmp_path / "none", none, labels=Labels.of("ab"), input_spec=SPEC)
    with pytest.raises(SettingsError, match=r"has no backbone, and this fcn8s has one; set init"):
        initialise(ours(), str(tmp_path / "none"), input_spec=SPEC)


def test_left_over_backbone_weights_are_refused() -> None:
    state = {**ours("fcn16s").state_dict(), "trunk.conv6_1.conv.weight": torch.ones(1)}
    with pytest.raises(RunError, match=r"left-over weights trunk\.conv6_1\.conv\.weight"):
        start_from(ours("fcn8s"), state, source="old")


@pytest.mark.parametrize("inside", [".", "model"])
def test_from_a_model_folder_or_a_run_folder(inside: str, tmp_path: Path) -> None:
    old = scramble(ours("fcn16s"))
    save_model(tmp_path / inside, old, labels=Labels.of("ab"), input_spec=SPEC)
    if inside == "model":
        RunFolder(tmp_path).write_manifest({})
    new = ours("fcn8s")
    initialise(new, str(tmp_path), input_spec=SPEC)
    assert torch.equal(
        new.get_parameter("scores.pool4.weight"), old.get_parameter("scores.pool4.weight")
    )


def test_from_a_folder_that_is_neither(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"neither a run folder .* nor a model folder"):
        initialise(ours(), str(tmp_path), input_spec=SPEC)


@pytest.mark.slow
def test_full_size_vgg16() -> None:
    """Torchvision's own shapes, with weights that take no memory until copied."""
    state: State = {}
    channels = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    before = 3
    for index, after in zip(PLAIN, channels, strict=True):
        state[f"features.{index}.weight"] = torch.ones(1).expand(after, before, 3, 3)
        state[f"features.{index}.bias"] = torch.ones(1).expand(after)
        before = after
    for index, shape in ((0, (4096, 25088)), (3, (4096, 4096)), (6, (1000, 4096))):
        state[f"classifier.{index}.weight"] = torch.ones(1).expand(shape)
        state[f"classifier.{index}.bias"] = torch.ones(1).expand(shape[0])
    with torch.device("meta"):
        model = create_model("fcn8s", num_classes=21)
    start_from_imagenet(model.to_empty(device="cpu"), state, source="vgg16")
    assert bool((model.get_parameter("trunk.fc6.conv.weight") == 1).all())
