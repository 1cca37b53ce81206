"""The workflows of proposals and edges from Python: results as JSON values, nothing printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import upscore.edges
import upscore.proposals
from upscore.data.toy import make_toy
from upscore.errors import SettingsError
from upscore.proposals import GradientEdges, Grid, LearnedEdges, ProposalStore, SlidingWindows
from upscore.workflows.edges import evaluate_edges
from upscore.workflows.proposals import make_proposals, measure_recall, show_proposals


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return make_toy(tmp_path / "toy", num=4, seed=1)


def test_make_recall_and_show(toy, tmp_path, capsys):
    store, done = tmp_path / "boxes.parquet", []
    made = make_proposals(
        toy,
        lambda _: SlidingWindows(max_boxes=9),
        store,
        workers=1,
        on_progress=lambda event: done.append((event.done, event.total)),
    )
    content = json.loads(json.dumps(made.to_dict()))
    assert (content["photos"], content["boxes"], content["failures"]) == (4, 36, [])
    assert ProposalStore.open(store).num_boxes == 36
    assert done[-1] == (4, 4)

    measured = measure_recall(
        toy, [str(store), "ground-truth"], split="train", counts=(9,), out=tmp_path / "r", workers=1
    )
    content = json.loads(json.dumps(measured.to_dict()))
    assert content == json.loads((tmp_path / "r" / "recall.json").read_text())
    assert content["sources"]["ground-truth"]["sizes"]["all"]["average_recall"] == [1]
    assert content["data"]["split"] == "train"

    photo = next((toy / "JPEGImages").iterdir())
    shown = show_proposals(photo, SlidingWindows(), tmp_path / "a.png", title="grid", boxes=3)
    assert shown.to_dict()["shown"] == 3
    assert Image.open(shown.path).width > 100
    assert capsys.readouterr() == ("", "")


def test_edges_are_scored(tmp_path, capsys):
    folder = tmp_path / "bsds" / "val"
    folder.mkdir(parents=True)
    photo = np.zeros((112, 150, 3), np.uint8)
    photo[:, 60:] = 200
    Image.fromarray(photo).save(folder / "a.png")
    boundaries = np.zeros((1, 112, 150), bool)
    boundaries[:, :, 60] = True
    np.savez(folder / "a.npz", boundaries=np.packbits(boundaries, axis=-1), shape=boundaries.shape)
    evaluated = evaluate_edges(tmp_path / "bsds", "gradient", thresholds=9, workers=1)
    content = json.loads(json.dumps(evaluated.to_dict()))
    assert content["ods"]["f"] > 0.9
    assert content["about"]["edges"]["kind"] == "GradientEdges"
    assert capsys.readouterr() == ("", "")
    with pytest.raises(SettingsError, match="no split 'test'"):
        evaluate_edges(tmp_path / "bsds", split="test")


def test_public_names():
    assert upscore.edges.__all__ == ["EdgeDetector", "FromArray", "GradientEdges", "LearnedEdges"]
    for package in (upscore.edges, upscore.proposals):
        for name in package.__all__:
            assert getattr(package, name).__module__.startswith("upscore.")
    assert upscore.edges.GradientEdges is GradientEdges
    assert upscore.edges.LearnedEdges is LearnedEdges
    assert Grid is SlidingWindows
    with pytest.raises(AttributeError, match="StructuredForest"):
        upscore.edges.StructuredForest  # noqa: B018
