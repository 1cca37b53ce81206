"""Twins of the CPU tests on a CUDA GPU: forward passes, half precision, prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.known_options import known_options
from upscore.core.images import InputSpec
from upscore.core.labels import Labels
from upscore.core.runtime import Runtime
from upscore.data.toy import make_toy
from upscore.inference.whole_image import WholeImage
from upscore.models.factory import create_model, list_models
from upscore.workflows.options import SegmenterOptions
from upscore.workflows.predict import predict
from upscore.workflows.train import train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy(tmp_path_factory.mktemp("toy"), num=8, size=(48, 64))


@pytest.mark.parametrize("name", list_models())
def test_scores_equal_those_of_the_cpu(name: str) -> None:
    torch.manual_seed(0)
    options = known_options(name, width=0.0625, score_init="normal")
    model = create_model(name, num_classes=3, **options).eval()
    image = np.random.default_rng(0).integers(0, 256, (61, 97, 3), dtype=np.uint8)
    labels, spec = Labels.of(["a", "b", "c"]), InputSpec.named("imagenet")
    cpu = WholeImage(model, labels, spec, Runtime("cpu", "fp32")).scores(image)
    gpu = WholeImage(model, labels, spec, Runtime("cuda", "fp32")).scores(image)
    assert np.abs(cpu - gpu).max() <= 1e-3 * max(1.0, float(np.abs(cpu).max()))


def test_quick_with_class_weights_and_a_warm_up_of_the_head(toy: Path, tmp_path: Path) -> None:
    settings = [
        "augment.crop=[32, 32]", "init.head.crops=8", "init.head.passes=2", "budget.iterations=2",
        "loss.class_weights=sqrt_median_frequency", "device=cuda",
    ]  # fmt: skip
    assert train("quick", data=toy, out=tmp_path / "run", assignments=settings).iterations == 2


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_ten_steps_and_prediction(precision: str, toy: Path, tmp_path: Path) -> None:
    settings = [
        "model.options.width=0.0625", "model.options.fc_width=16", "augment.crop=[32, 32]",
        "batch.size=2", "budget.iterations=10", "validate.images=2", "log_every=5",
        f"precision={precision}", "device=cuda",
    ]  # fmt: skip
    result = train("fcn8s-quick", data=toy, out=tmp_path / "run", assignments=settings)
    assert result.iterations == 10
    assert result.last is not None
    found = predict(
        tmp_path / "run",
        [toy / "JPEGImages"],
        out=tmp_path / "out",
        save=["labels"],
        options=SegmenterOptions(device="cuda"),
    )
    assert found.failures == []
    assert found.summary.images == 8
