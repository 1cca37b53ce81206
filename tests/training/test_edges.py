"""The edge network's training: samples, loss, a run that can be stopped and goes on."""

from __future__ import annotations

import csv
import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from upscore.data.formats.bsds import find_bsds
from upscore.edges.samples import EdgeSamples, EdgeViews, soft_boundaries
from upscore.edges.weight_files import load_edge_network
from upscore.errors import DataError, RunError, SettingsError, WorkError
from upscore.training.settings import OptimSettings
from upscore.training.trainer import Status
from upscore.workflows import edge_training as edges_module
from upscore.workflows.edge_training import EdgeRecipe, edge_loss, load_edge_recipe
from upscore.workflows.edges import train_edges

SMALL = EdgeRecipe(
    splits=("train",),
    views=EdgeViews(crop=32),
    batch=2,
    iterations=6,
    log_every=2,
    save_every=2,
    precision="fp32",
    optim=OptimSettings(name="muon", lr=2e-3),
)


@pytest.fixture
def bsds(tmp_path: Path) -> Path:
    """Three photos of a bright rectangle, drawn by two people who disagree by a pixel."""
    folder = tmp_path / "bsds" / "train"
    folder.mkdir(parents=True)
    for index, (height, width) in enumerate([(40, 50), (50, 40), (24, 60)]):
        photo = np.full((height, width, 3), 60, np.uint8)
        photo[8:18, 10:30] = (220, 180, 40 * index)
        boundaries = np.zeros((2, height, width), dtype=bool)
        for person in range(2):
            boundaries[person, [8 + person, 18], 10:31] = True
            boundaries[person, 8 + person : 19, [10, 30]] = True
        Image.fromarray(photo).save(folder / f"{index}.png")
        np.savez(
            folder / f"{index}.npz",
            boundaries=np.packbits(boundaries, axis=-1),
            shape=np.array(boundaries.shape),
        )
    return tmp_path / "bsds"


@pytest.mark.parametrize("anyone", [0.0, 0.4])
def test_soft_boundaries_mix_share_and_maximum(anyone: float) -> None:
    boundaries = np.zeros((4, 9, 9), dtype=bool)
    boundaries[0, :, 4] = boundaries[1, :, 4] = True
    boundaries[2, :, 5] = True  # one pixel off; the fourth person drew nothing
    soft = soft_boundaries(boundaries, deviation=1.0, anyone=anyone) / 255.0
    near, far = np.exp(-0.5), np.exp(-2.0)
    for x, share, largest in [
        (4, (2 + near) / 4, 1.0),
        (5, (2 * near + 1) / 4, 1.0),
        (3, (2 * near + far) / 4, near),
        (0, 0.0, 0.0),
    ]:
        want = anyone * largest + (1 - anyone) * share
        np.testing.assert_allclose(soft[4, x], want, atol=0.004)


def test_no_boundaries_at_all() -> None:
    nothing = np.zeros((2, 5, 7), dtype=bool)
    assert not soft_boundaries(nothing, deviation=1.0, anyone=0.4).any()


def test_views_show_photo_and_boundary_alike(bsds: Path) -> None:
    """Wherever a view puts the rectangle, its target lies around it: also turned and scaled."""
    samples = EdgeSamples(
        find_bsds(bsds)["train"],
        EdgeViews(crop=48, warp=1.0, light=0.0),
        deviation=1.0,
        anyone=0.0,
        seed=3,
    )
    photos, targets = samples.batch(24, 0)
    assert photos.shape == (24, 3, 48, 48)
    assert targets.shape == (24, 1, 48, 48)
    assert 0 <= float(photos.min()) <= float(photos.max()) <= 1
    red = photos[:, :1]
    change = F.max_pool2d(red, 3, 1, 1) + F.max_pool2d(-red, 3, 1, 1)
    near = F.max_pool2d(change, 5, 1, 2)
    strong = targets > 0.6
    assert int(strong.sum()) > 500
    assert float((near[strong] > 0.1).float().mean()) > 0.97
    assert float(targets[near < 0.02].mean()) < 0.02


def test_batches_depend_on_their_number_alone(bsds: Path) -> None:
    images = find_bsds(bsds)["train"]
    one, other = (
        EdgeSamples(images, EdgeViews(crop=32), deviation=1.0, anyone=0.0, seed=s) for s in (0, 1)
    )
    again = EdgeSamples(images, EdgeViews(crop=32), deviation=1.0, anyone=0.0, seed=0)
    again.batch(2, 0)
    assert torch.equal(one.batch(2, 5)[0], again.batch(2, 5)[0])
    assert not torch.equal(one.batch(2, 5)[0], other.batch(2, 5)[0])


def test_loss_against_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64)
    target = torch.rand(2, 1, 5, 4, generator=generator, dtype=torch.float64)
    p = torch.sigmoid(logits)
    each = -(target * p.log() + (1 - target) * (1 - p).log()) * (1 + 2 * target)
    want = each[:, 0].mean() + 0.5 * (each[:, 1].mean() + each[:, 2].mean()) / 2
    found = edge_loss(logits, target, boost=2.0, sides=0.5)
    torch.testing.assert_close(found / target.numel(), want)


