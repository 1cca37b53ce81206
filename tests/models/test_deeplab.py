"""DeepLab-LargeFOV: sizes, places, dilation, the paper's parameter counts, and initial weights."""

from __future__ import annotations

import logging
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.torchvision_vgg import CHANNELS, FC, theirs
from upscore.errors import RunError
from upscore.models.base import Network, count_parameters
from upscore.models.deeplab import Branch, DeepLab, enlarge
from upscore.models.factory import create_model
from upscore.models.layers import ConvBlock, ScoreLayer
from upscore.models.pretrained import start_from, start_from_imagenet
from upscore.models.reduced_classifier import reduce_classifier
from upscore.models.vgg import VGG16

POOLS = ("pool1", "pool2", "pool3", "pool4", "pool5")


def tiny(**options: object) -> DeepLab:
    settings = {"num_classes": 3, "width": 1 / 16, **options}
    model = create_model("deeplab-largefov", **settings).eval()  # type: ignore[arg-type]
    assert isinstance(model, DeepLab)
    return model


@pytest.mark.parametrize(
    ("options", "millions"),
    [
        ({}, 20.5),
        ({"fc_kernel": 4, "fc_dilation": 4, "fc_width": 4096}, 65.1),
        ({"fc_kernel": 4, "fc_dilation": 8, "fc_width": 4096}, 65.1),
        ({"fc_kernel": 7, "fc_dilation": 4, "fc_width": 4096}, 134.3),
    ],
)
def test_parameter_counts_of_the_papers_table_2(options: dict[str, int], millions: float) -> None:
    with torch.device("meta"):
        model = create_model("deeplab-largefov", num_classes=21, **options)
        scores = model(torch.ones(1, 3, 321, 321, device="meta"))
    assert round(count_parameters(model) / 1e6, 1) == millions
    assert scores.shape == (1, 21, 321, 321)


@pytest.mark.parametrize(
    ("side", "sides"),
    [
        (321, [161, 81, 41]),  # the crops of its training: 32 * 11 - 31
        (513, [257, 129, 65]),  # and the photos of its test
        (320, [161, 81, 41]),
        (314, [158, 80, 41]),
        (313, [157, 79, 40]),
        (2, [2, 2, 2]),
        (1, [1, 1, 1]),
    ],
)
def test_sizes(side: int, sides: list[int]) -> None:
    with torch.device("meta"):
        backbone = tiny().backbone
        maps = backbone(torch.ones(1, 3, side, side, device="meta"), (*POOLS, "fc7"))
    assert [maps[name].shape[-1] for name in (*POOLS, "fc7")] == [*sides, *[sides[-1]] * 3]
    assert [stage.stride for stage in backbone.stages] == [2, 4, 8, 8, 8, 8]
    assert [(skip.name, skip.stride) for skip in backbone.skips] == [
        ("conv1_2", 1), ("conv2_2", 2), ("conv3_3", 4), ("conv5_3", 8),
    ]  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("size", [(121, 137), (118, 130)])
def test_scores_lie_where_their_pixels_are(size: tuple[int, int], axis: int) -> None:
    """A channel is the coordinate t, another K - t; pools around 8 i keep 8 i + 23, K - 8 i + 23.

    Half their difference, plus K / 2, is 8 i, and interpolation keeps straight lines straight.
    """
    model = tiny(num_classes=1, in_channels=2)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.zero_()
            assert module.bias is not None
            module.bias.zero_()
            middle = module.kernel_size[0] // 2
            if isinstance(module, ScoreLayer):
                module.weight[0, :2, 0, 0] = torch.tensor([0.5, -0.5])
            else:
                module.weight[range(2), range(2), middle, middle] = 1
    top = 1000.0
    t = torch.arange(size[axis], dtype=torch.float32)
    t = (t if axis == -1 else t[:, None]).expand(size)
    found = model(torch.stack([t, top - t])[None])[0, 0] + top / 2
    inner = slice(40, -40)  # where neither padding nor the border takes part
    torch.testing.assert_close(found[inner, inner], t[inner, inner], rtol=0, atol=1e-2)


@torch.no_grad()
def test_dilated_layers_are_those_of_the_strided_network_at_every_place() -> None:
    """Section 3.1: conv5 behind a pool4 of stride 2, at each second place, without holes."""
    torch.manual_seed(0)
    backbone = tiny().double().backbone
    x = torch.randn(1, 3, 97, 65, dtype=torch.float64)
    before = backbone(x, ("pool3",))["pool3"]  # 13 x 9
    for index in (1, 2, 3):
        before = cast(ConvBlock, backbone.get_submodule(f"conv4_{index}"))(before)
    strided = F.max_pool2d(before, 3, 2, padding=1)
    for index in (1, 2, 3):
        conv = cast(ConvBlock, backbone.get_submodule(f"conv5_{index}")).conv
        strided = F.conv2d(strided, conv.weight, conv.bias, padding=1).relu()
    dense = backbone(x, ("conv5_3",))["conv5_3"]
    assert strided.shape[2:] == (7, 5)
    torch.testing.assert_close(dense[..., ::2, ::2], strided)


