"""Weights whose photos are prepared otherwise than the recipe prepares them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor, nn

import upscore
from models.prepared_photos import PREPARED, STD, photo
from models.torchvision_vgg import theirs
from training.conftest import TINY
from upscore.cli.main import main
from upscore.errors import RunError, SettingsError
from upscore.models import pretrained as initial_weights
from upscore.models.layers import ConvBlock
from upscore.models.weight_files import Downloaded
from upscore.training.recipe import load_recipe, shipped_recipes
from upscore.training.trainer import Outcome, Training

Run = Callable[..., Outcome]
FOLDER = Path(upscore.__file__).parent / "recipes"
YAML = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in FOLDER.glob("*.yaml")}
FROM_VGG16 = [
    name for name, content in YAML.items() if content.get("init", {}).get("weights") == "vgg16"
]
NARROW = "model.options={width: 0.0625, fc_width: 24}"


class ReadyError(Exception):
    """Thrown where a training would begin."""


@pytest.fixture
def small_vgg16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """A small network in place of torchvision's vgg16, its file in the cache."""
    source = theirs(batch_norm=False)
    cache = tmp_path / "cache"
    cache.mkdir()
    torch.save(source.state_dict(), cache / "vgg16-small.pth")
    monkeypatch.setitem(
        initial_weights.IMAGENET, "vgg16", Downloaded("https://x.test/vgg16-small.pth", "sha256:")
    )
    monkeypatch.setenv("UPSCORE_CACHE", str(cache))
    return source


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Training]:
    """The trainings that were about to begin."""
    found: list[Training] = []

    def fit(self: Training) -> Outcome:
        found.append(self)
        raise ReadyError

    monkeypatch.setattr(Training, "fit", fit)
    return found


def test_the_recipes_that_start_from_imagenet_are_these() -> None:
    assert set(YAML) == set(shipped_recipes())
    assert len(FROM_VGG16) == 15
    assert {name for name in YAML if "init" in YAML[name]} - set(FROM_VGG16) == {"quick"}
    assert YAML["quick"]["init"]["weights"] == YAML["quick"]["input"] == "lite0"
    assert {name for name in FROM_VGG16 if YAML[name].get("input") == "caffe"} == {
        "deconvnet", "deconvnet-stage1", "deconvnet-stage2", "deconvnet-whole",
    }  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("recipe", FROM_VGG16)
def test_every_shipped_recipe_feeds_its_weights_what_they_want(
    recipe: str, tmp_path: Path, run_tiny: Run, store: Path, small_vgg16: nn.Module,
    begun: list[Training],
) -> None:  # fmt: skip
    """A red photo, prepared as the yaml says, gets torchvision's response from conv1_1."""
    boxes = [f"crops.store={store}"] if "proposals" in str(YAML[recipe].get("crops")) else []
    with pytest.raises(ReadyError):
        run_tiny(tmp_path / "run", NARROW, "batch.accumulate=1", *boxes, recipe=recipe)
    (training,) = begun
    first = training.model.get_submodule("trunk.conv1_1")
    assert isinstance(first, ConvBlock)
    for kind in ("red", "random"):
        got = first.conv(PREPARED[YAML[recipe].get("input", "imagenet")](photo(kind)))
        want: Tensor = small_vgg16.features[0](PREPARED["imagenet"](photo(kind)))  # type: ignore[index]
        inner = (..., slice(1, -1), slice(1, -1))
        torch.testing.assert_close(got[inner], want[inner], rtol=1e-4, atol=1e-4)


def test_a_file_that_wants_caffe(
    tmp_path: Path, run_tiny: Run, small_vgg16: nn.Module, begun: list[Training]
) -> None:
    file = tmp_path / "cache" / "vgg16-small.pth"
    for number, (wanted, converted) in enumerate((("caffe", False), ("imagenet", True))):
        with pytest.raises(ReadyError):
            run_tiny(
                tmp_path / f"run{number}", NARROW, f"init.weights={file}", "init.input=caffe",
                f"input={wanted}", recipe="fcn32s",
            )  # fmt: skip
        same = torch.equal(
            begun[-1].model.get_parameter("trunk.conv1_1.conv.weight"),
            small_vgg16.state_dict()["features.0.weight"],
        )
        assert same != converted


def test_weights_of_no_use_are_refused_before_there_is_a_run(
    tmp_path: Path, run_tiny: Run, small_vgg16: nn.Module
) -> None:
    state = {key: value.double() for key, value in small_vgg16.state_dict().items()}
    state["features.0.weight"].view(-1)[0] = 1e39  # infinite as float32
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(RunError, match=r"w\.pth: features\.0\.weight holds NaN or infinity"):
        run_tiny(tmp_path / "run", NARROW, f"init.weights={tmp_path / 'w.pth'}", recipe="fcn32s")
    assert not (tmp_path / "run").exists()


def test_the_command_says_so(
    tmp_path: Path, toy: Path, small_vgg16: nn.Module,  # noqa: ARG001
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    settings = [*TINY, NARROW, "input=caffe"]
    out = str(tmp_path / "run")
    main(["train", "fcn32s", "--data", str(toy), "--out", out, "--set", *settings])
    assert "vgg16: its weights need photos as imagenet, this network gets them as caffe" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(("given", "wanted"), [("imagenet", "caffe"), ("caffe", "imagenet")])
def test_going_on_from_a_run_with_another_input(
    given: str, wanted: str, tmp_path: Path, run_tiny: Run
) -> None:
    """fcn16s from fcn32s, whose rate of 1e-12 moves nothing, to photos of another preparation."""
    run_tiny(tmp_path / "32", NARROW, "init.weights=none", f"input={given}", recipe="fcn32s")
    run_tiny(
        tmp_path / "16", NARROW, f"init.weights={tmp_path / '32'}", f"input={wanted}",
        "optim.lr=1e-30", recipe="fcn16s",
    )  # fmt: skip
    old, new = (kernels(tmp_path / name) for name in ("32", "16"))
    per_step = 1 / (255 * STD)  # what a grey level is worth to torchvision's weights: R, G, B
    if given == "imagenet":
        want = (old * per_step[None, :, None, None])[:, ::-1]
    else:
        want = old[:, ::-1] / per_step[None, :, None, None]
    np.testing.assert_allclose(new, want, rtol=1e-5)


def kernels(run: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    state = load_file(run / "model" / "model.safetensors")
    return state["trunk.conv1_1.conv.weight"].double().numpy()


def test_stages_after_the_first_know_their_input(
    tmp_path: Path,
    run_tiny: Run,
    store: Path,
    small_vgg16: nn.Module,  # noqa: ARG001
) -> None:
    """``init.input`` is about the file, not about the run folder that the second stage has."""
    file = tmp_path / "cache" / "vgg16-small.pth"
    outcome = run_tiny(
        tmp_path / "run", NARROW, f"init.weights={file}", "init.input=imagenet",
        "batch.accumulate=1", "statistics={batches: 1, size: 2}", f"crops.store={store}",
        "augment.resize=[36, 36]", "model.options.fc_kernel=7", recipe="deconvnet",
    )  # fmt: skip
    assert not outcome.interrupted


def test_an_input_without_a_file() -> None:
    with pytest.raises(SettingsError, match=r"init\.input is caffe, but init\.weights is none"):
        load_recipe("fcn8s-quick", ["init.input=caffe"])
    with pytest.raises(SettingsError, match=r"init\.input: input should be 'imagenet', 'caffe'"):
        load_recipe("fcn8s", ["init.input=vgg"])
