"""The table of networks and its refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from upscore.errors import SettingsError
from upscore.models.base import count_parameters
from upscore.models.factory import MODELS, create_model, model_options
from upscore.models.vgg import VGG16

DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.mark.parametrize("name", MODELS)
def test_options_rebuild_the_network(name: str) -> None:
    with torch.device("meta"):
        model = create_model(name, num_classes=4, in_channels=1, channels=(4, 4, 8, 8, 8))
        options = json.loads(json.dumps(model.options))
        again = create_model(model.architecture, **options)
    assert again.options == model.options == options
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in model.state_dict().items()
    }


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fcn9s", {}, "no network 'fcn9s', did you mean fcn"),
        ("transformer", {}, "there are conv-vgg-bilinear, fcn32s, fcn16s, fcn8s"),
        ("fcn8s", {"widht": 0.5}, "no option 'widht', did you mean width? allowed: at_once, "),
        ("fcn8s", {"zzz": 1}, "no option 'zzz'; allowed: at_once, batch_norm"),
        ("conv-vgg-bilinear", {"geometry": "caffe"}, "no option 'geometry'"),
        ("fcn8s", {"num_classes": 0}, "num_classes is 0; want a whole number from 1 to 255"),
        ("fcn8s", {"num_classes": 256}, "num_classes is 256; want a whole number from 1 to 255"),
        ("fcn8s", {"num_classes": 2.0}, "num_classes is 2.0; want a whole number"),
        ("fcn8s", {"num_classes": True}, "num_classes is True; want a whole number"),
        ("fcn8s", {"in_channels": 0}, "in_channels is 0; want a whole number of at least 1"),
        ("fcn8s", {"width": 0}, "width is 0; want a number in (0, 16]"),
        ("fcn8s", {"width": -0.5}, "width is -0.5; want a number"),
        ("fcn8s", {"width": float("nan")}, "width is nan; want a number"),
        ("fcn8s", {"width": "half"}, "width is 'half'; want a number"),
        ("fcn8s", {"channels": [64, 128]}, "channels is [64, 128]; want five whole numbers"),
        ("fcn8s", {"channels": [64, 128, 0, 1, 1]}, "channels is 0; want a whole number"),
        ("fcn8s", {"channels": 64}, "channels is 64; want five whole numbers"),
        ("fcn8s", {"fc_width": 0}, "fc_width is 0; want a whole number of at least 1"),
        ("fcn8s", {"fc_kernel": 4}, "fc_kernel is 4; want an odd number"),
        ("fcn8s", {"fc_kernel": 0}, "fc_kernel is 0; want a whole number"),
        ("fcn8s", {"fc_kernel": 3, "geometry": "caffe"}, "the geometry caffe has crops for 7 only"),
        ("fcn8s", {"dropout": 1.0}, "dropout is 1.0; want a number in [0, 0.99]"),
        ("fcn8s", {"dropout": -0.1}, "dropout is -0.1; want a number in [0, 0.99]"),
        ("fcn8s", {"batch_norm": "yes"}, "batch_norm is 'yes'; want true or false"),
        ("fcn8s", {"geometry": "valid"}, "geometry is 'valid'; allowed: same, caffe"),
        ("fcn8s", {"upsampling": "nearest"}, "upsampling is 'nearest'; allowed: fixed, learned"),
        ("fcn8s", {"score_init": "he"}, "score_init is 'he'; allowed: zero, normal"),
        ("fcn8s", {"at_once": 1}, "at_once is 1; want true or false"),
        ("fcn16s", {"at_once": True}, "at_once is true for fcn16s; it is defined for fcn8s only"),
        ("conv-vgg-bilinear", {"score_init": 0}, "score_init is 0; allowed: zero, normal"),
    ],
)
def test_refusals(name: str, options: dict[str, object], message: str) -> None:
    with torch.device("meta"), pytest.raises(SettingsError) as caught:
        create_model(name, **{"num_classes": 2, **options})  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_model_options_lists_defaults() -> None:
    options = model_options("fcn8s")
    assert options["dropout"] == 0.5
    assert options["geometry"] == "same"
    assert "num_classes" not in options


def test_widths() -> None:
    with torch.device("meta"):
        assert VGG16(width=0.5).channels == (32, 64, 128, 256, 256)
        assert VGG16(width=0.5).fc_width == 2048
        assert VGG16(width=0.001).channels == (1, 1, 1, 1, 1)
        trunk = VGG16(channels=[8, 16, 24, 32, 40], fc_width=48)
    assert [trunk.num_features(f"pool{level}") for level in range(1, 6)] == [8, 16, 24, 32, 40]
    assert trunk.num_features("fc7") == 48


def test_only_the_features_asked_for_are_kept() -> None:
    trunk = VGG16(width=1 / 64)
    assert list(trunk(torch.ones(1, 3, 32, 32), ("pool3",))) == ["pool3"]
    assert list(trunk(torch.ones(1, 3, 32, 32))) == ["fc7"]


@pytest.mark.parametrize("name", MODELS)
def test_the_document_tells_the_truth(name: str) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    options = model_options(name)
    (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` | ")]
    for upsampling in ("fixed", "learned") if "upsampling" in options else ("fixed",):
        settings = {"upsampling": upsampling} if "upsampling" in options else {}
        with torch.device("meta"):
            model = create_model(name, num_classes=21, **settings)  # type: ignore[arg-type]
        assert f"{count_parameters(model):,}" in row
    for option in options:
        assert f"\n| `{option}` | " in text
