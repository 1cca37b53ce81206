"""The table of networks and its refusals."""

from __future__ import annotations

import json

import pytest
import torch

from models.known_options import known_options
from upscore.errors import SettingsError
from upscore.models.factory import MODELS, create_model, model_options
from upscore.models.vgg import VGG16, VGGOptions


@pytest.mark.parametrize("name", MODELS)
def test_options_rebuild_the_network(name: str) -> None:
    small = known_options(name, channels=(4, 4, 8, 8, 8))
    with torch.device("meta"):
        model = create_model(name, num_classes=4, in_channels=1, **small)
        options = json.loads(json.dumps(model.options))
        again = create_model(model.architecture, **options)
    assert again.options == model.options == options
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in model.state_dict().items()
    }


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fcn9s", {}, "no network 'fcn9s'; did you mean 'fcn"),
        ("transformer", {}, "there are conv-vgg-bilinear, fcn32s, fcn16s, fcn8s"),
        ("fcn8s", {"widht": 0.5}, "network fcn8s: unknown setting 'widht'; did you mean 'width'? "),
        ("fcn8s", {"zzz": 1}, "unknown setting 'zzz'; there are width, channels, batch_norm"),
        ("conv-vgg-bilinear", {"geometry": "caffe"}, "unknown setting 'geometry'"),
        ("segnet", {"fc_width": 9}, "unknown setting 'fc_width'"),
        ("segnet", {"backbone": "vgg16"}, "unknown setting 'backbone'"),
        ("unet", {"fc_kernel": 3}, "unknown setting 'fc_kernel'"),
        ("deconvnet", {"dropout": 0.5}, "unknown setting 'dropout'"),
        ("fcn8s", {"backbone": "vgg61"}, "no backbone 'vgg61'; did you mean 'vgg16'?"),
        ("fcn8s", {"backbone": ["vgg16"]}, "no backbone ['vgg16']"),
        ("fcn8s", {"num_classes": 0}, "num_classes: input should be greater than or equal to 1"),
        ("fcn8s", {"num_classes": 256}, "less than or equal to 255 (found 256)"),
        ("fcn8s", {"num_classes": 2.0}, "num_classes: input should be a valid integer (found 2.0)"),
        ("fcn8s", {"num_classes": True}, "num_classes: input should be a valid integer"),
        ("fcn8s", {"in_channels": 0}, "in_channels: input should be greater than or equal to 1"),
        ("fcn8s", {"width": 0}, "width: input should be greater than 0 (found 0)"),
        ("fcn8s", {"width": -0.5}, "width: input should be greater than 0 (found -0.5)"),
        ("fcn8s", {"width": 16.5}, "width: input should be less than or equal to 16"),
        ("fcn8s", {"width": float("nan")}, "width: input should be a finite number (found nan)"),
        ("fcn8s", {"width": "half"}, "width: input should be a valid number (found 'half')"),
        ("fcn8s", {"channels": [64, 128]}, "channels: want five whole numbers, one for each stage"),
        ("fcn8s", {"channels": [64, 128, 0, 1, 1]}, "channels.2: input should be greater than or"),
        ("fcn8s", {"channels": [64, 128, 1.0, 1, 1]}, "channels.2: input should be a valid int"),
        ("fcn8s", {"channels": 64}, "such as 64, 128, 256, 512, 512 (found 64)"),
        ("fcn8s", {"fc_width": 0}, "fc_width: input should be greater than or equal to 1"),
        ("fcn8s", {"fc_kernel": 4}, "network fcn8s: fc_kernel is 4; want an odd number"),
        ("fcn8s", {"fc_kernel": 0}, "fc_kernel: input should be greater than or equal to 1"),
        ("fcn8s", {"fc_kernel": 3, "geometry": "caffe"}, "the geometry caffe has crops for 7 only"),
        ("fcn8s", {"dropout": 1.0}, "dropout: input should be less than or equal to 0.99"),
        ("fcn8s", {"dropout": -0.1}, "dropout: input should be greater than or equal to 0"),
        ("fcn8s", {"batch_norm": "yes"}, "batch_norm: input should be a valid boolean"),
        ("fcn8s", {"geometry": "valid"}, "geometry: input should be 'same' or 'caffe'"),
        (
            "fcn8s",
            {"upsampling": "nearest"},
            "upsampling: input should be 'fixed', 'learned' or 'i",
        ),
        ("fcn8s", {"score_init": "he"}, "score_init: input should be 'zero' or 'normal'"),
        ("fcn8s", {"at_once": 1}, "at_once: input should be a valid boolean (found 1)"),
        ("fcn16s", {"at_once": True}, "fcn16s: at_once is true; it is defined for fcn8s only"),
        ("conv-vgg-bilinear", {"score_init": 0}, "score_init: input should be 'zero' or 'normal'"),
        ("hypercolumn", {"layers": ["pool3", "fc8"]}, "layers: no layer 'fc8'; did you mean 'fc7'"),
        ("hypercolumn", {"layers": ["fc7", "fc7"]}, "layers is fc7, fc7; name each once"),
        ("hypercolumn", {"layers": ["pool5"]}, "layers is pool5; fc7 must be among them"),
        ("hypercolumn", {"layers": []}, "layers: "),
        ("deeplab-largefov", {"backbone": "lite0"}, "unknown setting 'backbone'"),
        ("deeplab-largefov", {"fc_dilation": 0}, "fc_dilation: input should be greater than or"),
        (
            "deeplab-largefov",
            {"fc_kernel": 4, "fc_dilation": 3},
            "fc_kernel is 4; want an odd number, or an even fc_dilation",
        ),
    ],
)
def test_refusals(name: str, options: dict[str, object], message: str) -> None:
    with torch.device("meta"), pytest.raises(SettingsError) as caught:
        create_model(name, **{"num_classes": 2, **options})  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_wrong_options_are_named_at_once() -> None:
    with torch.device("meta"), pytest.raises(SettingsError) as caught:
        create_model("fcn8s", num_classes=2, width=0, dropuot=0.1, geometry="valid")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all(line.startswith("network fcn8s: ") for line in lines)
    assert [key for key in ("width", "dropuot", "geometry") if key in str(caught.value)] == [
        "width", "dropuot", "geometry",
    ]  # fmt: skip


def test_model_options_lists_defaults() -> None:
    options = model_options("fcn8s")
    assert options["dropout"] == 0.5
    assert options["geometry"] == "same"
    assert "num_classes" not in options


def test_widths() -> None:
    with torch.device("meta"):
        assert VGG16(VGGOptions(width=0.5)).channels == (32, 64, 128, 256, 256)
        assert VGGOptions(width=0.5).fc_channels == 2048
        assert VGG16(VGGOptions(width=0.001)).channels == (1, 1, 1, 1, 1)
        backbone = VGG16(VGGOptions(channels=(8, 16, 24, 32, 40), fc_width=48))
    assert [stage.channels for stage in backbone.stages] == [8, 16, 24, 32, 40, 48]


def test_only_the_features_asked_for_are_kept() -> None:
    backbone = VGG16(VGGOptions(width=1 / 64))
    assert list(backbone(torch.ones(1, 3, 32, 32), ("pool3",))) == ["pool3"]
    assert list(backbone(torch.ones(1, 3, 32, 32))) == ["fc7"]
