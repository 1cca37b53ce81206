"""Sizes, crops and registration of the two geometries, and the reference's parameter counts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from models.known_options import known_options
from upscore.models.base import Network, count_parameters
from upscore.models.factory import MODELS, create_model
from upscore.models.fcn import CAFFE_FINAL_CROPS, CAFFE_SKIP_CROPS, FCN
from upscore.models.layers import BilinearUpsample, ScoreLayer
from upscore.models.vgg import VGG16, VGGOptions

STAGES = ("pool1", "pool2", "pool3", "pool4", "pool5", "fc7")
"""The stages of VGG16 that networks score."""

FCNS = ["fcn32s", "fcn16s", "fcn8s", "fcn4s", "fcn2s"]
SKIPS = {
    32: (),
    16: ("pool4",),
    8: ("pool4", "pool3"),
    4: ("pool4", "pool3", "pool2"),
    2: ("pool4", "pool3", "pool2", "pool1"),
}
"""Stride -> the pools whose scores are added on the way up, coarse to fine."""

# fcn-reference.md section 1: side -> pools, fc6, upscore2, upscore_pool4, then the last upsampling
CAFFE_SIZES = {
    500: ([349, 175, 88, 44, 22], 16, 34, 70, {"fcn8s": 568, "fcn16s": 560, "fcn32s": 544}),
    375: ([287, 144, 72, 36, 18], 12, 26, 54, {"fcn8s": 440, "fcn16s": 432, "fcn32s": 416}),
    366: ([282, 141, 71, 36, 18], 12, 26, 54, {"fcn8s": 440, "fcn16s": 432, "fcn32s": 416}),
    256: ([227, 114, 57, 29, 15], 9, 20, 42, {"fcn8s": 344, "fcn16s": 336, "fcn32s": 320}),
    224: ([211, 106, 53, 27, 14], 8, 18, 38, {"fcn8s": 312, "fcn16s": 304, "fcn32s": 288}),
    1: ([100, 50, 25, 13, 7], 1, 4, 10, {"fcn8s": 88, "fcn16s": 80, "fcn32s": 64}),
}


def tiny(name: str, **options: object) -> Network:
    settings = {"num_classes": 2, **known_options(name, width=1 / 64), **options}
    return create_model(name, **settings).eval()  # type: ignore[arg-type]


def on_meta(name: str, **options: object) -> Network:
    with torch.device("meta"):
        return tiny(name, **options)


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_same_gives_the_input_size_for_every_side(name: str) -> None:
    options = known_options(name, score_init="normal")
    on_no_device = on_meta(name, **options)  # shapes alone, of every side
    for side in range(1, 71):
        x = torch.ones(1, 3, side, 71 - side, device="meta")
        assert on_no_device(x).shape == (1, 2, side, 71 - side)
    model = tiny(name, **options)
    for side in (1, 31, 32, 33, 70):
        assert torch.isfinite(model(torch.ones(1, 3, side, 71 - side))).all()


@torch.no_grad()
@pytest.mark.parametrize("name", FCNS)
def test_caffe_gives_the_input_size_for_every_side(name: str) -> None:
    model = on_meta(name, geometry="caffe", upsampling="learned")
    for side in range(1, 71):
        x = torch.ones(1, 3, side, 71 - side, device="meta")
        assert model(x).shape == (1, 2, side, 71 - side)


@torch.no_grad()
@pytest.mark.parametrize("name", FCNS)
def test_caffe_computes_what_meta_promises(name: str) -> None:
    model = tiny(name, geometry="caffe", score_init="normal")
    for side in range(1, 71, 1 if name == "fcn8s" else 13):
        scores = model(torch.ones(1, 3, side, 71 - side))
        assert scores.shape == (1, 2, side, 71 - side)
        assert torch.isfinite(scores).all()


@torch.no_grad()
@pytest.mark.parametrize("size", [(375, 500), (1099, 256), (1024, 2049), (4000, 6001)])
@pytest.mark.parametrize("geometry", ["same", "caffe"])
@pytest.mark.parametrize("name", FCNS)
def test_large_sizes(name: str, geometry: str, size: tuple[int, int]) -> None:
    model = on_meta(name, geometry=geometry)
    assert model(torch.ones(1, 3, *size, device="meta")).shape == (1, 2, *size)


@torch.no_grad()
@pytest.mark.parametrize("side", [1, 2, 31, 32, 33, 70, 500])
def test_same_wastes_no_padding(side: int) -> None:
    with torch.device("meta"):
        backbone = VGG16(VGGOptions(width=1 / 64))
        features = backbone(torch.ones(1, 3, side, side), STAGES)
    sides = [features[stage].shape[-1] for stage in STAGES]
    want = [math.ceil(side / 2**level) for level in (1, 2, 3, 4, 5)]
    assert sides == [*want, want[-1]]


@torch.no_grad()
@pytest.mark.parametrize("side", CAFFE_SIZES)
@pytest.mark.parametrize("name", ["fcn32s", "fcn16s", "fcn8s"])
def test_caffe_sizes_of_the_reference(name: str, side: int) -> None:
    pools, fc6, upscore2, upscore_pool4, last = CAFFE_SIZES[side]
    model = on_meta(name, geometry="caffe")
    assert isinstance(model, FCN)
    found: dict[str, int] = {}

    def note(key: str, module: nn.Module) -> None:
        def hook(_module: nn.Module, _args: object, out: Tensor) -> None:
            found[key] = out.shape[-1]

        module.register_forward_hook(hook)

    for key, module in model.named_modules():
        if isinstance(module, BilinearUpsample) or key in ("trunk.conv1_1", "trunk.fc6"):
            note(key, module)
    x = torch.ones(1, 3, side, side, device="meta")
    features = model.backbone(x, STAGES)
    assert [features[stage].shape[-1] for stage in STAGES[:5]] == pools
    assert model(x).shape[-1] == side
    assert found["trunk.conv1_1"] == side + 198
    assert found["trunk.fc6"] == fc6
    assert found["upsample.input"] == last[name]
    if name != "fcn32s":
        assert found["upsample.pool4"] == upscore2
    if name == "fcn8s":
        assert found["upsample.pool3"] == upscore_pool4


def test_caffe_crops_of_the_reference() -> None:
    assert (CAFFE_SKIP_CROPS["pool4"], CAFFE_SKIP_CROPS["pool3"]) == (5, 9)
    assert [CAFFE_FINAL_CROPS[stride] for stride in (32, 16, 8)] == [19, 27, 31]


@pytest.mark.parametrize("stride", SKIPS)
def test_caffe_crops_follow_from_the_coordinates(stride: int) -> None:
    """As caffe.coord_map: element i of a map lies at image coordinate a i + b."""
    a, b = 1.0, 1.0 - 100.0  # conv1_1: 3x3, padding 100; the other convolutions change nothing
    maps = {}
    for level in range(1, 6):
        a, b = 2 * a, b + a / 2  # 2x2 pool of stride 2
        maps[f"pool{level}"] = (a, b)
    b += 3 * a  # fc6: 7x7 without padding

    def upsampled(a: float, b: float, factor: int) -> tuple[float, float]:
        a /= factor
        return a, b - a * (2 * factor - 1) / 2  # kernel of 2 factors, its centre

    for stage in SKIPS[stride]:
        a, b = upsampled(a, b, 2)
        assert a == maps[stage][0]
        assert (b - maps[stage][1]) / a == CAFFE_SKIP_CROPS[stage]
    a, b = upsampled(a, b, stride)
    assert a == 1
    assert -b == CAFFE_FINAL_CROPS[stride]


def deltas(model: FCN) -> None:
    """Make the backbone carry its first two input channels through, touched by the pools alone."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.zero_()
                assert module.bias is not None
                module.bias.zero_()
                if not isinstance(module, ScoreLayer):
                    middle = module.kernel_size[0] // 2
                    for channel in range(2):
                        module.weight[channel, channel, middle, middle] = 1


