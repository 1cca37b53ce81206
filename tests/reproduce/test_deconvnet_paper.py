"""``deconvnet-paper`` from folder to page, tiny; and its parts against slow references."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from reproduce.support import Recorder, planned, run
from upscore.core.labels import VOID
from upscore.data import open_dataset
from upscore.data.toy import make_toy
from upscore.errors import SettingsError
from upscore.inference.load import load_segmenter
from upscore.reproduce.activations import best_channel
from upscore.reproduce.ensemble_gains import count_repairs
from upscore.reproduce.other_methods import OTHER_METHODS
from upscore.reproduce.pipeline_stages import identity
from upscore.reproduce.published import PAPER_TABLE, VOC_COLUMNS, published_mean

TRAININGS = ["fcn8s", "deconvnet", "deconvnet-no-norm", "deconvnet-one-stage"]
OTHERS = ["hypercolumn", "deeplab-largefov"]
"""Of --methods, as old as in the paper's table."""


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    toy = make_toy(folder / "toy", num=8, seed=1, size=(96, 128))
    recorder = Recorder()
    made = run("deconvnet-paper", toy, folder / "out", methods=OTHERS, on_progress=recorder)
    assert recorder.trainings == [*TRAININGS, *OTHERS]
    assert made.missing == ()
    return toy, folder / "out"


@pytest.mark.slow
def test_from_folder_to_page(paper):
    toy, out = paper
    found = json.loads((out / "results.json").read_text("utf-8"))
    names = {table["name"] for table in found["tables"]}
    assert names == {
        "table1-classes", "table1-published", "methods", "switches", "proposals", "repairs", "wins",
        "sizes", "trimap", "ablations", "changes", "samples",
    }  # fmt: skip
    by_name = {table["name"]: table for table in found["tables"]}
    assert by_name["table1-published"]["published_rows"] == list(range(9))
    assert by_name["table1-classes"]["published_rows"] == []
    assert [row[0] for row in by_name["trimap"]["rows"]] == list(range(1, 41))
    rows = by_name["proposals"]["rows"]
    assert [row[1] for row in rows] == 2 * [1, 5, 10, 20, 50]
    assert rows[4][2] == rows[9][2]  # after all of them the order makes no difference
    assert len(by_name["ablations"]["rows"]) == 9
    figures = {figure["name"] for figure in found["figures"]}
    assert figures >= {"figure-switches", "figure-proposals", "figure-wins", "figure-repairs"}
    sentences = [check["sentence"] for check in found["checks"]]
    assert len(sentences) == len(set(sentences)) == 12
    *paper_rows, objects, proposals = by_name["samples"]["rows"][:4]
    assert by_name["samples"]["published_rows"] == [0, 1]
    assert [row[3] for row in paper_rows] == [200_000, 2_700_000]
    assert [row[5] for row in paper_rows] == [20_000 * 64, 40_000 * 64]
    # of 4 iterations of 2, three tenths and the rest
    assert [[row[1], row[2], row[5]] for row in (objects, proposals)] == [
        ["objects", 6, 2], ["proposals", 6, 6],
    ]  # fmt: skip
    assert all(0 < row[3] <= row[4] for row in (objects, proposals))
    assert len(by_name["samples"]["rows"]) == 2 + 2 + 2 + 1
    for figure in found["figures"]:
        for path in figure["files"]:
            assert (out / path).stat().st_size > 500
    page = (out / "page.html").read_text("utf-8")
    assert "unpool1, " in page
    assert "published" in page
    assert "persons, animals and vehicles" in page  # of which the toy set has none
    assert "67.2" in page
    assert len(page) < 15_000_000
    # all 50 proposals, and the pipeline of people's own, say the same
    for place in range(2):
        names = ("boxes-050", "deconvnet")
        few, all_ = (out / "labels" / name / f"{place:06d}.png" for name in names)
        assert few.read_bytes() == all_.read_bytes()
    assert load_segmenter(out / "pipeline.yaml").labels.names[0] == "background"

    recorder = Recorder()
    run("deconvnet-paper", toy, out, methods=OTHERS, on_progress=recorder)
    assert recorder.trainings == []
    with pytest.raises(SettingsError, match="started with other values of recipes"):
        run("deconvnet-paper", toy, out)


