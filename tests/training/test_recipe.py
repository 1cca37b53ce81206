"""Recipes: shipped ones load, wrong ones say what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from upscore.errors import NotFoundError, SettingsError
from upscore.training.recipe import Recipe, load_recipe, shipped_recipes

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_papers_settings_stand_in_the_recipes() -> None:
    one, two, three = (load_recipe(f"fcn8s-exp{i}") for i in (1, 2, 3))
    assert [r.optim.name for r in (one, two, three)] == ["adam"] * 3
    assert [r.optim.lr for r in (one, two, three)] == [1e-5] * 3
    assert [r.optim.weight_decay for r in (one, two, three)] == [1e-6, 1e-5, 1e-6]
    assert [r.budget.iterations for r in (one, two, three)] == [20000, 20000, 40000]
    heavy = [load_recipe(f"fcn{s}s") for s in (32, 16, 8)]
    assert [r.optim.lr for r in heavy] == [1e-10, 1e-12, 1e-14]
    assert {(r.optim.momentum, r.loss.reduction, r.batch.size) for r in heavy} == {(0.99, "sum", 1)}
    at_once = load_recipe("fcn8s-atonce")
    assert at_once.budget.iterations == 300000
    assert at_once.model.options["at_once"] is True


@pytest.mark.parametrize("name", shipped_recipes())
def test_yaml_round_trip(tmp_path: Path, name: str) -> None:
    recipe = load_recipe(name)
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    kept = recipe.model_copy(update={"measured": ()})  # the documented scores stay in the package
    assert load_recipe(str(path)) == kept


def test_another_network_is_not_described_as_the_recipes() -> None:
    assert "another network" not in load_recipe("fcn8s-quick", ["seed=1"]).description
    found = load_recipe("fcn8s-quick", ["model.name=fcn8s"]).description
    assert found == "Settings of recipe fcn8s-quick with another network."


@pytest.mark.parametrize("model", ["3", "[fcn8s]", "null", "fcn8s"])
def test_a_network_that_is_no_block_of_settings(tmp_path: Path, model: str) -> None:
    (tmp_path / "r.yaml").write_text(f"model: {model}\n")
    with pytest.raises(SettingsError, match="model"):
        load_recipe(str(tmp_path / "r.yaml"))


def test_another_budget_replaces_the_recipes() -> None:
    recipe = load_recipe("fcn8s-exp1", ["budget.minutes=12"])
    assert recipe.budget.minutes == 12
    assert recipe.budget.iterations is None


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["optim.lrr=1"], r"unknown setting 'optim.lrr'; did you mean optim\.lr\?"),
        (["optim.lr=-1"], r"optim.lr: input should be greater than 0 \(found -1\)"),
        (["optim.lr=fast"], r"optim.lr: input should be a valid number"),
        (["optim.name=sdg"], r"optim.name: input should be 'sgd', 'adam', 'adamw' or 'muon'"),
        (
            ["budget.minutes=5", "budget.epochs=2"],
            "exactly one of iterations, epochs, samples, minutes",
        ),
        (["validate.every=5", "validate.times=2"], "every or times, not both; found every 5"),
        (["budget.minutes=0"], "budget.minutes: input should be greater than 0"),
        (["batch.size=0"], "batch.size: input should be greater than or equal to 1"),
        (["augment.crop=null"], "batch.size is 4, but photos keep their own sizes"),
        (["augment.flip=2"], "augment.flip: input should be less than or equal to 1"),
        (["input=vgg"], "input is 'vgg'; allowed: caffe, imagenet"),
        (["loss.reduction=sum"], "the papers use 1e-10 to 1e-14"),
        (["precision=fp8"], "precision: input should be 'auto', 'fp32', 'bf16' or 'fp16'"),
        (["optim.clip=1"], "clip is 1 with muon.*leave clip out"),
        (["average=1"], "average: input should be less than 1"),
        (["schedule.name=step"], "step needs steps"),
        (["seed=-1"], "seed: input should be greater than or equal to 0"),
    ],
)
def test_wrong_settings(assignments: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_recipe("fcn8s-quick", assignments)


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean 'fcn8s-quick'"):
        load_recipe("fcn8s-quik")
    with pytest.raises(NotFoundError, match="no such recipe file"):
        load_recipe(str(tmp_path / "mine.yaml"))
    for path in (r"C:\recipes\mine", r"recipes\mine", "recipes/mine"):
        with pytest.raises(NotFoundError, match="no such recipe file"):
            load_recipe(path)


def test_deconvnets_stages_have_the_papers_iterations() -> None:
    stages = load_recipe("deconvnet").stage_recipes()
    alone = [load_recipe(f"deconvnet-stage{number}") for number in (1, 2)]
    assert [r.budget.iterations for r in stages] == [20_000, 40_000]
    assert [r.budget.iterations for r in alone] == [20_000, 40_000]
    assert [r.crops.kind for r in stages] == [r.crops.kind for r in alone]


@pytest.mark.parametrize("share", ["1/3", " 1 / 3 ", 1 / 3, "0.3333333333333333"])
def test_shares_are_numbers_or_fractions(tmp_path: Path, share: object) -> None:
    path = tmp_path / "r.yaml"
    shares = [{"name": "a", "share": share}, {"name": "b", "share": "2/3"}]
    content = {**yaml.safe_load(load_recipe("deconvnet").to_yaml()), "stages": shares}
    path.write_text(yaml.safe_dump(content))
    found = load_recipe(str(path), ["budget.iterations=3000000"]).stage_recipes()
    assert [r.budget.iterations for r in found] == [1_000_000, 2_000_000]


@pytest.mark.parametrize("share", ["1/0", "a/b", "4/3", "-1/3", "third", 0])
def test_shares_that_cannot_be(share: object) -> None:
    stages = [{"name": "a", "share": share}, {"name": "b", "share": 0.5}]
    with pytest.raises(SettingsError, match=r"stages\.0\.share: "):
        load_recipe("deconvnet", [f"stages={yaml.safe_dump(stages)}"])


def test_a_share_in_per_cent_is_told_what_to_type() -> None:
    stages = [{"name": "a", "share": "33%"}, {"name": "b", "share": 0.67}]
    with pytest.raises(SettingsError, match=r"stages\.0\.share: .* fraction such as 1/3"):
        load_recipe("deconvnet", [f"stages={yaml.safe_dump(stages)}"])


def test_recipes_of_older_runs_still_load(tmp_path: Path) -> None:
    stages = [{"name": "easy", "share": 0.3333}, {"name": "hard", "share": 0.6667}]
    path = tmp_path / "recipe.yaml"
    content = {**yaml.safe_load(load_recipe("deconvnet").to_yaml()), "stages": stages}
    path.write_text(yaml.safe_dump(content))
    found = load_recipe(str(path)).stage_recipes()
    assert [r.budget.iterations for r in found] == [19_998, 40_002]


def test_another_validation_replaces_the_recipes() -> None:
    assert load_recipe("fcn8s-exp1").validate_.times == 10
    changed = load_recipe("fcn8s-exp1", ["validate.every=7"]).validate_
    assert (changed.every, changed.times) == (7, None)
    changed = load_recipe("fcn32s", ["validate.times=3"]).validate_
    assert (changed.every, changed.times) == (None, 3)


ELSEWHERE = {"crops", "stages", "measured", "description"}
"""Settings with a section of their own in docs/recipes.md."""


def keys(
    content: dict[str, Any], model: type[BaseModel], above: str = ""
) -> tuple[set[str], set[str]]:
    """Dotted keys that are documented, and that there are."""
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    got, want = {above + key for key in content}, {above + key for key in fields}
    for key, field in fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and key not in ELSEWHERE:
            inner = keys(content.get(key, {}), kind, f"{above}{key}.")
            got, want = got | inner[0], want | inner[1]
    return got, want


def test_every_setting_is_documented() -> None:
    text = (REPOSITORY / "docs" / "recipes.md").read_text("utf-8")
    block = text.split("## Settings")[1].split("```yaml")[1].split("```")[0]
    got, want = keys(yaml.safe_load(block), Recipe)
    want -= {*ELSEWHERE, "budget.iterations", "budget.epochs", "budget.samples"}
    assert got - ELSEWHERE == want