@torch.no_grad()
@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("upsampling", ["fixed", "learned"])
@pytest.mark.parametrize("geometry", ["same", "caffe"])
@pytest.mark.parametrize("name", FCNS)
def test_scores_lie_where_their_pixels_are(
    name: str, geometry: str, upsampling: str, axis: int
) -> None:
    """Every stage alone, carried up, reproduces the coordinates of the pixels.

    One channel is the coordinate t, the other K - t. A pool over the block [i s, (i + 1) s) keeps
    the largest: (i + 1) s - 1 and K - i s. Half their difference, plus K / 2, is (i + 0.5) s - 0.5,
    the block's middle, and interpolation keeps straight lines straight. A shift by one pixel
    anywhere would show as 1.
    """
    model = create_model(
        name, num_classes=1, in_channels=2, width=1 / 16, geometry=geometry, upsampling=upsampling
    ).eval()
    assert isinstance(model, FCN)
    deltas(model)
    for size in ((173, 150), (160, 192)):  # 32 divides some of them
        top = 1000.0
        t = torch.arange(size[axis], dtype=torch.float32)
        t = (t if axis == -1 else t[:, None]).expand(size)
        x = torch.stack([t, top - t])[None]
        for stage in model.scores:
            layer = model.scores[stage]
            assert isinstance(layer, ScoreLayer)
            layer.weight[0, 0] = 0.5
            layer.weight[0, 1] = -0.5
            found = model(x)[0, 0] + top / 2
            layer.weight.zero_()
            inner = slice(64, size[axis] - 80)
            found, want = (z[..., inner] if axis == -1 else z[inner] for z in (found, t))
            lines = slice(64, -80)  # padding is nobody's coordinate
            found, want = (z[lines] if axis == -1 else z[..., lines] for z in (found, want))
            assert found.numel() > 100
            torch.testing.assert_close(found, want, rtol=0, atol=1e-2)