@torch.no_grad()
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 2), (3, 12), (4, 4), (5, 3)])
def test_a_dilated_convolution_is_a_plain_one_on_each_subsampled_grid(
    kernel: int, dilation: int
) -> None:
    torch.manual_seed(0)
    block = ConvBlock(4, 5, kernel=kernel, dilation=dilation, relu=False).double()
    assert block.conv.bias is not None
    x = torch.randn(2, 4, 23, 29, dtype=torch.float64)
    margin = dilation * (kernel - 1) // 2
    padded = F.pad(x, (margin, margin, margin, margin))
    want = torch.empty(2, 5, 23, 29, dtype=torch.float64)
    for down in range(dilation):
        for right in range(dilation):
            grid = padded[..., down::dilation, right::dilation]
            place = want[..., down::dilation, right::dilation]
            place.copy_(F.conv2d(grid, block.conv.weight, block.conv.bias))
    torch.testing.assert_close(block(x), want)


@torch.no_grad()
def test_what_an_element_of_fc7_sees() -> None:
    """An impulse reaches element i from so far and no farther: 217 pixels, as layers add up.

    Convolutions at strides 1, 2, 4, 8 and dilated at 8, pools (radius of one element), fc6.
    """
    reach = 2 * 1 + 2 * 2 + 3 * 4 + 3 * 8 + 3 * 2 * 8 + (1 + 2 + 4 + 8 + 8 + 8) + 12 * 8
    assert reach == 217
    model = tiny(width=1 / 64).double()
    for parameter in model.parameters():
        parameter.fill_(0.0 if parameter.ndim == 1 else 1.0)
    places, middle = 61, 30
    for distance, seen in ((0, True), (reach, True), (reach + 1, False)):
        x = torch.zeros(1, 3, 1, 8 * (places - 1) + 1, dtype=torch.float64)
        x[..., 8 * middle - distance] = 1
        fc7 = model.backbone(x, ("fc7",))["fc7"]
        assert fc7.shape[-1] == places
        assert bool((fc7[..., middle] != 0).all()) == seen


@pytest.mark.parametrize("stride", [1, 2, 8])
def test_enlarged_maps(stride: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64)
    height, width = 3 * stride + 1, 4 * stride
    found = enlarge(x, stride, like=torch.empty(1, 3, height, width))
    assert found.shape == (1, 2, height, width)
    rows, columns = (torch.arange(n, dtype=torch.float64) / stride for n in (height, width))
    # a tent around each element
    tents = [
        (1 - (at[:, None] - torch.arange(side)).abs()).clamp(min=0)
        for at, side in ((rows, 4), (columns, 5))
    ]
    want = torch.einsum("yi,xj,ncij->ncyx", *tents, x)
    torch.testing.assert_close(found, want)


