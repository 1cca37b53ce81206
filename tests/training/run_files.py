"""What two runs left in their folders, compared to the bit."""

from __future__ import annotations

import csv
from pathlib import Path

import torch
from safetensors.torch import load_file

TIMES = {"seconds", "memory_mib"}


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open(newline="") as stream:
        return [
            {key: value for key, value in row.items() if key not in TIMES}
            for row in csv.DictReader(stream)
        ]


def weights(run: Path, which: str = "state/last") -> dict[str, torch.Tensor]:
    return load_file(run / which / "model.safetensors")


def assert_same_run(a: Path, b: Path) -> None:
    assert rows(a) == rows(b)
    for which in ("state/last", "model"):
        ours, theirs = weights(a, which), weights(b, which)
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert torch.equal(ours[key], theirs[key]), key
