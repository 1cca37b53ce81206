"""RGB weights in networks for photos of other channels."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models.torchvision_vgg import theirs
from upscore.core.images import INPUT_SPECS, InputSpec
from upscore.core.labels import Labels
from upscore.errors import RunError
from upscore.models.base import Network
from upscore.models.checkpoint import save_model
from upscore.models.factory import create_model
from upscore.models.pretrained import initialise

NAMES = ("lite0", "imagenet", "caffe")


def network(weights: str, channels: int) -> Network:
    options = {"backbone": "lite0"} if weights == "lite0" else {"width": 0.0625, "fc_width": 8}
    name = "fpn" if weights == "lite0" else "fcn8s"
    return create_model(name, num_classes=3, in_channels=channels, **options)


@pytest.fixture
def weights(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "lite0":
        return "lite0"
    torch.save(theirs(batch_norm=False).state_dict(), tmp_path / "vgg.pth")
    return str(tmp_path / "vgg.pth")


def response(model: Network, x: Tensor) -> Tensor:
    """Of the first convolution and norm, without the border, whose padding has another colour."""
    model.eval()
    return model.backbone.first_block(x)[..., 2:-2, 2:-2]


@torch.no_grad()
@pytest.mark.parametrize("weights", ["lite0", "vgg"], indirect=True)
@pytest.mark.parametrize("name", NAMES)
def test_a_grey_photo_gives_the_response_of_its_rgb_copy(weights: str, name: str) -> None:
    spec = INPUT_SPECS[name]
    rgb, grey = network(weights, 3), network(weights, 1)
    initialise(rgb, weights, input_spec=spec)
    initialise(grey, weights, input_spec=spec.grey())
    photo = torch.randint(0, 256, (1, 1, 40, 48), dtype=torch.uint8).expand(-1, 3, -1, -1)
    x = spec.grey().apply(photo)
    assert x.shape == (1, 1, 40, 48)
    want = response(rgb, spec.apply(photo))
    torch.testing.assert_close(response(grey, x), want, rtol=1e-4, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("weights", ["lite0", "vgg"], indirect=True)
def test_more_channels_start_at_zero(weights: str, caplog: pytest.LogCaptureFixture) -> None:
    spec = INPUT_SPECS["lite0" if weights == "lite0" else "imagenet"]
    rgb, five = network(weights, 3), network(weights, 5)
    initialise(rgb, weights, input_spec=spec)
    with caplog.at_level(logging.INFO, logger="upscore"):
        initialise(five, weights, input_spec=spec)
    assert "this network takes 5 channels; the first layer was adapted (its channels" in caplog.text
    ours, theirs = (model.backbone.first_block.conv.weight for model in (five, rgb))
    assert ours.shape[1] == five.backbone.first_block.conv.in_channels == 5
    assert torch.equal(ours[:, :3], theirs)
    assert not ours[:, 3:].any()
    x = torch.randn(1, 5, 40, 48)
    torch.testing.assert_close(response(five, x), response(rgb, x[:, :3]), rtol=1e-5, atol=1e-5)
    assert ours.requires_grad
    assert any(parameter is ours for parameter in five.parameters())


@pytest.mark.parametrize("weights", ["vgg"], indirect=True)
def test_two_channels_and_damaged_files(weights: str, caplog: pytest.LogCaptureFixture) -> None:
    two = network(weights, 2)
    with caplog.at_level(logging.INFO, logger="upscore"):
        initialise(two, weights, input_spec=INPUT_SPECS["imagenet"])
    assert "2 channels; the first layer was adapted (its first channel has the sum" in caplog.text
    kernels = torch.load(weights, weights_only=True)["features.0.weight"]
    ours = two.backbone.first_block.conv.weight
    torch.testing.assert_close(ours[:, 0], kernels.sum(1))
    assert not ours[:, 1].any()
    torch.save({"features.0.weight": kernels}, weights)
    other = network(weights, 4)
    before = other.backbone.first_block.conv.weight
    with pytest.raises(RunError, match=r"features\.0\.bias"):
        initialise(other, weights, input_spec=INPUT_SPECS["imagenet"])
    assert other.backbone.first_block.conv.weight is before
    assert before.shape[1] == 4


def test_networks_of_other_channels(tmp_path: Path) -> None:
    spec = INPUT_SPECS["lite0"]
    labels = Labels.of(["a", "b", "c"])
    save_model(tmp_path / "rgb", network("lite0", 3), labels=labels, input_spec=spec)
    save_model(tmp_path / "grey", network("lite0", 1), labels=labels, input_spec=spec.grey())
    with pytest.raises(
        RunError, match=r"rgb, whose network takes 3 channels, .* 1; set .*in_channels=3$"
    ):
        initialise(network("lite0", 1), str(tmp_path / "rgb"), input_spec=spec.grey())
    with pytest.raises(RunError, match=r"takes 1 channel, .* 3; set .*in_channels=1$"):
        initialise(network("lite0", 3), str(tmp_path / "grey"), input_spec=spec)
    initialise(network("lite0", 1), str(tmp_path / "grey"), input_spec=spec.grey())


def test_grey_is_pillows_and_keeps_grey_photos() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (1, 3, 7, 9), dtype=np.uint8)
    spec = InputSpec("rgb", (0.0,), (1.0,))
    got = spec.apply(torch.from_numpy(photo))[0, 0].numpy()
    want = np.asarray(Image.fromarray(photo[0].transpose(1, 2, 0)).convert("L"))
    np.testing.assert_array_equal(got, want)
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 1, 256).expand(1, 3, 1, 256)
    assert torch.equal(spec.apply(levels), levels[:, :1].float())
