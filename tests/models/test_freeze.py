"""Frozen layers of a backbone: no gradients, fixed norms, everything after them as before."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from upscore.errors import SettingsError
from upscore.models.base import Network
from upscore.models.factory import create_model

NARROW: dict[str, Any] = {"width": 0.0625, "batch_norm": True}
CASES = [
    ("fpn", {"backbone": "lite0"}, "s4"),
    ("fpn", {"backbone": "lite0"}, "all"),
    ("unet", NARROW, "pool2"),
    ("fcn8s", {**NARROW, "fc_width": 8}, "pool3"),
    ("fcn8s", {**NARROW, "fc_width": 8}, "fc7"),
    ("segnet", NARROW, "pool1"),
    ("deconvnet", {"width": 0.0625}, "pool4"),
]


def make(name: str, options: dict[str, Any]) -> Network:
    torch.manual_seed(0)
    return create_model(name, num_classes=3, **options)


@pytest.mark.parametrize(("name", "options", "until"), CASES)
def test_exactly_what_the_stage_depends_on_is_frozen(
    name: str, options: dict[str, Any], until: str
) -> None:
    """By gradients of the stage's output, which is another definition than a list of layers."""
    model = make(name, options)
    backbone = model.backbone
    if until == "all":
        want = {key for key, _ in backbone.named_parameters()}
    else:
        found = backbone(torch.rand(2, 3, 64, 64), [until])[until]
        parameters = dict(backbone.named_parameters())
        gradients = torch.autograd.grad(found.sum(), list(parameters.values()), allow_unused=True)
        want = {key for key, one in zip(parameters, gradients, strict=True) if one is not None}
    backbone.freeze(until)
    assert {key for key, p in backbone.named_parameters() if not p.requires_grad} == want
    outside = [p for key, p in model.named_parameters() if not key.startswith("trunk.")]
    assert all(p.requires_grad for p in outside)


@pytest.mark.parametrize(("name", "options", "until"), CASES)
def test_a_step_leaves_frozen_layers_and_their_statistics(
    name: str, options: dict[str, Any], until: str
) -> None:
    model = make(name, options)
    model.backbone.freeze(until)
    model = copy.deepcopy(model)  # as the moving average of weights is
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    (model(torch.rand(2, 3, 64, 64)) - 1).square().mean().backward()
    optimizer.step()
    changed = {key for key, value in model.state_dict().items() if not value.equal(before[key])}
    frozen = {key for key, p in model.named_parameters() if not p.requires_grad}
    inside = tuple(
        f"{path}." for path, module in model.named_modules() if module in model.backbone.frozen
    )
    assert frozen
    assert not [key for key in changed if key in frozen or key.startswith(inside)]
    norms = {key for key in before if key.endswith("running_mean") and not key.startswith(inside)}
    assert norms <= changed  # the others follow the photos
    assert changed


def test_the_default_and_the_end_of_training_mode() -> None:
    model = make("fpn", {"backbone": "lite0"})
    assert all(module.training for module in model.modules())
    model.backbone.freeze("s8")
    norms = [m for m in model.backbone.stem.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(norm.training for norm in norms)
    model.eval()
    model.train()
    assert not any(norm.training for norm in norms)
    assert model.score.training


def test_no_such_stage() -> None:
    with pytest.raises(
        SettingsError, match=r"no stage 's33'; did you mean 's\d+'\? There are s2, .*, all"
    ):
        make("fpn", {"backbone": "lite0"}).backbone.freeze("s33")
    with pytest.raises(SettingsError, match="no stage 'pool6'; did you mean 'pool5'"):
        make("unet", NARROW).backbone.freeze("pool6")
