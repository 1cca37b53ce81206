"""A network without memory for its weights has the keys, shapes and types of the real one."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from upscore.models.blueprint import blueprint
from upscore.models.factory import MODELS, create_model

SMALL = {"num_classes": 3, "width": 0.05}


@pytest.mark.parametrize("name", MODELS)
def test_it_differs_in_nothing_but_values(name: str) -> None:
    real = create_model(name, **SMALL).state_dict()
    with blueprint():
        sketch = create_model(name, **SMALL).state_dict()
    assert all(value.is_meta for value in sketch.values())
    assert _described(sketch) == _described(real)


def _described(state: dict[str, torch.Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {key: (value.shape, value.dtype) for key, value in state.items()}


def test_afterwards_weights_are_drawn_again() -> None:
    with blueprint():
        torch.nn.Conv2d(1, 1, 1)
    assert torch.nn.Conv2d(1, 100, 3).weight.std() > 0.1


def test_the_compiler_of_torch_is_not_imported() -> None:
    """It takes longer to import than torch itself."""
    program = """
import sys
from upscore.models.blueprint import blueprint
from upscore.models.factory import MODELS, create_model
options = {"fcn8s": {"upsampling": "learned"}, "deconvnet": {"decoder_init": "bilinear"}}
for name in MODELS:
    with blueprint():
        create_model(name, num_classes=3, **options.get(name, {}))
    assert "torch._dynamo" not in sys.modules, name
"""
    subprocess.run([sys.executable, "-c", program], check=True)