@pytest.mark.slow
def test_other_methods_are_rows_of_our_own(paper):
    _, out = paper
    found = json.loads((out / "results.json").read_text("utf-8"))
    by_name = {table["name"]: table for table in found["tables"]}
    ours = [
        "FCN-8s", "DeconvNet", "DeconvNet+CRF", "EDeconvNet", "EDeconvNet+CRF", "Hypercolumn",
        "DeepLab-LargeFOV", "DeepLab-LargeFOV+CRF",
    ]  # fmt: skip
    for name in ("table1-classes", "methods", "sizes"):
        assert [row[0] for row in by_name[name]["rows"]] == ours, name
    assert by_name["trimap"]["header"][1:] == ours
    methods = by_name["methods"]
    published = methods["header"].index("published, %")
    assert [row[published] for row in methods["rows"]] == [
        "62.2", "69.6", "70.5", "71.7", "72.5", "59.2", None, "70.3",
    ]  # fmt: skip
    assert all(row[methods["header"].index("mIoU")] is not None for row in methods["rows"])
    trained = {row[3] for row in by_name["changes"]["rows"]}
    assert any("DeepLab-LargeFOV" in titles for titles in trained)
    assert not any("Hypercolumn" in titles for titles in trained)  # nobody's settings are known
    assert found["manifest"]["methods"] == OTHERS
    page = (out / "page.html").read_text("utf-8")
    assert "of FCN-8s, Hypercolumn and DeepLab-LargeFOV" not in page  # --set gives each the same
    assert "the published one the boxes of detected objects" in page


@pytest.mark.slow
def test_background_is_no_object_to_look_into(paper):
    toy, out = paper
    run("deconvnet-paper", toy, out, methods=OTHERS, class_name="background")
    page = (out / "page.html").read_text("utf-8")
    assert "shows an object, so there is no figure of its layers" in page
    assert 'id="figure-activations"' not in page
    assert "No two photos show objects of one class" in page
    assert 'id="figure-switches"' not in page
    assert 'id="figure-proposals"' in page


@pytest.mark.parametrize("budget", ["minutes=7", "papers"])
def test_recipes_of_the_paper(budget, toy, tmp_path, monkeypatch):
    plans, _ = planned(monkeypatch, "deconvnet-paper", toy, tmp_path / "out", budget=budget)
    by_name = {name: plan.recipe for name, plan in plans.items()}
    assert [stage.name for stage in by_name["deconvnet"].stages] == ["easy", "hard"]
    assert by_name["deconvnet-one-stage"].stages == ()
    assert by_name["deconvnet-one-stage"].crops.kind == "proposals"
    assert by_name["deconvnet-no-norm"].model.options["batch_norm"] is False
    assert by_name["deconvnet"].crops.store == str(tmp_path / "out" / "proposals-train.parquet")
    assert by_name["fcn8s"].model.name == "fcn8s"
    if budget == "papers":
        assert list(by_name) == ["fcn32s", "fcn16s", *TRAININGS]
        assert by_name["fcn8s"].init.weights == str(tmp_path / "out" / "runs" / "fcn16s")
        assert by_name["deconvnet"].budget.iterations == 60000
    else:
        assert [by_name[name].budget.minutes for name in TRAININGS] == [1, 2, 2, 2]


@pytest.mark.parametrize("budget", ["iterations=900", "papers"])
def test_other_methods_share_the_budget(budget, toy, tmp_path, monkeypatch):
    plans, _ = planned(
        monkeypatch, "deconvnet-paper", toy, tmp_path / "out", budget=budget,
        methods=["deeplab-largefov", "hypercolumn"],
    )  # fmt: skip
    names = [name for name in plans if name not in ("fcn32s", "fcn16s")]
    assert names == [*TRAININGS, *OTHERS]
    recipes = [plans[name].recipe for name in OTHERS]
    assert [recipe.model.name for recipe in recipes] == OTHERS
    if budget == "papers":
        assert [recipe.budget.iterations for recipe in recipes] == [6000, 6000]
        assert {recipe.init.weights for recipe in recipes} == {"vgg16"}
    else:
        assert [plans[name].recipe.budget.iterations for name in names] == [
            100, 200, 200, 200, 100, 100,
        ]  # fmt: skip
        assert {recipe.init.weights for recipe in recipes} == {"none"}
        assert {recipe.augment.crop for recipe in recipes} == {plans["fcn8s"].recipe.augment.crop}


