"""Networks on another backbone than VGG16: a new one is a class and a row in a table.

``Strided`` resembles the backbones that are common today: its first features have stride 2, it has
depthwise convolutions, and its classifier layer has a name of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from upscore.core.images import InputSpec
from upscore.core.labels import Labels
from upscore.core.settings import Settings
from upscore.errors import RunError, SettingsError
from upscore.models import pretrained
from upscore.models.backbone import Backbone, Stage
from upscore.models.backbones import BACKBONES
from upscore.models.base import Network, NetworkOptions
from upscore.models.checkpoint import load_model, save_model
from upscore.models.factory import create_model, model_options
from upscore.models.fold import fold_batch_norm
from upscore.models.layers import ConvBlock, FoldableBlock, ScoreLayer
from upscore.models.pretrained import initialise, start_from
from upscore.models.weight_files import Downloaded
from upscore.training.optim import make_optimizers
from upscore.training.settings import OptimSettings

NETWORKS = ["conv-vgg-bilinear", "fcn32s", "fcn16s", "fcn8s", "fcn4s", "fcn2s", "unet"]


class StridedOptions(Settings):
    base: int = 8
    """Channels at stride 2."""


class Halving(FoldableBlock):
    """Depthwise convolution of stride 2 without norm, then a ConvBlock."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(before, before, 3, stride=2, padding=1, groups=before)
        self.block = ConvBlock(before, after, kernel=1, batch_norm=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(self.depthwise(x))
        return out

    def fold(self) -> None:
        """Nothing of its own: the block inside folds itself."""


class Strided(Backbone):
    feature_options = StridedOptions
    classifier_options = StridedOptions
    imagenet_files = {"strided": Downloaded("https://x.test/strided.pth", "sha256:")}  # noqa: RUF012

    def __init__(
        self,
        options: Settings,
        *,
        in_channels: int,
        classifier: bool,
        dropout: float,
        geometry: str,
    ) -> None:
        super().__init__()
        assert isinstance(options, StridedOptions)
        assert geometry == "same"
        self.entry = ConvBlock(in_channels, options.base, batch_norm=True)
        self.blocks = nn.ModuleDict()
        stages, before = [], options.base
        for stride in (2, 4, 8, 16, 32):
            after = options.base * (1 + stride // 4)
            self.blocks[f"s{stride}"] = Halving(before, after)
            stages.append(Stage(f"s{stride}", stride, after))
            before = after
        self.skips = tuple(stages)
        if classifier:
            self.blocks["top"] = ConvBlock(before, 40, kernel=1, batch_norm=True)
            stages.append(Stage("top", 32, 40))
        self.stages = tuple(stages)
        self.dropout = nn.Dropout(dropout)

    @property
    def first_block(self) -> ConvBlock:
        return self.entry

    def forward(self, images: Tensor, outputs: Sequence[str]) -> dict[str, Tensor]:
        found, x = {}, self.entry(images)
        for name, block in self.blocks.items():
            x = block(x)
            if name in outputs:
                found[name] = x
        return found

    def load_imagenet(self, state: Mapping[str, Tensor], *, source: str) -> None:
        wanted = self.state_dict()
        for key, value in wanted.items():
            if key not in state:
                raise RunError(f"{source}: no weights {key}")
            value.copy_(state[key])


@pytest.fixture(autouse=True)
def strided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "strided", Strided)


def make(name: str, **options: Any) -> Network:
    torch.manual_seed(0)
    settings = {"num_classes": 3, "backbone": "strided", "score_init": "normal", **options}
    return create_model(name, **settings)


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
def test_scores_have_the_size_of_the_image(name: str) -> None:
    model = make(name).eval()
    for size in ((1, 1), (1, 45), (33, 31), (64, 70)):
        scores = model(images(2, 3, *size))
        assert scores.shape == (2, 3, *size)
        assert torch.isfinite(scores).all(), size


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_every_parameter(name: str) -> None:
    model = make(name, dropout=0.0) if name != "unet" else make(name)
    model(images(2, 3, 70, 90)).square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
    assert all(p.grad.any() for p in model.backbone.parameters() if p.ndim == 4)  # type: ignore[union-attr]


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
def test_saved_and_loaded(name: str, tmp_path: Path) -> None:
    model = make(name, base=6)
    save_model(tmp_path, model, labels=Labels.of("abc"), input_spec=InputSpec.named("imagenet"))
    loaded = load_model(tmp_path).model
    assert loaded.options["backbone"] == "strided"
    assert loaded.options["base"] == 6
    x = images(1, 3, 40, 51)
    assert torch.equal(loaded(x), model.eval()(x))


def test_options_are_those_of_network_and_backbone() -> None:
    assert model_options("fcn8s", backbone="strided").keys() == {
        "in_channels", "backbone", "dropout", "geometry", "upsampling", "at_once", "score_init",
        "base",
    }  # fmt: skip
    assert "width" in model_options("fcn8s")
    with pytest.raises(
        SettingsError, match=r"network fcn8s: unknown setting 'width'; there are .*base"
    ):
        make("fcn8s", width=0.5)
    with pytest.raises(
        SettingsError, match="network fcn8s: geometry is 'caffe', but the backbone str"
    ):
        make("fcn8s", geometry="caffe")


@torch.no_grad()
@pytest.mark.parametrize("name", ["fcn8s", "unet"])
def test_batch_norms_are_folded(name: str) -> None:
    model = make(name, **({"batch_norm": True} if name == "unet" else {}))
    for _ in range(3):
        model(images(4, 3, 64, 64) * 2 + 1)  # moves the running statistics
    folded = fold_batch_norm(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    x = images(1, 3, 65, 50)
    torch.testing.assert_close(folded(x), model.eval()(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_muon_leaves_image_scores_and_depthwise_kernels_to_adamw(name: str) -> None:
    model = make(name, in_channels=6)  # as many channels as a hidden layer might have
    muon, _ = make_optimizers(model, OptimSettings(name="muon"))
    held = {p for group in muon.param_groups for p in group["params"]}
    left = {
        key
        for key, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and module.weight not in held
    }
    scores = {key for key, module in model.named_modules() if isinstance(module, ScoreLayer)}
    depthwise = {key for key, _ in model.named_modules() if key.endswith(".depthwise")}
    assert len(depthwise) == 5
    assert left == {"trunk.entry.conv", *scores, *depthwise}


def state_of_a_file() -> dict[str, Tensor]:
    torch.manual_seed(5)
    backbone = make("fcn8s").backbone
    state = {key: torch.rand_like(v) if v.is_floating_point() else v
             for key, v in backbone.state_dict().items()}  # fmt: skip
    return {**state, "imagenet_scores": torch.ones(1)}


@torch.no_grad()
def test_weight_files_go_where_the_backbone_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = state_of_a_file()
    torch.save(state, tmp_path / "strided.pth")
    model, spec = make("fcn8s"), InputSpec.named("imagenet")
    initialise(model, str(tmp_path / "strided.pth"), input_spec=spec)
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(value, state[key])
    # by name, which is known for this backbone alone
    monkeypatch.setitem(pretrained.IMAGENET, "strided", Strided.imagenet_files["strided"])
    monkeypatch.setenv("UPSCORE_CACHE", str(tmp_path))
    other = make("fcn8s")
    initialise(other, "strided", input_spec=spec)
    assert torch.equal(other.backbone.first_block.conv.weight, state["entry.conv.weight"])
    with pytest.raises(SettingsError, match=r"init.weights is vgg16, .* backbone .*strided"):
        initialise(other, "vgg16", input_spec=spec)


@torch.no_grad()
def test_the_first_layer_is_converted_to_another_input(tmp_path: Path) -> None:
    torch.save(state_of_a_file(), tmp_path / "strided.pth")
    plain, converted = make("fcn8s").eval(), make("fcn8s").eval()
    specs = {name: InputSpec.named(name) for name in ("imagenet", "caffe")}
    initialise(plain, str(tmp_path / "strided.pth"), input_spec=specs["imagenet"])
    initialise(converted, str(tmp_path / "strided.pth"), input_spec=specs["caffe"])
    photo = torch.randint(0, 256, (1, 3, 40, 40), dtype=torch.uint8)
    responses = [
        model.backbone.first_block(specs[name].apply(photo))[..., 1:-1, 1:-1]
        for model, name in ((plain, "imagenet"), (converted, "caffe"))
    ]
    torch.testing.assert_close(responses[0], responses[1], rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_staged_training() -> None:
    coarse, finer = make("fcn32s"), make("fcn16s")
    for parameter in coarse.parameters():
        parameter.normal_(std=0.1)
    start_from(finer, coarse.state_dict(), source="32s")
    for key, value in coarse.state_dict().items():
        assert torch.equal(finer.state_dict()[key], value), key
    assert not cast(ScoreLayer, finer.get_submodule("scores.s16")).weight.any()
    with pytest.raises(
        RunError, match=r"no weights trunk\.conv1_1\.conv\.weight, which fcn16s needs"
    ):
        start_from(
            create_model("fcn16s", num_classes=3, width=1 / 16), coarse.state_dict(), source="32s"
        )


class WithoutBackbone(Network):
    architecture = "plain"

    def __init__(self) -> None:
        super().__init__(NetworkOptions(num_classes=2))
        self.conv = nn.Conv2d(3, 2, 1)


def test_a_network_without_a_backbone() -> None:
    model = WithoutBackbone()
    assert not model.has_backbone
    with pytest.raises(SettingsError, match="plain has no backbone"):
        initialise(model, "vgg16", input_spec=InputSpec.named("imagenet"))
