"""Networks that start from weights made for another preparation of photos.

What is expected comes from plain lines below: torchvision's and Caffe's preparation as their
documentation has them, and the network that the weights came from.
"""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.prepared_photos import (
    CAFFE_BLUE_GREEN_RED,
    MEAN,
    PREPARED,
    STD,
    as_caffe,
    as_imagenet,
    photo,
)
from models.torchvision_vgg import CHANNELS, FC, ours, theirs
from upscore.core.images import InputSpec
from upscore.core.labels import Labels
from upscore.errors import RunError, SettingsError
from upscore.models.base import Network
from upscore.models.checkpoint import save_model
from upscore.models.factory import create_model
from upscore.models.input_conversion import convert_first_layer
from upscore.models.layers import ConvBlock, ScoreLayer
from upscore.models.pretrained import initialise

BOTH_WAYS = [("imagenet", "caffe"), ("caffe", "imagenet")]


def other_mean(given: str) -> Tensor:
    """The mean colour of the other preparation, as ``given`` prepares it: (3,)."""
    if given == "imagenet":
        return torch.tensor((CAFFE_BLUE_GREEN_RED[[2, 1, 0]] / 255 - MEAN) / STD).float()
    return torch.tensor((MEAN * 255)[[2, 1, 0]] - CAFFE_BLUE_GREEN_RED).float()


def first(model: Network) -> ConvBlock:
    block = model.backbone.first_block
    assert isinstance(block, ConvBlock)
    return block


def before_relu(block: ConvBlock, x: Tensor) -> Tensor:
    response: Tensor = block.norm(block.conv(x))
    return response