def test_methods_that_there_are_not(toy, tmp_path):
    from upscore.cli.reproduce import parse_methods

    assert parse_methods(None) == ()
    assert parse_methods("deeplab-largefov, hypercolumn") == tuple(OTHERS) == tuple(OTHER_METHODS)
    assert parse_methods("hypercolumn,hypercolumn") == ("hypercolumn",)
    with pytest.raises(SettingsError, match="--methods is empty; name some of hypercolumn, deep"):
        parse_methods(" , ")
    with pytest.raises(SettingsError, match=r"methods has no 'deeplab'; did you mean 'deepl"):
        parse_methods("hypercolumn,deeplab")
    out = tmp_path / "out"
    with pytest.raises(SettingsError, match="has no 'unet'"):
        run("deconvnet-paper", toy, out, methods=["unet"])
    assert not out.exists()


def test_boxes_are_of_the_split_that_is_trained_on(toy, tmp_path, monkeypatch):
    out = tmp_path / "out"
    plans, stores = planned(
        monkeypatch,
        "deconvnet-paper",
        toy,
        out,
        budget="papers",
        assignments=["data.train_split=trainval"],
    )
    dataset = open_dataset(toy)
    both = [*dataset.split("train").pairs, *dataset.split("val").pairs]
    trained, measured = (stores[out / f"proposals-{name}.parquet"] for name in ("trainval", "val"))
    assert {photo.name for photo in trained.photos} == {pair.name for pair in both}
    # a photo that cannot be read is an error only where it is to be trained on
    assert (trained.check.called, measured.check.called) == (True, False)
    recipe = plans["deconvnet"].recipe
    assert recipe.crops.store == str(out / "proposals-trainval.parquet")
    assert recipe.data.train_split == "trainval"


def test_repairs_count_every_pixel_once():
    rng = np.random.default_rng(0)
    truth, first, second, both = rng.integers(0, 3, (4, 30, 40), dtype=np.uint8)
    truth[:4] = VOID
    found = count_repairs(truth, first, second, both)
    expected = np.zeros((4, 2), int)
    for t, a, b, e in zip(truth.flat, first.flat, second.flat, both.flat, strict=True):
        if t != VOID:
            kind = {(True, True): 0, (True, False): 1, (False, True): 2, (False, False): 3}
            expected[kind[(a == t, b == t)], int(e != t)] += 1
    assert found == expected.tolist()


def test_best_channel_is_the_one_that_shows_the_object():
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[8:16, 16:32] = True
    noise = torch.rand(4, 8, 8, generator=torch.Generator().manual_seed(0))
    features = torch.cat([noise, torch.zeros(1, 8, 8)])
    features[2] = 0.1 * noise[2]
    features[2, 2:4, 4:8] += 1
    map_, channel = best_channel(features, mask)
    assert channel == 2
    torch.testing.assert_close(map_, features[2])
    _, channel = best_channel(torch.zeros(3, 1, 1), mask)  # nothing to tell apart
    assert channel == 0


def test_identity_holds_all_that_a_stage_is_made_of():
    stages = {
        "a": {"whole_image": {"run": "runs/one"}},
        "b": {"instance_wise": {"run": "runs/two", "top": 3}},
        "both": {"ensemble": {"of": ["a", "b"]}},
        "both-crf": {"refine": {"of": "both", "crf": "deconvnet"}},
    }
    found = identity("both-crf", stages, {"one": "1", "two": "2"})
    assert found["weights"] == {"one": "1", "two": "2"}
    assert list(found["settings"]) == ["both-crf", "both", "a", "b"]
    assert identity("a", stages, {"one": "1"})["weights"] == {"one": "1"}


def test_published_rows_add_up():
    """The means are those of the cells, so that no cell is mistyped by much."""
    assert len(VOC_COLUMNS) == 21
    for row in PAPER_TABLE:
        assert len(row.cells) == 21
        if any(cell is not None for cell in row.cells):
            assert np.mean(row.cells) == pytest.approx(row.mean, abs=0.06)
    assert published_mean("DeepLab-CRF") == 71.6
    assert published_mean("DeepLab-LargeFOV+CRF") == 70.3  # another variant, published elsewhere
    assert published_mean("FCN-8s+CRF") is None
    assert {row.name: row.mean for row in PAPER_TABLE if row.cells[0] is None} == {
        "DeconvNet": 69.6,
        "DeconvNet+CRF": 70.5,
        "EDeconvNet": 71.7,
    }
