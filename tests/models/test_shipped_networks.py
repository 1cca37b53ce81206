"""The trained networks in the package: small, documented, and as good as their cards say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import upscore
from upscore.core.model_folder import NETWORKS, WEIGHTS, builtin_networks
from upscore.models.checkpoint import load_model

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = sorted(builtin_networks().items())
DATA_SETS = {"roads": "camvid", "objects": "msrc"}


def test_there_are_some_and_they_are_small() -> None:
    assert SHIPPED
    assert sum((folder / WEIGHTS).stat().st_size for _, folder in SHIPPED) < 8 * 2**20
    assert "research" in (NETWORKS / "LICENSE.md").read_text()


@pytest.mark.parametrize(("name", "folder"), SHIPPED)
def test_cards(name: str, folder: Path) -> None:
    card = (folder / "CARD.md").read_text()
    for heading in ("How it was made", "Scores", "What it is not for", "Terms"):
        assert f"## {heading}" in card
    for class_name in load_model(folder).labels.names:
        assert f"| {class_name} |" in card
    assert name in (NETWORKS / "LICENSE.md").read_text()
    trained = json.loads((folder / "config.json").read_text())["trained"]
    assert f"val mIoU {trained['val_miou']:.4f}" in card
    assert f"{trained['iterations']:,} steps" in card
    assert f"from {trained['num_photos']} photos" in card.replace("CamVid's ", "").replace(
        "training ", ""
    )
    assert "research only" in trained["licence"]
    for page in ("README.md", "docs/prediction.md"):
        assert f"| `{name}`" in (REPOSITORY / page).read_text("utf-8")


@pytest.mark.parametrize(("name", "folder"), SHIPPED)
def test_they_label_photos_of_any_size(name: str, folder: Path) -> None:
    network = upscore.load(name)
    photo = np.random.default_rng(0).integers(0, 256, (61, 97, 3), dtype=np.uint8)
    labels = network.segment(photo).labels
    assert labels.shape == (61, 97)
    assert labels.max() < len(load_model(folder).labels)


@pytest.mark.real
@pytest.mark.parametrize(("name", "folder"), SHIPPED)
def test_the_score_of_the_card(name: str, folder: Path, real_data: Path, tmp_path: Path) -> None:
    stated = re.search(r"val mIoU (0\.\d+)", (folder / "CARD.md").read_text())
    assert stated is not None
    data = real_data / DATA_SETS[name]
    result = upscore.evaluate(name, data=data, split="val", out=tmp_path)
    assert result.miou == pytest.approx(float(stated[1]), abs=0.01)