@torch.no_grad()
@pytest.mark.parametrize(("given", "wanted"), BOTH_WAYS)
@pytest.mark.parametrize(
    ("name", "batch_norm", "file_has_norm"),
    [
        ("fcn8s", False, False),
        ("fcn8s", True, True),  # no bias: the running mean takes the shift
        ("deconvnet", True, False),
        ("deconvnet", True, True),  # bias beside norm
        ("deconvnet", False, False),
    ],
)
@pytest.mark.parametrize("kind", ["red", "random"])
def test_conv1_1_responds_as_torchvisions(
    kind: str, name: str, batch_norm: bool, file_has_norm: bool, given: str, wanted: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    source = theirs(batch_norm=file_has_norm)
    torch.save(source.state_dict(), tmp_path / "vgg.pth")
    model = ours(name, batch_norm=batch_norm, **({"norm_shift": 0.0} if name != "fcn8s" else {}))
    initialise(
        model.eval(), str(tmp_path / "vgg.pth"), input_spec=InputSpec.named(wanted),
        file_input=None if given == "imagenet" else given,
    )  # fmt: skip
    want = source.features[: 2 if file_has_norm else 1](PREPARED[given](photo(kind)))
    got = before_relu(first(model), PREPARED[wanted](photo(kind)))
    inner = (..., slice(1, -1), slice(1, -1))
    scale = float(want.abs().max())
    assert float((got[inner] - want[inner]).abs().max()) < 1e-6 * scale
    # and it would not be so without
    assert float((got - want).abs().max()) > 1e-5 * scale  # the rim
    swapped = source.features[: 2 if file_has_norm else 1](PREPARED[given](photo(kind)[..., ::-1]))
    assert float((got[inner] - swapped[inner]).abs().max()) > 0.1 * scale


@torch.no_grad()
@pytest.mark.parametrize(("given", "wanted"), BOTH_WAYS)
def test_the_rim_differs_by_less_than_a_grey_level_of_padding(given: str, wanted: str) -> None:
    block = first(ours())
    block.conv.bias.normal_()  # type: ignore[union-attr]
    old = copy.deepcopy(block)
    convert_first_layer(block, given=InputSpec.named(given), wanted=InputSpec.named(wanted))
    x = photo("random")
    difference = (block.conv(PREPARED[wanted](x)) - old.conv(PREPARED[given](x))).abs()
    colour = other_mean(given).abs()
    grey_levels = colour * (torch.tensor(STD * 255).float() if given == "imagenet" else 1)
    assert float(grey_levels.max()) < 1
    bound = torch.einsum("ocij,c->oij", old.conv.weight.abs(), colour)
    top, left = bound[:, 0].sum(1), bound[:, :, 0].sum(1)
    corner = top + left - bound[:, 0, 0]
    slack = 1 + 1e-4
    assert bool((difference[0, :, 0, 1:-1] <= slack * top[:, None] + 1e-5).all())
    assert bool((difference[0, :, 1:-1, 0] <= slack * left[:, None] + 1e-5).all())
    assert bool((difference[0, :, 0, 0] <= slack * corner + 1e-5).all())
    assert float(difference[..., 0, :].max()) > 1e-3


def lively(name: str, **options: Any) -> Network:
    """A network whose scores depend on its input, with norms away from their start."""
    torch.manual_seed(3)
    model = ours(name, **options)
    for module in model.modules():
        if isinstance(module, ScoreLayer):
            nn.init.normal_(module.weight, std=0.1)
        elif isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.normal_(module.bias, std=0.1)
    return model.eval()


NETWORKS: list[tuple[str, dict[str, Any]]] = [
    ("fcn8s", {"upsampling": "learned"}),
    ("fcn8s", {"geometry": "caffe"}),
    ("fcn32s", {"batch_norm": True}),
    ("conv-vgg-bilinear", {"resize": "scale_factor"}),
    ("deconvnet", {"decoder_init": "he"}),
    ("deconvnet", {"decoder_init": "he", "batch_norm": False}),
    ("segnet", {"fc_width": None}),
    ("unet", {"batch_norm": True, "fc_width": None}),
]


@torch.no_grad()
@pytest.mark.parametrize(("given", "wanted"), BOTH_WAYS)
@pytest.mark.parametrize("kind", ["red", "random", "other"])
@pytest.mark.parametrize(
    ("name", "options"), NETWORKS, ids=lambda v: v if isinstance(v, str) else "-".join(v)
)
def test_the_whole_network_scores_as_before(
    name: str, options: dict[str, Any], kind: str, given: str, wanted: str, tmp_path: Path
) -> None:
    """From a model folder. The old network sees the new mean colour around its photo."""
    old = lively_of(name, options)
    save_model(tmp_path / "m", old, labels=Labels.of("ab"), input_spec=InputSpec.named(given))
    new = lively_of(name, options).apply(forget).eval()
    initialise(new, str(tmp_path / "m"), input_spec=InputSpec.named(wanted))
    height, width = photo(kind).shape[:2]
    got = new(PREPARED[wanted](photo(kind)))

    conv = first(old).conv
    pad = int(conv.padding[0])
    around = other_mean(given).view(1, 3, 1, 1)
    # zero around what is left without the colour, the colour everywhere again
    x = F.pad(PREPARED[given](photo(kind)) - around, (pad, pad, pad, pad)) + around
    conv.padding = (0, 0)
    if name in ("fcn8s", "fcn32s", "conv-vgg-bilinear"):
        want = old(x)[..., :height, :width]  # their maps start at the first pixel
    else:
        want = old(x)
    assert got.shape == want.shape
    assert float((got - want).abs().max()) < 2e-4 * float(want.max() - want.min())


@torch.no_grad()
@pytest.mark.parametrize("geometry", ["same", "caffe"])
def test_the_colour_of_the_padding_hardly_moves_the_scores(geometry: str) -> None:
    """With zeros around both, as networks have it; at most 1 % of the scores' range."""
    old = lively("fcn8s", geometry=geometry)
    new = copy.deepcopy(old)
    convert_first_layer(
        first(new), given=InputSpec.named("imagenet"), wanted=InputSpec.named("caffe")
    )
    x = photo("random", 150, 200)
    want, got = old(as_imagenet(x)), new(as_caffe(x))
    difference = float((got - want).abs().max()) / float(want.max() - want.min())
    assert 1e-6 < difference < 0.01


def lively_of(name: str, options: dict[str, Any]) -> Network:
    if options.get("fc_width", FC) is None:
        options = {key: value for key, value in options.items() if key != "fc_width"}
        torch.manual_seed(3)
        model = create_model(name, num_classes=2, channels=CHANNELS, **options)
        return model.eval()
    return lively(name, **options)


def forget(module: nn.Module) -> None:
    for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
        tensor.data.zero_()


@torch.no_grad()
@pytest.mark.parametrize("bias", [False, True])
def test_training_mode_too(bias: bool) -> None:
    torch.manual_seed(0)
    block = ConvBlock(3, 5, padding=0, batch_norm=True, bias=bias).train()
    old = copy.deepcopy(block)
    convert_first_layer(block, given=InputSpec.named("imagenet"), wanted=InputSpec.named("caffe"))
    x = photo("random")
    torch.testing.assert_close(block(as_caffe(x)), old(as_imagenet(x)), rtol=1e-4, atol=1e-5)
    # and the running statistics go on from where they were
    torch.testing.assert_close(
        block.eval()(as_caffe(x)), old.eval()(as_imagenet(x)), rtol=1e-4, atol=1e-5
    )


@torch.no_grad()
def test_there_and_back_again() -> None:
    block = first(ours())
    old = copy.deepcopy(block.state_dict())
    specs = InputSpec.named("imagenet"), InputSpec("bgr", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    convert_first_layer(block, given=specs[0], wanted=specs[1])
    assert not torch.allclose(block.conv.weight, old["conv.weight"])
    convert_first_layer(block, given=specs[1], wanted=specs[0])
    for key, value in block.state_dict().items():
        torch.testing.assert_close(value, old[key], rtol=1e-5, atol=1e-6)


def test_it_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="upscore.models.pretrained")
    path = tmp_path / "vgg.pth"
    torch.save(theirs(batch_norm=False).state_dict(), path)
    initialise(ours(), str(path), input_spec=InputSpec.named("imagenet"))
    assert not caplog.records
    initialise(ours(), str(path), input_spec=InputSpec.named("caffe"))
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: its weights need photos as imagenet, this network gets them as caffe; the "
        "first layer was converted"
    ]
    initialise(ours(), str(path), input_spec=InputSpec("rgb", (0.0, 0.0, 0.0), (255.0, 1.0, 1.0)))
    assert "gets them as rgb, mean 0, 0, 0, std 255, 1, 1;" in caplog.records[-1].getMessage()