@torch.no_grad()
@pytest.mark.parametrize("size", [(57, 70), (65, 33)])
def test_branches_are_added_at_the_size_of_the_photo(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = tiny(msc=True, score_init="he").double()
    x = torch.randn(1, 3, *size, dtype=torch.float64)
    maps = model.backbone(x, (*POOLS[:4], "fc7"))
    want = enlarge(model.fc8(maps["fc7"]), 8, like=x)
    for name, stride in (("image", 1), ("pool1", 2), ("pool2", 4), ("pool3", 8), ("pool4", 8)):
        branch = cast(Branch, model.branches[name])
        scores = branch.score(branch.fc(branch.conv(x if name == "image" else maps[name])))
        assert scores.abs().max() > 0
        want = want + enlarge(scores, stride, like=x)
    torch.testing.assert_close(model(x), want)


@torch.no_grad()
def test_branches_at_every_eighth_pixel_are_those_of_the_releases_training() -> None:
    """There the first convolution of a branch has a stride, so that its scores have stride 8."""
    torch.manual_seed(0)
    branch = cast(Branch, tiny(msc=True, score_init="he").double().branches["image"])
    x = torch.randn(1, 3, 33, 41, dtype=torch.float64)
    conv = branch.conv.conv
    strided = F.conv2d(x, conv.weight, conv.bias, stride=8, padding=1).relu()
    want = branch.score(branch.fc(strided))
    assert want.shape[2:] == (5, 6)
    torch.testing.assert_close(branch(x)[..., ::8, ::8], want)


@torch.no_grad()
def test_msc_begins_with_the_scores_of_the_network_without() -> None:
    torch.manual_seed(0)
    plain, msc = tiny(score_init="he"), tiny(msc=True, score_init="he")
    start_from(msc, plain.state_dict(), source="test")
    x = torch.randn(1, 3, 40, 33)
    torch.testing.assert_close(msc(x), plain(x))
    assert all(bool((cast(Branch, b).conv.conv.weight != 0).any()) for b in msc.branches.values())


State = dict[str, Tensor]


def classifier(whole: int, channels: int) -> State:
    generator = torch.Generator().manual_seed(0)
    shapes = {"0.weight": (whole, channels * 49), "0.bias": (whole,), "3.weight": (whole, whole)}
    state = {
        f"classifier.{key}": torch.randn(shape, generator=generator)
        for key, shape in {**shapes, "3.bias": (whole,)}.items()
    }
    return {**state, "features.0.bias": torch.ones(3)}


@pytest.mark.parametrize(
    ("kernel", "rows"), [(3, [0, 3, 6]), (4, [0, 2, 4, 6]), (7, list(range(7))), (1, [3])]
)
def test_reduced_classifiers_element_by_element(kernel: int, rows: list[int]) -> None:
    state = classifier(12, 2)
    found = reduce_classifier(state, channels=2, width=4, kernel=kernel)
    fc6 = found["classifier.0.weight"].reshape(4, 2, kernel, kernel)
    assert torch.equal(found["features.0.bias"], state["features.0.bias"])
    for ours, whole in enumerate((0, 3, 6, 9)):
        assert found["classifier.0.bias"][ours] == state["classifier.0.bias"][whole]
        assert found["classifier.3.bias"][ours] == state["classifier.3.bias"][whole]
        for other, whole_other in enumerate((0, 3, 6, 9)):
            assert (
                found["classifier.3.weight"][ours, other]
                == state["classifier.3.weight"][whole, whole_other]
            )
        for channel in range(2):
            for y, row in enumerate(rows):
                for x, column in enumerate(rows):
                    place = (channel * 7 + row) * 7 + column
                    assert fc6[ours, channel, y, x] == state["classifier.0.weight"][whole, place]


def test_classifiers_that_are_not_reduced() -> None:
    state = classifier(12, 2)
    for settings in ({"width": 12, "kernel": 7}, {"width": 13, "kernel": 3}):
        assert reduce_classifier(state, channels=2, **settings) is state
    assert reduce_classifier(state, channels=3, width=4, kernel=3) is state
    assert reduce_classifier(state, channels=2, width=4, kernel=9) is state
    for key in ("classifier.0.weight", "classifier.3.bias"):
        for broken in ({**state, key: torch.tensor(0.0)}, {k: state[k] for k in state if k != key}):
            assert reduce_classifier(broken, channels=2, width=4, kernel=3) is broken


@torch.no_grad()
def test_imagenet_weights(caplog: pytest.LogCaptureFixture) -> None:
    source = theirs(batch_norm=False).state_dict()
    width = FC // 4
    model = create_model("deeplab-largefov", num_classes=2, channels=CHANNELS, fc_width=width)
    with caplog.at_level(logging.INFO, "upscore.models.vgg"):
        start_from_imagenet(model, source, source="test")
    assert f"start from {width} of their {FC} channels, evenly spread, and fc6 from 3x3" in (
        caplog.text
    )
    backbone = model.backbone
    assert isinstance(backbone, VGG16)
    conv1_1 = cast(ConvBlock, backbone.first_block).conv
    assert torch.equal(conv1_1.weight, source["features.0.weight"])
    fc6 = source["classifier.0.weight"].view(FC, -1, 7, 7)[::4, :, ::3, ::3]
    assert torch.equal(backbone.fc6.conv.weight, fc6)
    fc7 = source["classifier.3.weight"][::4, ::4]
    assert torch.equal(backbone.fc7.conv.weight[:, :, 0, 0], fc7)
    assert backbone.fc7.conv.bias is not None
    assert torch.equal(backbone.fc7.conv.bias, source["classifier.3.bias"][::4])


def test_imagenet_weights_of_its_own_size_and_without_fc_layers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = theirs(batch_norm=False).state_dict()
    settings = {"num_classes": 2, "channels": CHANNELS, "fc_width": 8}

    def fresh() -> Network:
        return create_model("deeplab-largefov", **settings)  # type: ignore[arg-type]

    reduced = dict(reduce_classifier(source, channels=CHANNELS[-1], width=8, kernel=3))
    models = [fresh(), fresh()]
    for model, state in zip(models, (source, reduced), strict=True):
        start_from_imagenet(model, state, source="test")
    for one, other in zip(*(model.backbone.parameters() for model in models), strict=True):
        assert torch.equal(one, other)
    without = {key: value for key, value in source.items() if key.startswith("features.")}
    with caplog.at_level(logging.INFO, "upscore.models.vgg"):
        start_from_imagenet(fresh(), without, source="test")
        assert "fc6 and fc7 start fresh, none in the file" in caplog.text
        broken = {**source, "classifier.3.bias": torch.ones(3)}
        start_from_imagenet(fresh(), broken, source="test")  # fresh, and said so
    assert "those of the file have other sizes" in caplog.text
    broken = {**reduced, "classifier.3.bias": torch.ones(3)}
    with pytest.raises(RunError, match=r"classifier\.3\.bias is \(3,\), the network needs \(8,\)"):
        start_from_imagenet(fresh(), broken, source="test")
