"""Hypercolumns: summed score maps are one classifier of the concatenated features."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from upscore.models.factory import create_model
from upscore.models.hypercolumn import Hypercolumn
from upscore.models.layers import ScoreLayer, resize_bilinear
from upscore.models.pretrained import start_from


def tiny(**options: object) -> Hypercolumn:
    torch.manual_seed(0)
    settings = {"num_classes": 3, "score_init": "he", **options}
    if "backbone" not in settings:
        settings["width"] = 1 / 16
    model = create_model("hypercolumn", **settings).eval()  # type: ignore[arg-type]
    assert isinstance(model, Hypercolumn)
    return model


def enlarged(x: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    """Interpolation by weights: element i in the middle of its pixels, the rim repeated."""
    tents = []
    for side, wanted in zip(x.shape[2:], size, strict=True):
        at = ((torch.arange(wanted, dtype=x.dtype) + 0.5) / stride - 0.5).clamp(0, side - 1)
        tents.append((1 - (at[:, None] - torch.arange(side)).abs()).clamp(min=0))
    return torch.einsum("yi,xj,ncij->ncyx", *tents, x)


def test_the_layers() -> None:
    assert [layer.name for layer in tiny().layers] == ["pool2", "conv4_3", "fc7"]
    assert [layer.name for layer in tiny(backbone="lite0").layers] == ["s4", "s8", "s32"]
    own = tiny(layers=["fc7", "conv1_2", "pool4"])
    assert [(layer.name, layer.stride) for layer in own.layers] == [
        ("conv1_2", 1), ("pool4", 16), ("fc7", 32),
    ]  # fmt: skip
    with torch.device("meta"):
        paper = create_model("hypercolumn", num_classes=21)
    assert isinstance(paper, Hypercolumn)
    assert sum(layer.channels for layer in paper.layers) == 4736


@torch.no_grad()
@pytest.mark.parametrize("size", [(33, 47), (64, 32), (1, 5)])
@pytest.mark.parametrize("layers", [None, ["fc7"], ["conv1_2", "pool3", "conv5_3", "fc7"]])
def test_one_classifier_of_the_concatenated_features(
    layers: list[str] | None, size: tuple[int, int]
) -> None:
    model = tiny(layers=layers).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    features = model.backbone(x, [layer.name for layer in model.layers])
    columns = [enlarged(features[layer.name], layer.stride, size) for layer in model.layers]
    scores = [model.scores[layer.name] for layer in model.layers]
    weight = torch.cat([score.weight for score in scores if isinstance(score, ScoreLayer)], dim=1)
    bias = torch.stack([s.bias for s in scores if isinstance(s, ScoreLayer) and s.bias is not None])
    bias.normal_()
    for score, one in zip(scores, bias, strict=True):
        assert isinstance(score, ScoreLayer)
        assert score.bias is not None
        score.bias.copy_(one)
    want = F.conv2d(torch.cat(columns, dim=1), weight, bias.sum(0))
    torch.testing.assert_close(model(x), want)


@torch.no_grad()
def test_features_of_lite0_are_enlarged_from_where_they_lie() -> None:
    model = tiny(backbone="lite0").double()
    x = torch.randn(1, 3, 45, 64, dtype=torch.float64)
    features = model.backbone(x, ("s4", "s8", "s32"))
    want = sum(
        F.conv2d(
            resize_bilinear(features[name], stride, like=x, corner=True),
            score.weight,
            score.bias,
        )
        for name, stride, score in (
            (f"s{stride}", stride, model.scores[f"s{stride}"]) for stride in (4, 8, 32)
        )
        if isinstance(score, ScoreLayer)
    )
    torch.testing.assert_close(model(x), want)


class Channels(TorchDispatchMode):
    """Notes the largest number of channels of the maps of a size."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size, self.most = size, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.ndim == 4 and tuple(out.shape[2:]) == self.size:
            self.most = max(self.most, out.shape[1])
        return out


@torch.no_grad()
def test_no_feature_is_enlarged_to_the_size_of_the_photo() -> None:
    model = tiny(channels=[5, 8, 8, 16, 16], fc_width=64)
    with Channels((64, 96)) as seen:
        model(torch.randn(1, 3, 64, 96))
    assert seen.most == 5  # conv1's; of the others the three scores


@torch.no_grad()
def test_it_begins_with_the_scores_of_an_fcn32s() -> None:
    coarse = create_model("fcn32s", num_classes=3, width=1 / 16, score_init="normal").eval()
    model = tiny()
    start_from(model, coarse.state_dict(), source="test")
    x = torch.randn(1, 3, 50, 33)
    torch.testing.assert_close(model(x), coarse(x))
