"""FCN-8s of CVPR 2015: learned between the skips, fixed at the end."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from upscore.models.base import count_parameters
from upscore.models.factory import create_model
from upscore.models.layers import BilinearUpsample


def test_what_is_learned() -> None:
    with torch.device("meta"):
        model = create_model("fcn8s-cvpr", num_classes=21, geometry="caffe")
    upsampling = {key: tuple(p.shape) for key, p in model.named_parameters() if "upsample" in key}
    assert upsampling == {
        "upsample.pool4.weight": (21, 21, 4, 4), "upsample.pool3.weight": (21, 21, 4, 4),
    }  # fmt: skip
    # fcn8s without upsampling layers, and the two of 4x4 between all classes (fcn-reference.md)
    assert count_parameters(model) == 134_362_751 + 2 * 7056


@torch.no_grad()
@pytest.mark.parametrize("geometry", ["same", "caffe"])
def test_it_begins_as_fcn8s(geometry: str) -> None:
    settings = {"num_classes": 3, "width": 1 / 16, "geometry": geometry, "score_init": "normal"}
    old, new = (create_model(n, **settings).eval() for n in ("fcn8s", "fcn8s-cvpr"))  # type: ignore[arg-type]
    assert new.load_state_dict(old.state_dict(), strict=False).missing_keys == [
        "upsample.pool4.weight", "upsample.pool3.weight",
    ]  # fmt: skip
    x = torch.randn(1, 3, 70, 41)
    torch.testing.assert_close(new(x), old(x), rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_the_releases_bias_of_score2_is_one_of_score_pool4() -> None:
    """Both are added to the same map, so that none is needed after the upsampling."""
    model = create_model(
        "fcn8s-cvpr", num_classes=3, width=1 / 16, geometry="caffe", score_init="normal"
    ).eval()
    x, bias = torch.randn(1, 3, 50, 61), torch.tensor([0.3, -0.2, 0.7])
    score2 = model.get_submodule("upsample.pool4")
    assert isinstance(score2, BilinearUpsample)
    handle = score2.register_forward_hook(lambda _m, _a, out: out + bias[:, None, None])
    want = model(x)
    handle.remove()
    assert not torch.allclose(model(x), want)
    score_pool4 = model.get_submodule("scores.pool4")
    assert isinstance(score_pool4, nn.Conv2d)
    assert score_pool4.bias is not None
    score_pool4.bias += bias
    torch.testing.assert_close(model(x), want)
