"""DeconvNet against the layer table of the release, and SegNet and U-Net against theirs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscore.errors import DataError, SettingsError
from upscore.models.base import Network, count_parameters
from upscore.models.deconvnet import DeconvNet
from upscore.models.deconvolution import DeconvBlock
from upscore.models.factory import create_model
from upscore.models.layers import ConvBlock, ScoreLayer

# deconvnet-reference.md section 1: layer -> kernel, channels in and out, side of the output
TABLE = {
    "conv1_1": (3, 3, 64, 224), "conv1_2": (3, 64, 64, 224), "pool1": (2, 64, 64, 112),
    "conv2_1": (3, 64, 128, 112), "conv2_2": (3, 128, 128, 112), "pool2": (2, 128, 128, 56),
    "conv3_1": (3, 128, 256, 56), "conv3_2": (3, 256, 256, 56), "conv3_3": (3, 256, 256, 56),
    "pool3": (2, 256, 256, 28),
    "conv4_1": (3, 256, 512, 28), "conv4_2": (3, 512, 512, 28), "conv4_3": (3, 512, 512, 28),
    "pool4": (2, 512, 512, 14),
    "conv5_1": (3, 512, 512, 14), "conv5_2": (3, 512, 512, 14), "conv5_3": (3, 512, 512, 14),
    "pool5": (2, 512, 512, 7),
    "fc6": (7, 512, 4096, 1), "fc7": (1, 4096, 4096, 1), "fc6-deconv": (7, 4096, 512, 7),
    "unpool5": (2, 512, 512, 14), "deconv5_1": (3, 512, 512, 14), "deconv5_2": (3, 512, 512, 14),
    "deconv5_3": (3, 512, 512, 14),
    "unpool4": (2, 512, 512, 28), "deconv4_1": (3, 512, 512, 28), "deconv4_2": (3, 512, 512, 28),
    "deconv4_3": (3, 512, 256, 28),
    "unpool3": (2, 256, 256, 56), "deconv3_1": (3, 256, 256, 56), "deconv3_2": (3, 256, 256, 56),
    "deconv3_3": (3, 256, 128, 56),
    "unpool2": (2, 128, 128, 112), "deconv2_1": (3, 128, 128, 112), "deconv2_2": (3, 128, 64, 112),
    "unpool1": (2, 64, 64, 224), "deconv1_1": (3, 64, 64, 224), "deconv1_2": (3, 64, 64, 224),
    "seg-score": (1, 64, 21, 224),
}  # fmt: skip


def tiny(**options: object) -> Network:
    torch.manual_seed(0)
    settings = {"num_classes": 3, "width": 1 / 32, "decoder_init": "he", **options}
    return create_model("deconvnet", **settings).eval()  # type: ignore[arg-type]


def test_every_row_of_the_layer_table() -> None:
    outputs = tiny(num_classes=21).layer_outputs(torch.ones(1, 3, 224, 224), TABLE)
    assert list(outputs) == list(TABLE)
    with torch.device("meta"):
        model = create_model("deconvnet", num_classes=21)
    for name, (kernel, before, after, side) in TABLE.items():
        tiny_width = after // 32 if name != "seg-score" else after
        assert outputs[name].shape == (1, tiny_width, side, side), name
        block = model._layer(name)
        if isinstance(block, ConvBlock | DeconvBlock):
            layer = block.conv if isinstance(block, ConvBlock) else block.deconv
            turned = isinstance(block, DeconvBlock)  # deconvolutions are (in, out, h, w)
            shape = (before, after) if turned else (after, before)
            assert layer.weight.shape == (*shape, kernel, kernel), name
            assert layer.bias is not None
            assert layer.bias.shape == (after,)
            assert isinstance(block.norm, nn.BatchNorm2d)


def test_layers_work_in_the_order_of_the_table() -> None:
    model = tiny()
    seen: list[str] = []
    for name in TABLE:
        model._layer(name).register_forward_hook(
            lambda _module, _args, _output, name=name: seen.append(name)
        )
    model(torch.randn(1, 3, 32, 32))
    assert seen == list(TABLE)


def test_parameter_counts_of_the_reference() -> None:
    with torch.device("meta"):
        model = create_model("deconvnet", num_classes=21)
        plain = create_model("deconvnet", num_classes=21, batch_norm=False)
        half = create_model("deconvnet", num_classes=21, width=0.5, fc_width=512)
    assert count_parameters(model) == count_parameters(model, trainable=True) == 251_805_653
    assert count_parameters(plain) == 251_772_245
    assert half.get_parameter("fc6_deconv.deconv.weight").shape == (512, 256, 7, 7)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 29
    assert sum(m.num_features for m in norms) == 16_704
    assert not any(isinstance(m, nn.Dropout) and m.p for m in model.modules())


def test_starts_as_the_release() -> None:
    torch.manual_seed(0)
    model = create_model("deconvnet", num_classes=21, width=0.25, norm_shift=0.001)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert bool((module.weight == 1).all())
            torch.testing.assert_close(module.bias, torch.full_like(module.bias, 0.001))
        elif isinstance(module, nn.ConvTranspose2d | ScoreLayer):
            assert 0.009 < float(module.weight.detach().std()) < 0.011
            assert module.bias is not None
            assert not module.bias.any()
        elif isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            assert abs(float(module.weight.detach().std()) / (2 / fan_in) ** 0.5 - 1) < 0.1


def unsettle(model: Network) -> None:
    """Biases and statistics that are not those of the start."""
    for name, value in model.state_dict().items():
        if name.endswith("bias"):
            value.uniform_(0, 0.3)  # keeps ReLUs of two channels alive
        elif name.endswith("running_mean"):
            value.normal_(std=0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.1, 1)


def reference(model: Network, x: Tensor, *, of: Tensor | None = None) -> Tensor:
    """The network in eval mode, from its state alone, as torch's functions in the table's order.

    With ``of``, fc7's features are those of that image and only the switches are of ``x``.
    """
    state = model.state_dict()

    def layer(x: Tensor, key: str, kind: str, padding: int) -> Tensor:
        work = F.conv2d if kind == "conv" else F.conv_transpose2d
        x = work(x, state[f"{key}.{kind}.weight"], state[f"{key}.{kind}.bias"], padding=padding)
        if f"{key}.norm.weight" in state:
            norm = [state[f"{key}.norm.{n}"] for n in ("running_mean", "running_var")]
            affine = [state[f"{key}.norm.{n}"] for n in ("weight", "bias")]
            x = F.batch_norm(x, *norm, *affine)
        return x.relu()

    def down(x: Tensor) -> tuple[Tensor, list[tuple[Tensor, list[int]]]]:
        kept = []
        for stage, depth in ((1, 2), (2, 2), (3, 3), (4, 3), (5, 3)):
            for index in range(1, depth + 1):
                x = layer(x, f"trunk.conv{stage}_{index}", "conv", 1)
            size = list(x.shape[2:])
            x, index_map = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
            kept.append((index_map, size))
        return x, kept

    x, kept = down(x)
    if of is not None:
        x, _ = down(of)
    height, width = x.shape[2:]
    top, left = max(0, 7 - height) // 2, max(0, 7 - width) // 2
    canvas = x.new_zeros(*x.shape[:2], max(7, height), max(7, width))
    canvas[..., top : top + height, left : left + width] = x
    x = layer(layer(canvas, "trunk.fc6", "conv", 0), "trunk.fc7", "conv", 0)
    x = layer(x, "fc6_deconv", "deconv", 0)[..., top : top + height, left : left + width]
    for stage, depth in ((5, 3), (4, 3), (3, 3), (2, 2), (1, 2)):
        index_map, size = kept[stage - 1]
        x = F.max_unpool2d(x, index_map, 2, output_size=size)
        for index in range(1, depth + 1):
            x = layer(x, f"decoder.deconv{stage}_{index}", "deconv", 1)
    return F.conv2d(x, state["seg_score.weight"], state["seg_score.bias"])


@torch.no_grad()
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("size", [(224, 224), (1, 1), (45, 70), (256, 200), (301, 257)])
def test_scores_by_hand(size: tuple[int, int], batch_norm: bool) -> None:
    model = tiny(batch_norm=batch_norm).double()
    unsettle(model)
    x = torch.randn(1, 3, *size, dtype=torch.float64)
    want = reference(model, x)
    assert (model.seg_score.bias - want.amax((0, 2, 3))).abs().max() > 1e-3
    torch.testing.assert_close(model(x), want, rtol=1e-9, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("size", [(224, 224), (45, 70), (256, 232)])
def test_switches_exchanged_by_hand(size: tuple[int, int]) -> None:
    """Features of one image with the switches of another, against torch's own functions."""
    model = tiny().double()
    assert isinstance(model, DeconvNet)
    unsettle(model)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    features, switches = model.encode(x)
    assert features.shape[:2] == (2, model.backbone.stages[-1].channels)
    got = model.decode(features.flip(0), switches)
    want = torch.cat([reference(model, x[[0]], of=x[[1]]), reference(model, x[[1]], of=x[[0]])])
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(got, model(x))
    torch.testing.assert_close(model.decode(features, switches), model(x))


