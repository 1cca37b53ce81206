"""What a budget changes against the published trainings: nothing is dropped without a word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import upscore
from reproduce.support import planned
from upscore.reproduce.changes import changes_table

FILES = Path(upscore.__file__).parent / "recipes"
SHIPPED = {"exp1": "fcn8s-exp1", "exp2": "fcn8s-exp2", "exp3": "fcn8s-exp3",
           "conv-vgg-bilinear": "conv-vgg-bilinear"}  # fmt: skip
BUDGETS = ["minutes=4", "iterations=999", "papers"]


def plans_of(budget, toy, out, monkeypatch, source="fcn-report", **more):
    plans, _ = planned(monkeypatch, source, toy, out, budget=budget, **more)
    return plans


def test_the_paper_s_trainings_share_iterations(toy, tmp_path, monkeypatch):
    """Stages of DeconvNet included, and its list says what they change."""
    plans = plans_of("iterations=7003", toy, tmp_path / "out", monkeypatch, "deconvnet-paper")
    assert {name: plan.recipe.budget.iterations for name, plan in plans.items()} == {
        "fcn8s": 1000, "deconvnet": 2000, "deconvnet-no-norm": 2000, "deconvnet-one-stage": 2000,
    }  # fmt: skip
    assert [stage.budget.iterations for stage in plans["deconvnet"].recipe.stage_recipes()] == [
        600, 1400,
    ]  # fmt: skip
    table = changes_table(list(plans.values()), "caption")
    assert table is not None
    rows = {(row[0], row[3]): row[1:3] for row in table.rows}
    assert rows["optim.name", "all"] == ("sgd", "muon")
    assert rows["stages.easy.share", "DeconvNet"] == ("0.333333", "0.3")
    assert rows["loss.reduction", "FCN-8s"] == ("sum", "mean")


def leaves(tree, prefix=""):
    """Dotted key and value of each leaf of nested mappings."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@pytest.mark.parametrize("budget", BUDGETS)
def test_each_published_setting_is_kept_or_listed(budget, toy, tmp_path, monkeypatch):
    """The shipped files, read as plain YAML, against what would be trained."""
    plans = plans_of(budget, toy, tmp_path / "out", monkeypatch)
    for name, file in SHIPPED.items():
        published = yaml.safe_load((FILES / f"{file}.yaml").read_text("utf-8"))
        published.pop("description")
        table = changes_table([plans[name]], "caption")
        listed = set() if table is None else {row[0] for row in table.rows}
        here = dict(leaves(plans[name].recipe.model_dump(mode="json", by_alias=True)))
        for key, value in leaves(published):
            if here.get(key) != value:
                assert key in listed, (name, key)


@pytest.mark.parametrize("budget", BUDGETS)
def test_the_report_s_own_options_are_kept(budget, toy, tmp_path, monkeypatch):
    plans = plans_of(budget, toy, tmp_path / "out", monkeypatch)
    recipe = {name: plan.recipe for name, plan in plans.items()}
    for name in ("exp1", "exp2", "exp3"):
        options = recipe[name].model.options
        assert recipe[name].model.name == "fcn8s"
        assert options["at_once"] is True
        assert options["upsampling"] == "learned"
        assert options.get("score_init", "zero") == "zero"
    assert {one.optim.name for one in recipe.values()} == {"adam"}
    assert {one.optim.decay for one in recipe.values()} == {"all"}
    assert [recipe[name].optim.weight_decay for name in SHIPPED] == [1e-6, 1e-5, 1e-6, 1e-6]
    amounts = [next(iter(recipe[name].budget.model_dump(exclude_none=True).values()))
               for name in SHIPPED]  # fmt: skip
    assert [amount / amounts[0] for amount in amounts] == [1, 1, 2, 1]
    assert len({one.validate_.times for one in recipe.values()}) == 1
    assert recipe["exp1"].validate_.times is not None


def test_own_settings_are_listed_too(toy, tmp_path, monkeypatch):
    plans = plans_of("papers", toy, tmp_path / "out", monkeypatch, assignments=["optim.lr=0.01"])
    table = changes_table(list(plans.values()), "caption")
    assert table is not None
    assert table.rows == (("optim.lr", "1e-05", "0.01", "all"),)


def test_papers_budget_changes_nothing(toy, tmp_path, monkeypatch):
    plans = plans_of("papers", toy, tmp_path / "out", monkeypatch)
    assert changes_table(list(plans.values()), "caption") is None


def test_the_page_lists_them(report):
    found = json.loads((report / "results.json").read_text("utf-8"))
    (table,) = [table for table in found["tables"] if table["name"] == "changes"]
    rows = {row[0]: row[1:] for row in table["rows"]}
    assert rows["init.weights"] == ["vgg16", "none", "all"]
    assert rows["optim.lr"] == ["1e-05", "0.001", "all"]
    assert rows["model.options.fc_width"][1:] == ["8", "all"]
    assert "model.options.at_once" not in rows
    assert "init.weights" in (report / "page.html").read_text("utf-8")
