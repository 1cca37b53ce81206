"""Kernels in 8 bits: rounding, what stays, and a network that is loaded from them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from upscore.core.images import InputSpec
from upscore.core.labels import Labels
from upscore.core.model_folder import WEIGHTS
from upscore.errors import RunError
from upscore.models.checkpoint import load_model, save_model
from upscore.models.factory import create_model
from upscore.models.packed_weights import SCALE, pack, unpack
from upscore.models.pretrained import initialise


def test_kernels_are_rounded_by_output_channel_and_the_rest_stays() -> None:
    kernel = torch.randn(7, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    kernel[3] *= 1000  # a channel of other size does not spoil the others
    state = {"a.weight": kernel, "a.bias": torch.randn(7), "n": torch.tensor(3)}
    packed = pack(state)
    assert packed["a.weight"].dtype == torch.int8
    step = np.abs(kernel.numpy()).reshape(7, -1).max(1) / 127  # independent of the code
    np.testing.assert_allclose(packed["a.weight" + SCALE].numpy(), step, rtol=1e-6)
    found = unpack(packed)
    assert set(found) == set(state)
    error = np.abs((found["a.weight"] - kernel).numpy()).reshape(7, -1).max(1)
    assert (error <= step * 0.5001).all()
    assert error.max() > 0
    assert torch.equal(found["a.bias"], state["a.bias"])
    assert torch.equal(found["n"], state["n"])


def test_a_kernel_of_zeros_stays_zero() -> None:
    assert not unpack(pack({"a.weight": torch.zeros(2, 1, 3, 3)}))["a.weight"].any()


def test_a_parameter_called_scale_is_kept() -> None:
    state = {"norm": torch.ones(3), "norm.scale": torch.full((3,), 2.0)}
    assert set(unpack(pack(state))) == set(state)


def test_a_model_folder_of_packed_weights_loads_and_scores_alike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    options = {"width": 0.0625, "dropout": 0.0, "score_init": "normal"}
    model = create_model("fcn32s", num_classes=3, **options).eval()
    labels = Labels.of(["a", "b", "c"])
    save_model(tmp_path, model, labels=labels, input_spec=InputSpec.named("imagenet"))
    before = (tmp_path / WEIGHTS).stat().st_size
    state = load_file(tmp_path / WEIGHTS)
    with safe_open(tmp_path / WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
    save_file(pack(state), tmp_path / WEIGHTS, metadata=metadata)
    assert (tmp_path / WEIGHTS).stat().st_size < before / 3
    loaded = load_model(tmp_path).model.eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        want, found = model(images), loaded(images)
    assert (found - want).abs().max() < 0.1 * want.std()


@pytest.mark.parametrize("wrong", [-1.0, 0.0, float("nan")])
def test_scales_that_are_not_above_zero_are_refused(wrong: float, tmp_path: Path) -> None:
    model = create_model("fcn8s", num_classes=2, width=1 / 64)
    spec = InputSpec.named("imagenet")
    save_model(tmp_path, model, labels=Labels.of(["a", "b"]), input_spec=spec)
    packed = pack(model.state_dict())
    key = next(key for key in packed if key.endswith(SCALE))
    packed[key][-1] = wrong
    save_file(packed, tmp_path / WEIGHTS)
    with pytest.raises(RunError, match=rf"{WEIGHTS}: .*{key} holds a scale that is not above 0"):
        load_model(tmp_path)


def test_kernels_without_their_scales_are_refused(tmp_path: Path) -> None:
    model = create_model("fcn8s", num_classes=2, width=1 / 64)
    spec = InputSpec.named("imagenet")
    save_model(tmp_path, model, labels=Labels.of(["a", "b"]), input_spec=spec)
    packed = pack(model.state_dict())
    key = next(key for key in packed if key.endswith(SCALE))
    short = {key: packed.pop(key)[:-1].clone()}
    for state in (packed, packed | short):
        save_file(state, tmp_path / WEIGHTS)
        for read in (load_model, lambda folder: initialise(model, str(folder), input_spec=spec)):
            with pytest.raises(RunError, match=r"does not fit its config\.json"):
                read(tmp_path)