def test_a_layer_that_cannot_take_the_shift() -> None:
    block = ConvBlock(3, 4)
    block.conv.bias = None
    with pytest.raises(RunError, match="neither a bias nor a batch norm"):
        convert_first_layer(
            block, given=InputSpec.named("imagenet"), wanted=InputSpec.named("caffe")
        )


def test_photos_of_other_channels_than_three(tmp_path: Path) -> None:
    four = InputSpec("rgb", (0.0,) * 4, (1.0,) * 4)
    model = ours(in_channels=4)
    save_model(tmp_path, model, labels=Labels.of("ab"), input_spec=four)
    initialise(ours(in_channels=4), str(tmp_path), input_spec=four)
    with pytest.raises(RunError, match=rf"{tmp_path}: the first layer takes 4 channels"):
        initialise(ours(in_channels=4), str(tmp_path), input_spec=InputSpec.named("caffe"))


def test_only_files_are_given_an_input(tmp_path: Path) -> None:
    spec = InputSpec.named("caffe")
    save_model(tmp_path, ours(), labels=Labels.of("ab"), input_spec=spec)
    for weights in ("vgg16", str(tmp_path)):
        with pytest.raises(SettingsError, match=r"init\.input is 'caffe', but init\.weights is"):
            initialise(ours(), weights, input_spec=spec, file_input="caffe")