@torch.no_grad()
def test_at_once_scales_the_features() -> None:
    torch.manual_seed(0)
    settings = {"num_classes": 3, "width": 1 / 16, "score_init": "normal"}
    plain = create_model("fcn8s", **settings).eval()  # type: ignore[arg-type]
    at_once = create_model("fcn8s", at_once=True, **settings).eval()  # type: ignore[arg-type]
    at_once.load_state_dict(plain.state_dict())
    assert isinstance(plain, FCN)

    def scale(factor: float) -> object:
        return lambda _module, args: (args[0] * factor,)

    plain.scores["pool4"].register_forward_pre_hook(scale(0.01))  # type: ignore[arg-type]
    plain.scores["pool3"].register_forward_pre_hook(scale(0.0001))  # type: ignore[arg-type]
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(at_once(x), plain(x))


@pytest.mark.parametrize(
    ("name", "everything", "trainable"),
    [
        ("fcn32s", 136_152_917, 134_346_581),
        ("fcn16s", 134_815_994, 134_357_354),
        ("fcn8s", 134_489_759, 134_362_751),
    ],
)
def test_parameter_counts_of_the_reference(name: str, everything: int, trainable: int) -> None:
    with torch.device("meta"):
        learned = create_model(name, num_classes=21, upsampling="learned", geometry="caffe")
        fixed = create_model(name, num_classes=21, geometry="caffe")
    assert count_parameters(learned) == everything
    # fixed upsampling is computed without parameters
    assert count_parameters(fixed) == count_parameters(fixed, trainable=True) == trainable


def test_the_backbone_has_the_parameters_of_vgg16_without_its_last_layer() -> None:
    with torch.device("meta"):
        backbone = VGG16(VGGOptions())
    assert count_parameters(backbone) == 138_357_544 - (1000 * 4096 + 1000)
