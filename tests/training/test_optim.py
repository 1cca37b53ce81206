"""Schedules as functions of the used budget; parameter groups as the papers have them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from upscore.core.settings import build
from upscore.errors import SettingsError
from upscore.models.base import Network, NetworkOptions
from upscore.models.deconvolution import as_convolution
from upscore.models.factory import create_model
from upscore.models.layers import ScoreLayer
from upscore.training.muon import Muon, orthogonalize
from upscore.training.optim import make_optimizers, schedule_factor, set_learning_rate
from upscore.training.settings import OptimSettings, ScheduleSettings


class Small(Network):
    """Photo -> 6 channels -> 2 channels -> 2 classes."""

    def __init__(self) -> None:
        super().__init__(NetworkOptions(num_classes=2))
        self.first = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.hidden = nn.Conv2d(6, 2, 3)  # as many channels as classes: a layer like others
        self.score = ScoreLayer(2, 2, init="zero")


def test_schedules_begin_and_end_where_they_should() -> None:
    cosine = ScheduleSettings(name="cosine", warmup=0.1)
    assert schedule_factor(cosine, 0.05) == pytest.approx(0.5)
    assert schedule_factor(cosine, 0.1) == pytest.approx(1.0)
    assert schedule_factor(cosine, 0.55) == pytest.approx(0.5)
    assert schedule_factor(cosine, 1.0) < 1e-3
    assert schedule_factor(ScheduleSettings(name="poly", power=0.9), 0.5) == pytest.approx(0.5**0.9)
    assert schedule_factor(ScheduleSettings(), 0.7) == 1.0


def test_step_multiplies_at_each_fraction() -> None:
    # DeconvNet's stage 1: 0.1 after 9000 and 18000 of 20000
    step = ScheduleSettings(name="step", steps=(0.45, 0.9))
    factors = [schedule_factor(step, f) for f in (0.0, 0.449, 0.45, 0.89, 0.9, 1.0)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_plateau_counts_cuts() -> None:
    assert schedule_factor(ScheduleSettings(name="plateau"), 0.5, cuts=2) == pytest.approx(0.01)


@pytest.mark.parametrize("steps", [(), (0.9, 0.4)])
def test_step_wants_rising_steps(steps: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match="rising order"):
        build(ScheduleSettings, {"name": "step", "steps": list(steps)}, "recipe")


def test_factor_is_always_positive_and_finite() -> None:
    for name in ("constant", "poly", "cosine", "plateau"):
        settings = ScheduleSettings(name=name, warmup=0.02)  # type: ignore[arg-type]
        factors = [schedule_factor(settings, i / 1000) for i in range(1001)]
        assert all(0 < f <= 1 and math.isfinite(f) for f in factors)


def test_papers_groups_biases_learn_twice_and_do_not_decay() -> None:
    model = Small()
    settings = OptimSettings(name="sgd", lr=1e-3, weight_decay=5e-4, bias_lr=2.0)
    (optimizer,) = make_optimizers(model, settings)
    set_learning_rate([optimizer], 0.1)
    by_parameter = {p: g for g in optimizer.param_groups for p in g["params"]}
    assert by_parameter[model.first.weight]["weight_decay"] == 5e-4
    assert by_parameter[model.first.weight]["lr"] == pytest.approx(1e-4)
    assert by_parameter[model.first.bias]["lr"] == pytest.approx(2e-4)
    assert by_parameter[model.first.bias]["weight_decay"] == 0.0
    assert by_parameter[model.norm.weight]["weight_decay"] == 0.0
    assert by_parameter[model.norm.bias]["lr"] == pytest.approx(1e-4)
    assert len(by_parameter) == len(list(model.parameters()))


def test_report_groups_decay_everything() -> None:
    settings = OptimSettings(name="adam", weight_decay=1e-6, decay="all")
    (adam,) = make_optimizers(Small(), settings)
    assert {g["weight_decay"] for g in adam.param_groups} == {1e-6}


def test_caffes_groups_decay_weights_and_norms() -> None:
    model = Small()
    settings = OptimSettings(name="sgd", weight_decay=5e-4, decay="weights_and_norms")
    (optimizer,) = make_optimizers(model, settings)
    decays = {p: g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert decays[model.first.weight] == decays[model.norm.bias] == 5e-4
    assert decays[model.first.bias] == 0.0


def test_frozen_parameters_are_left_out() -> None:
    model = Small()
    model.first.requires_grad_(False)
    (optimizer,) = make_optimizers(model, OptimSettings())
    held = [p for g in optimizer.param_groups for p in g["params"]]
    assert all(p.requires_grad for p in held)
    assert len(held) == len(list(model.parameters())) - 2


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_the_backbone_has_a_rate_of_its_own(name: str) -> None:
    model = create_model("fcn8s", num_classes=2, width=1 / 32, batch_norm=True)
    settings = OptimSettings(name=name, lr=0.01, kernel_lr=0.02, bias_lr=2, backbone_rate=0.25)  # type: ignore[arg-type]
    plain = settings.model_copy(update={"backbone_rate": 1.0})

    def rates(settings: OptimSettings) -> dict[nn.Parameter, float]:
        optimizers = make_optimizers(model, settings)
        set_learning_rate(optimizers, 0.5)
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        found = {p: group["lr"] for group in groups for p in group["params"]}
        assert len(found) == sum(len(group["params"]) for group in groups)
        return found

    got, want = rates(settings), rates(plain)
    backbone = set(model.backbone.parameters())
    assert got.keys() == want.keys() == set(model.parameters())
    assert all(got[p] == want[p] * (0.25 if p in backbone else 1) for p in want)


def test_a_rate_for_a_backbone_that_is_not_there() -> None:
    model = create_model("patch-cnn", num_classes=2)
    with pytest.raises(SettingsError, match=r"backbone_rate is 0\.1, .*no backbone; leave it out"):
        make_optimizers(model, OptimSettings(backbone_rate=0.1))


@pytest.mark.parametrize(("name", "momentum"), [("sgd", 0.0), ("adamw", 0.9), ("muon", 0.9)])
def test_nesterov_where_there_is_no_such_momentum(name: str, momentum: float) -> None:
    content = {"name": name, "momentum": momentum, "nesterov": True}
    with pytest.raises(SettingsError, match=rf"nesterov is true with {name} and .*leave nesterov"):
        build(OptimSettings, content, "recipe")
    assert build(OptimSettings, {"name": "sgd", "nesterov": True}, "recipe").nesterov


def test_groups_without_a_rate_for_the_backbone_are_those_of_older_runs() -> None:
    model = create_model("fcn8s", num_classes=2, width=1 / 32, batch_norm=True)
    sizes = [len(o.param_groups) for o in make_optimizers(model, OptimSettings(name="muon"))]
    assert sizes == [1, 3]


def test_muon_where_nothing_hidden_learns() -> None:
    model = Small()
    model.hidden.requires_grad_(False)
    (adamw,) = make_optimizers(model, OptimSettings(name="muon"))
    assert isinstance(adamw, torch.optim.AdamW)


def test_muon_takes_hidden_kernels_and_adamw_the_rest() -> None:
    model = Small()
    muon, adamw = make_optimizers(model, OptimSettings(name="muon", lr=2e-3, kernel_lr=0.02))
    assert [p is model.hidden.weight for g in muon.param_groups for p in g["params"]] == [True]
    rest = {p for g in adamw.param_groups for p in g["params"]}
    assert rest == set(model.parameters()) - {model.hidden.weight}
    set_learning_rate([muon, adamw], 0.5)
    assert muon.param_groups[0]["lr"] == pytest.approx(0.01)
    assert {g["lr"] for g in adamw.param_groups} == {1e-3}


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (17, 17), (1, 9)])
def test_orthogonalize_keeps_directions_and_evens_out_their_lengths(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, values, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    ours = orthogonalize(matrix, steps=8).double()
    lengths = u.mT @ ours @ v.mT  # diagonal in the same singular bases
    diagonal = lengths.diagonal()
    assert (lengths - torch.diag(diagonal)).abs().max() < 1e-3
    assert diagonal.min() > 0.4
    assert diagonal.max() < 1.6
    assert values.max() / values.min() >= diagonal.max() / diagonal.min() or len(values) == 1


def test_muon_first_step_by_hand() -> None:
    weight = torch.nn.Parameter(torch.ones(4, 6, 1, 1))
    gradient = torch.randn(4, 6, 1, 1, generator=torch.Generator().manual_seed(1))
    weight.grad = gradient.clone()
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    direction = orthogonalize(gradient.reshape(4, 6)).view(4, 6, 1, 1)
    torch.testing.assert_close(weight.detach(), torch.full_like(weight, 0.95) - 0.1 * direction)


def test_muon_moves_a_deconvolution_as_the_convolution_that_it_is() -> None:
    torch.manual_seed(0)
    deconv = nn.Sequential(nn.ConvTranspose2d(6, 8, 3, padding=1), nn.Conv2d(8, 2, 1))
    conv = nn.Sequential(as_convolution(deconv[0]), nn.Conv2d(8, 2, 1))  # type: ignore[arg-type]
    conv[1].load_state_dict(deconv[1].state_dict())
    x = torch.randn(2, 6, 7, 9)
    for model in (deconv, conv):
        (hidden,) = [p for p in model[0].parameters() if p.ndim == 4]
        transposed = model is deconv
        muon = Muon([{"params": [hidden], "transposed": transposed}], lr=0.1, weight_decay=0.1)
        for _ in range(3):
            muon.zero_grad()
            model(x).square().mean().backward()
            muon.step()
    torch.testing.assert_close(conv(x), deconv(x), rtol=1e-4, atol=1e-5)
    assert not torch.equal(as_convolution(deconv[0]).weight, deconv[0].weight)  # type: ignore[arg-type]


def test_muon_is_told_of_deconvolutions() -> None:
    model = create_model("deconvnet", num_classes=3, width=1 / 8)
    muon, adamw = make_optimizers(model, OptimSettings(name="muon"))
    held = {p: g.get("transposed", False) for g in muon.param_groups for p in g["params"]}
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    hidden = [m for n, m in model.named_modules() if isinstance(m, kinds)][1:-1]
    assert held == {m.weight: isinstance(m, nn.ConvTranspose2d) for m in hidden}
    assert len(held) + sum(len(g["params"]) for g in adamw.param_groups) == len(
        list(model.parameters())
    )
    set_learning_rate([muon, adamw], 0.5)
    assert {g["lr"] for g in muon.param_groups} == {0.01}


def test_a_zero_gradient_moves_nothing() -> None:
    weight = torch.nn.Parameter(torch.ones(4, 6, 3, 3))
    weight.grad = torch.zeros_like(weight)
    Muon([weight], lr=0.1).step()
    assert torch.equal(weight.detach(), torch.ones_like(weight))
