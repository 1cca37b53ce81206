"""What every network of the catalogue must do, by itself and in the variants listed here."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.known_options import known_options
from upscore.core.images import InputSpec
from upscore.core.labels import Labels
from upscore.models.base import Network
from upscore.models.checkpoint import load_model, save_model
from upscore.models.deconvolution import DeconvBlock, Im2colConvTranspose2d
from upscore.models.factory import MODELS, create_model
from upscore.models.layers import ScoreLayer
from upscore.models.unpooling import Switches, SwitchPool

Case = tuple[str, dict[str, object]]

VARIANTS: list[Case] = [
    ("conv-vgg-bilinear", {"resize": "size"}),
    ("conv-vgg-bilinear", {"batch_norm": True, "score_init": "normal"}),
    ("fcn32s", {"upsampling": "learned"}),
    ("fcn16s", {"geometry": "caffe", "upsampling": "learned"}),
    ("fcn8s", {"batch_norm": True}),
    ("fcn8s", {"at_once": True}),
    ("fcn8s", {"geometry": "caffe"}),
    ("fcn8s", {"geometry": "caffe", "batch_norm": True, "upsampling": "learned"}),
    ("fcn4s", {"batch_norm": True, "channels": [4, 5, 6, 7, 8], "fc_width": 9}),
    ("fcn2s", {"batch_norm": True, "fc_kernel": 3, "dropout": 0.1}),
    ("deconvnet", {"batch_norm": False, "decoder_init": "he"}),
    ("deconvnet", {"channels": [4, 5, 6, 7, 8], "fc_width": 9, "fc_kernel": 3}),
    ("segnet", {"batch_norm": False}),
    ("unet", {"batch_norm": True, "upsampling": "learned"}),
    ("fcn8s-cvpr", {"geometry": "caffe", "batch_norm": True}),
    ("hypercolumn", {"batch_norm": True, "layers": ["fc7", "conv1_2", "pool3"]}),
    ("deeplab-largefov", {"batch_norm": True, "msc": True}),
    ("deeplab-largefov", {"fc_kernel": 4, "fc_dilation": 4, "fc_width": 9}),
    ("conv-vgg-bilinear", {"backbone": "lite0"}),
    ("fcn8s", {"backbone": "lite0"}),
    ("fcn2s", {"backbone": "lite0", "upsampling": "learned"}),
    ("fpn", {"backbone": "lite0"}),
    ("fpn", {"backbone": "lite0", "finest": 2, "pyramid": 8}),
    ("unet", {"backbone": "lite0", "batch_norm": True}),
    ("hypercolumn", {"backbone": "lite0"}),
]


CASES = [*((name, {}) for name in MODELS), *VARIANTS]

BUILT: dict[str, Network] = {}
"""Networks by their options: random numbers for all weights take longer than most tests."""


def build(name: str, options: dict[str, object]) -> Network:
    """A network of 1/16 width with scores and deconvolutions that do not silence half of it."""
    key = f"{name} {options}"
    if key not in BUILT:
        BUILT[key] = draw(name, options)
    return copy.deepcopy(BUILT[key])


def draw(name: str, options: dict[str, object], **more: int) -> Network:
    torch.manual_seed(0)
    narrow = {} if "backbone" in options else known_options(name, width=1 / 16)
    settings = {"num_classes": 5, **narrow, **options, **more}
    model = create_model(name, **settings)  # type: ignore[arg-type]
    for module in model.modules():
        if isinstance(module, ScoreLayer):
            nn.init.normal_(module.weight, std=module.in_channels**-0.5)
        elif isinstance(module, DeconvBlock):  # of DeconvNet: their norms are not trained here
            dense = not isinstance(module.deconv, Im2colConvTranspose2d)
            seen = module.deconv.in_channels * (9 if dense else 1)
            nn.init.normal_(module.deconv.weight, std=(2 / seen) ** 0.5)
    return model


def images(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def name_of(case: Case) -> str:
    return "-".join([case[0], *map(str, case[1])])


@pytest.fixture(params=CASES, ids=name_of)
def case(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    return request.param  # type: ignore[no-any-return]


@torch.no_grad()
def test_scores_have_the_size_of_the_input(case: Case) -> None:
    model = build(*case).eval()
    for size in ((1, 1), (1, 45), (32, 64), (33, 31), (57, 70)):
        scores = model(images(2, 3, *size))
        assert scores.shape == (2, 5, *size)
        assert scores.dtype == torch.float32
        assert torch.isfinite(scores).all(), size


@torch.no_grad()
def test_a_batch_is_its_images_one_by_one(case: Case) -> None:
    model = build(*case).eval()
    batch = images(2, 3, 41, 50)
    apart = torch.cat([model(batch[:1]), model(batch[1:])])
    torch.testing.assert_close(model(batch), apart, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("channels", "classes"), [(1, 1), (4, 2), (1, 255)])
def test_other_class_counts_and_channels(case: Case, channels: int, classes: int) -> None:
    name, options = case
    if options.get("upsampling") == "learned" and classes == 255:
        classes = 30  # 255 x 255 learned kernels are right, but slow
    model = draw(name, options, num_classes=classes, in_channels=channels)
    assert model.eval()(images(1, channels, 20, 33)).shape == (1, classes, 20, 33)


def test_gradients_reach_every_parameter(case: Case) -> None:
    model = build(*case).train()
    (model(images(2, 3, 70, 90)) * images(2, 5, 70, 90)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        layer, _, kind = name.rpartition(".")
        block = model.get_submodule(layer.rpartition(".")[0])
        normed = isinstance(getattr(block, "norm", None), nn.BatchNorm2d)
        if normed and kind == "bias" and not layer.endswith(".norm"):
            continue  # the norm subtracts this bias: its gradient is 0 up to rounding
        assert parameter.grad.abs().sum() > 0, name


def test_zero_score_layers_learn_first_and_the_backbone_after_them() -> None:
    model = create_model("fcn8s", num_classes=5, width=1 / 16, batch_norm=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = []
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images(2, 3, 64, 64)), torch.ones(2, 64, 64).long())\
            .backward()  # fmt: skip
        grads = {key: p.grad for key, p in model.named_parameters()}
        seen.append({key: bool((g is not None) and (g != 0).any()) for key, g in grads.items()})
        optimizer.step()
    assert {key for key, alive in seen[0].items() if alive} == {
        key for key in seen[0] if key.startswith("scores.")
    }
    assert all(seen[1].values())


@torch.no_grad()
def test_saved_and_loaded_to_the_bit(case: Case, tmp_path: Path) -> None:
    model = build(*case).to(memory_format=torch.channels_last)
    model.train()(images(2, 3, 40, 40))  # moves the running statistics
    labels, spec = Labels.of(list("abcde")), InputSpec.named("caffe")
    save_model(tmp_path / "model", model, labels=labels, input_spec=spec)
    saved = load_model(tmp_path / "model")
    assert (saved.labels, saved.input_spec) == (labels, spec)
    assert not saved.model.training
    assert saved.model.options == model.options
    assert saved.model.architecture == model.architecture == case[0]
    state = saved.model.state_dict()
    assert state.keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key]), key
        assert value.dtype == state[key].dtype
    x = images(1, 3, 40, 51)
    twin = create_model(model.architecture, **model.options)
    twin.load_state_dict(model.state_dict())
    # a product of one row rounds by where its weights happen to lie in memory
    torch.testing.assert_close(twin.eval()(x), saved.model(x), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_eval_is_deterministic(case: Case) -> None:
    model, x = build(*case).eval(), images(1, 3, 40, 51)
    assert torch.equal(model(x), model(x))


@torch.no_grad()
def test_bf16_is_close_to_fp32(case: Case) -> None:
    """Where values nearly tie, rounding moves switches: fp32 is given those of the other."""
    model, x = build(*case).eval(), images(2, 3, 65, 50)
    exact = copy.deepcopy(model)
    switches = record_switches(model)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(x).float()
    plain = with_switches(exact, switches)(x)
    assert (mixed - plain).abs().mean() < 0.02 * plain.std()
    switches.clear()
    half = model.to(torch.bfloat16)(x.to(torch.bfloat16)).float()
    plain = with_switches(exact, switches)(x)
    assert (half - plain).abs().mean() < 0.02 * plain.std()


def record_switches(model: nn.Module) -> list[Switches]:
    """A list that is filled in each pass, in the order of the pools."""
    found: list[Switches] = []
    for module in model.modules():
        if isinstance(module, SwitchPool):
            module.register_forward_hook(lambda _module, _args, output: found.append(output[1]))
    return found


def with_switches(model: nn.Module, switches: list[Switches]) -> nn.Module:
    """A copy whose pools take the elements that ``switches`` name."""
    model = copy.deepcopy(model)
    left = list(switches)

    def pool(_module: nn.Module, args: tuple[Tensor], _output: object) -> tuple[Tensor, Switches]:
        given = left.pop(0)
        flat = given.positions.flatten(2)
        return args[0].flatten(2).gather(2, flat).view_as(given.positions), given

    for module in model.modules():
        if isinstance(module, SwitchPool):
            module.register_forward_hook(pool)
    return model


@torch.no_grad()
def test_channels_last_gives_the_same_scores(case: Case) -> None:
    model, x = build(*case).eval(), images(2, 3, 65, 50)
    plain = model(x)
    x = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        model.to(memory_format=torch.channels_last)(x), plain, rtol=1e-3, atol=1e-4
    )


# tracing Lite0 takes seconds: two networks on it stand for the others
@torch.no_grad()
@pytest.mark.parametrize(
    "case", [c for c in CASES if "backbone" not in c[1] or c[0] in ("fpn", "unet")], ids=name_of
)
def test_exports(case: Case) -> None:
    model, x = build(*case).eval(), images(1, 3, 45, 64)
    program = torch.export.export(model, (x,))
    torch.testing.assert_close(program.module()(x), model(x), rtol=1e-5, atol=1e-6)
