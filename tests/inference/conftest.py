"""Fixtures of the tests of inference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from inference.support import THREE, ByColor, random_photo
from upscore.core.images import InputSpec
from upscore.core.labels import RGBImage
from upscore.models.checkpoint import save_model
from upscore.models.factory import create_model


@pytest.fixture
def by_color() -> ByColor:
    return ByColor()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small FCN-8s with batch norm and random weights, saved."""
    torch.manual_seed(3)
    model = create_model(
        "fcn8s", num_classes=3, width=1 / 16, fc_width=16, batch_norm=True, score_init="normal"
    )
    for name, buffer in model.named_buffers():  # statistics that folding has to get right
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_model(folder, model, labels=THREE, input_spec=InputSpec.named("imagenet"))
    return folder


@pytest.fixture
def photo() -> RGBImage:
    return random_photo(48, 64)