def test_learns_and_writes_weights_that_load(bsds: Path, tmp_path: Path) -> None:
    seen: list[Status] = []
    recipe = SMALL.model_copy(update={"iterations": 40, "log_every": 10})
    outcome = train_edges(
        recipe, bsds, tmp_path / "rün", on_progress=lambda event: seen.append(event.status)
    )
    assert (outcome.iteration, outcome.interrupted) == (40, False)
    with (tmp_path / "rün" / "log.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["iteration"]) for row in rows] == [1, 10, 20, 30, 40]
    assert float(rows[-1]["loss"]) < 0.8 * float(rows[0]["loss"])
    shown = [status.loss for status in seen if status.loss is not None]
    assert len(set(shown)) == 40, "the running loss of each iteration"
    assert shown[0] == pytest.approx(float(rows[0]["loss"]))
    assert shown[-1] == pytest.approx(float(rows[-1]["loss"]), rel=0.2)
    assert load_edge_network(tmp_path / "rün" / "model.safetensors")(
        torch.zeros(1, 3, 1, 1)
    ).shape == (1, 6, 1, 1)


def test_a_stopped_run_goes_on_to_the_same_weights(
    bsds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_edges(SMALL, bsds, tmp_path / "whole")
    calls = iter(range(100))

    def interrupted(*args: object, **options: object) -> torch.Tensor:
        if next(calls) == 2:  # in the third step, which is finished
            signal.raise_signal(signal.SIGINT)
        return edge_loss(*args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(edges_module, "edge_loss", interrupted)
        outcome = train_edges(SMALL, bsds, tmp_path / "cut")
    assert (outcome.iteration, outcome.interrupted) == (3, True)
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    assert not train_edges(SMALL, bsds, tmp_path / "cut", resume=True).interrupted
    whole, cut = (load_file(tmp_path / run / "model.safetensors") for run in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_a_state_of_the_former_loop_is_resumed(bsds: Path, tmp_path: Path) -> None:
    """Edge networks had a loop of their own, whose states call the network "network"."""
    first = SMALL.model_copy(update={"iterations": 4})
    train_edges(first, bsds, tmp_path / "run")
    state = tmp_path / "run" / "state" / "resume.pt"
    content = torch.load(state, weights_only=True)
    content["network"] = content.pop("model")
    content["position"]["finished"] = False
    torch.save(content, state)
    (tmp_path / "run" / "recipe.yaml").write_text(SMALL.to_yaml())
    trained = train_edges(SMALL, bsds, tmp_path / "run", resume=True)
    assert (trained.iteration, trained.interrupted) == (6, False)


def test_a_loss_that_is_not_finite_ends_it(
    bsds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def infinite(logits: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        return logits.sum() * torch.inf

    monkeypatch.setattr(edges_module, "edge_loss", infinite)
    with pytest.raises(WorkError, match=r"not finite at iteration 0; files of the batch: .*optim"):
        train_edges(SMALL, bsds, tmp_path / "run")
    report = json.loads((tmp_path / "run" / "state" / "not-finite.json").read_text())
    assert len(report["files"]) == SMALL.batch
    assert set(report["files"]) <= {"0", "1", "2"}


def test_names_of_a_batch_are_those_of_its_photos(bsds: Path) -> None:
    images = find_bsds(bsds)["train"]
    samples = EdgeSamples(
        images, EdgeViews(crop=32, warp=0.0, light=0.0), deviation=1.0, anyone=0.0, seed=5
    )
    for number in range(3):
        photos, _ = samples.batch(3, number)
        blue = (255 * photos[:, 2].amin(dim=(1, 2))).round().int().tolist()
        # the rectangle of photo k has 40 k of blue, darker than the ground's 60 in photos 0 and 1
        for name, darkest in zip(samples.names(3, number), blue, strict=True):
            assert darkest in (60, min(60, 40 * int(name)))
        assert sorted(samples.names(3, number)) == ["0", "1", "2"]


def test_taken_folders_and_other_runs_are_refused(bsds: Path, tmp_path: Path) -> None:
    train_edges(SMALL, bsds, tmp_path / "run")
    with pytest.raises(SettingsError, match="holds a run already"):
        train_edges(SMALL, bsds, tmp_path / "run")
    with pytest.raises(RunError, match="finished"):
        train_edges(SMALL, bsds, tmp_path / "run", resume=True)
    other = SMALL.model_copy(update={"seed": 1})
    with pytest.raises(RunError, match="finished"):
        train_edges(other, bsds, tmp_path / "run", resume=True)
    (tmp_path / "run/state/resume.pt").unlink()  # as if it was not finished
    with pytest.raises(RunError, match=r"other settings.* --recipe .*seed is 0 in the run, 1 now"):
        train_edges(other, bsds, tmp_path / "run", resume=True)
    (bsds / "train" / "0.png").unlink()
    with pytest.raises(RunError, match="other photos"):
        train_edges(SMALL, bsds, tmp_path / "run", resume=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(SettingsError, match="is no run folder"):
        train_edges(SMALL, bsds, tmp_path / "mine")


def test_unknown_split(bsds: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no split val; there are train"):
        train_edges(SMALL.model_copy(update={"splits": ("train", "val")}), bsds, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_shipped_recipe() -> None:
    recipe = load_edge_recipe(None, ("iterations=12", "views.warp=0"))
    assert (recipe.iterations, recipe.views.warp) == (12, 0.0)
    assert recipe.splits == ("train", "val")
    with pytest.raises(SettingsError, match="unknown setting 'iteration'"):
        load_edge_recipe(None, ("iteration=12",))


def test_weights_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"12345678 not weights")
    with pytest.raises(DataError, match="not weights that can be read"):
        load_edge_network(tmp_path / "w.safetensors")
    save_file({"x": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="not the weights of the edge network"):
        load_edge_network(tmp_path / "other.safetensors")
