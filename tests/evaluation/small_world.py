"""A small data set and a small network, for tests of whole commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from upscore.core.images import InputSpec
from upscore.core.labels import VOID, Labels
from upscore.core.run_folder import RunFolder
from upscore.models.checkpoint import save_model
from upscore.models.factory import create_model

NAMES = ("ground", "[red]tree[/red]", "car")


def make_network(folder: Path, names: tuple[str, ...] = NAMES, *, seed: int = 3) -> Path:
    """A run folder with random weights."""
    torch.manual_seed(seed)
    run = RunFolder(folder)
    run.path.mkdir(parents=True)
    run.write_manifest({})
    model = create_model("fcn32s", num_classes=len(names), width=1 / 16, fc_width=8)
    for parameter in model.parameters():  # far from the zeros that score layers start with
        torch.nn.init.normal_(parameter, std=0.3)
    save_model(run.model, model, labels=Labels.of(names), input_spec=InputSpec.named("imagenet"))
    return folder


def make_data(
    folder: Path,
    names: tuple[str, ...] = NAMES,
    *,
    num: int = 6,
    sides: tuple[int, int] = (33, 60),
    one: bool = False,
) -> Path:
    """A dataset.yaml of noise: split ``val``, and if asked ``one``, which is its first photo."""
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for i in range(num):
        size = (int(rng.integers(*sides)), int(rng.integers(*sides)))
        photo = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        mask = rng.integers(0, 3, size, dtype=np.uint8)
        mask[:3] = VOID
        Image.fromarray(photo).save(folder / "images" / f"p{i}.png")
        Image.fromarray(mask).save(folder / "masks" / f"p{i}.png")
    (folder / "val.txt").write_text("\n".join(f"p{i}" for i in range(num)))
    splits = "val: val.txt"
    if one:
        (folder / "one.txt").write_text("p0")
        splits += ", one: one.txt"
    classes = "\n".join(f"  - name: {json.dumps(name)}" for name in names)
    (folder / "dataset.yaml").write_text(
        "image: images/*.png\nmask: masks/*.png\nmasks: indices\n"
        f"splits: {{{splits}}}\nclasses:\n{classes}\n"
    )
    return folder / "dataset.yaml"
