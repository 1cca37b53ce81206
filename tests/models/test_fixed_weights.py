"""Old model folders stay readable, and the same seed gives the same weights to the bit.

``fixed_weights.json`` was computed at commit 383e01d, before networks had a backbone option: for
each network the options as a config.json of that time has them, a checksum of keys, shapes and
types of the state dict, and one of the values that seed 3 gives.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from upscore.models.factory import create_model

FIXED = json.loads(Path(__file__).with_name("fixed_weights.json").read_text("utf-8"))
CASES: dict[str, dict[str, Any]] = FIXED["networks"]


def checksum(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


@pytest.fixture(scope="module")
def same_random_numbers() -> None:
    """Skip where this processor's kernels draw other normal numbers than those of the file."""
    torch.manual_seed(3)
    drawn = [torch.randn(1000), torch.empty(7).normal_()]
    if checksum(values.numpy().tobytes() for values in drawn) != FIXED["probe"]:
        pytest.skip("torch draws other random numbers on this machine")


@pytest.mark.parametrize("name", CASES)
def test_old_options_give_the_same_keys(name: str) -> None:
    case = CASES[name]
    with torch.device("meta"):
        model = create_model(case["architecture"], **case["options"])
    assert case["keys"] == checksum(
        f"{key}{tuple(value.shape)}{value.dtype}".encode()
        for key, value in model.state_dict().items()
    )
    assert model.options.items() >= case["options"].items()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("same_random_numbers")
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    case = CASES[name]
    torch.manual_seed(3)
    model = create_model(case["architecture"], **case["options"])
    state = model.state_dict()
    assert case["weights"] == checksum(value.numpy().tobytes() for value in state.values())