@torch.no_grad()
def test_features_that_do_not_fit_their_switches_are_refused() -> None:
    model = tiny()
    assert isinstance(model, DeconvNet)
    small, large = (
        model.encode(torch.ones(1, 3, 224, 224)),
        model.encode(torch.ones(1, 3, 320, 224)),
    )
    with pytest.raises(DataError, match=r"features of 1 images, 4x1, .* 1, which need 1x1"):
        model.decode(large.features, small.switches)
    with pytest.raises(DataError, match=r"features of 2 images, 1x1, .* switches of 1"):
        model.decode(small.features.repeat(2, 1, 1, 1), small.switches)


@torch.no_grad()
def test_sizes_at_the_bottleneck() -> None:
    """fc7 is one element for every window of 7x7 elements of pool5, and at least one."""
    model = tiny()
    names = ["pool5", "fc7", "fc6_deconv"]
    for side, pool5, fc7 in ((1, 1, 1), (193, 7, 1), (224, 7, 1), (225, 8, 2), (320, 10, 4)):
        found = model.layer_outputs(torch.ones(1, 3, side, 224), names)
        heights = [value.shape[2] for value in found.values()]
        assert heights == [pool5, fc7, max(7, pool5)]


def test_layer_outputs_are_what_the_layers_gave() -> None:
    model = tiny(batch_norm=False)
    x = torch.randn(2, 3, 64, 64)
    found = model.layer_outputs(x, ["conv1_2", "trunk.conv1_2.conv", "unpool1", "seg_score"])
    assert list(found) == ["conv1_2", "trunk.conv1_2.conv", "unpool1", "seg_score"]
    # before the ReLU, which works in place
    assert bool((found["trunk.conv1_2.conv"] < 0).any())
    assert torch.equal(found["conv1_2"], found["trunk.conv1_2.conv"].relu())
    torch.testing.assert_close(found["seg_score"], model(x).detach())
    assert not any(value.requires_grad for value in found.values())
    assert (found["unpool1"] != 0).float().mean() <= 0.25
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("architecture", "name", "message"),
    [
        ("deconvnet", "conv6_1", "deconvnet: no layer 'conv6_1'; did you mean 'conv"),
        ("deconvnet", "", "deconvnet: no layer ''; there are conv, conv1_1"),
        ("deconvnet", "norm", "layer 'norm' is one of trunk.conv1_1.norm, "),
        ("fcn8s", "pool4", "layer 'pool4' is one of trunk.pool4, scores.pool4, upsample.pool4;"),
    ],
)
def test_layers_that_are_not_there(architecture: str, name: str, message: str) -> None:
    with torch.device("meta"):
        model = create_model(architecture, num_classes=2, width=1 / 64)
    with pytest.raises(SettingsError) as caught:
        model.layer_outputs(torch.empty(1, 3, 32, 32, device="meta"), [name])
    assert message in str(caught.value)


