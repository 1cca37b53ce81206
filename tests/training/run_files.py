"""What two runs left in their folders, compared to the bit."""

from __future__ import annotations

import csv
import json
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


def assert_same_folder(a: Path, b: Path) -> None:
    """The same files, of the same content but for times: runs of one stage or several."""
    assert names(a) == names(b)
    for folder in (a, *(a / "stages").glob("*")):
        other = b / folder.relative_to(a)
        assert_same_run(folder, other)
        assert (folder / "recipe.yaml").read_bytes() == (other / "recipe.yaml").read_bytes()
        ours, theirs = (json.loads((run / "manifest.json").read_text()) for run in (folder, other))
        others = {"started": None, "git_commit": None}  # of the checkout, not of the run
        assert {**ours, **others} == {**theirs, **others}
        one, two = (
            torch.load(run / "state" / "resume.pt", weights_only=True) for run in (folder, other)
        )
        one["position"].pop("seconds")
        two["position"].pop("seconds")
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