def test_layer_outputs_of_every_kind_of_network() -> None:
    for name, layer in (("fcn8s", "conv4_2"), ("unet", "up2_1"), ("segnet", "decode3_2")):
        model = create_model(name, num_classes=2, width=1 / 32).eval()
        assert layer in model.layer_outputs(torch.ones(1, 3, 40, 40), [layer])


def test_segnet_has_the_papers_layers() -> None:
    """26 convolutions of 3x3; 29.4 million weights and biases for CamVid's 11 classes."""
    with torch.device("meta"):
        model = create_model("segnet", num_classes=11)
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert [c.kernel_size for c in convs] == [(3, 3)] * 26
    widths = [c.out_channels for c in convs[13:]]
    assert widths == [512] * 5 + [256] * 3 + [128] * 2 + [64] * 2 + [11]
    # the release has biases beside norms: one for each of 25 layers' channels
    assert sum(c.weight.numel() + c.out_channels for c in convs) == 29_433_483
    assert isinstance(model, Network)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == 25


@torch.no_grad()
@pytest.mark.parametrize("upsampling", ["fixed", "learned"])
def test_unet_concatenates_skips_at_their_size(upsampling: str) -> None:
    torch.manual_seed(0)
    model = create_model("unet", num_classes=2, width=1 / 16, upsampling=upsampling).eval()
    x = torch.randn(1, 3, 45, 70)
    names = ["conv4_3", "conv5_3", "up4_1"]
    found = model.layer_outputs(x, names)
    up4_1 = model._layer("up4_1")
    assert isinstance(up4_1, ConvBlock)
    coarse = F.interpolate(found["conv5_3"], scale_factor=2.0, mode="bilinear")
    height, width = found["conv4_3"].shape[2:]
    assert (height, width) == (6, 9)
    joined = torch.cat([found["conv4_3"], coarse[..., :height, :width]], dim=1)
    torch.testing.assert_close(found["up4_1"], up4_1(joined), rtol=1e-4, atol=1e-5)


def test_a_fresh_network_has_an_opinion() -> None:
    assert isinstance(tiny(), DeconvNet)
    with torch.no_grad():
        assert float(tiny(batch_norm=False)(torch.randn(1, 3, 224, 224)).std()) > 1e-6
