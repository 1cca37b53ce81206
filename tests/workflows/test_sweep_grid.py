"""The grid of a sweep: how values are read, named and checked, without training anything."""

from __future__ import annotations

import re

import pytest

from upscore.errors import NotFoundError, SettingsError
from upscore.workflows.sweep_grid import make_grid

QUICK = "fcn8s-quick"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (" vgg16 , 'a,b' ", ("vgg16", "a,b")),
        ("'it''s, so',c", ("it's, so", "c")),
        (r'"a\",b",c', ('a",b', "c")),
        ("it's,o'clock", ("it's", "o'clock")),
    ],
)
def test_values_are_separated_by_commas_outside_of_quotes(
    text: str, values: tuple[str, ...]
) -> None:
    grid = make_grid(QUICK, [f"init.weights={text}"])
    assert grid.swept == {"init.weights": values}
    assert tuple(config.recipe.init.weights for config in grid.configs) == values


def test_mappings_and_nested_lists_as_values() -> None:
    given = "model.options={width: 0.5, fc_width: 8},{width: 1}"
    configs = make_grid(QUICK, [given]).configs
    assert [config.recipe.model.options for config in configs] == [
        {"width": 0.5, "fc_width": 8}, {"width": 1},
    ]  # fmt: skip
    crops = make_grid(QUICK, ["augment.crop=null,[32,32]", "batch.size=1"]).configs
    assert [config.recipe.augment.crop for config in crops] == [None, (32, 32)]


def test_every_combination_once_the_last_changing_fastest() -> None:
    grid = make_grid(QUICK, ["optim.lr=1e-3,1e-4", "budget.iterations=7", "seed=0,1,2"])
    assert [config.name for config in grid.configs] == [
        f"lr={lr}_seed={seed}" for lr in ("0.001", "0.0001") for seed in (0, 1, 2)
    ]
    last = grid.configs[-1]
    assert (last.recipe.optim.lr, last.recipe.seed, last.recipe.budget.iterations) == (1e-4, 2, 7)
    assert last.settings == {"optim.lr": 1e-4, "seed": 2}
    assert last.assignments == ("budget.iterations=7", "optim.lr=0.0001", "seed=2")
    assert grid.swept == {"optim.lr": (1e-3, 1e-4), "seed": (0, 1, 2)}
    base = grid.base()
    assert base["optim"]["lr"] is None
    assert base["seed"] is None
    assert base["budget"]["iterations"] == 7


def test_lists_and_budgets_as_values() -> None:
    grid = make_grid(QUICK, ["augment.crop=[32,32],[64,96]", "budget.minutes=1,2"])
    crops = [config.recipe.augment.crop for config in grid.configs]
    assert crops == [(32, 32)] * 2 + [(64, 96)] * 2
    assert [config.recipe.budget.minutes for config in grid.configs] == [1, 2, 1, 2]
    assert grid.configs[0].name == "crop=32x32_minutes=1"


def test_names_are_fit_for_folders_and_differ() -> None:
    weights = ["vgg16", "runs/a", "runs-a", "../Übung 1", "'a,b'"]
    grid = make_grid(QUICK, ["init.weights=" + ",".join(weights)])
    names = [config.name for config in grid.configs]
    assert names[0] == "weights=vgg16"
    assert names[2] == "weights=runs-a"
    assert len(set(names)) == 5
    assert all(re.fullmatch(r"weights=[A-Za-z0-9.+-]+", name) for name in names)
    assert grid.configs[4].recipe.init.weights == "a,b"
    more = make_grid(QUICK, ["init.weights=runs/a,vgg16"])
    assert more.configs[0].name == names[1], "the same whatever else is swept"
    alike = make_grid(QUICK, ["augment.flip=0,0.5", "loss.class_weights=none,median_frequency"])
    assert alike.configs[-1].name == "flip=0.5_class_weights=median_frequency"
    none = make_grid(QUICK, ["validate.every=null,3"])
    assert [config.name for config in none.configs] == ["every=none", "every=3"]


def test_keys_that_end_alike_keep_all_of_their_name() -> None:
    grid = make_grid(QUICK, ["model.name=fcn8s,fcn16s", "optim.name=sgd,adam"])
    assert grid.configs[0].name == "model.name=fcn8s_optim.name=sgd"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "nothing to sweep"),
        (["seed=1"], "nothing to sweep"),
        (["seed"], "write it as KEY=VALUE,VALUE"),
        (["=1,2"], "write it as KEY=VALUE,VALUE"),
        (["seed=0,1", "seed=2"], "--set seed is given twice; separate"),
        (["seed=0,1,0"], "0 is given twice"),
        (["optim.lr=1e-4,0.0001"], "0.0001 is given twice"),
        (["seed=0,,1"], "a value is empty"),
        (["seed=0,"], "a value is empty"),
        (["seed="], "a value is empty"),
        (["augment.crop=[32,32"], "bracket is not closed"),
        (["seed=1],2"], "bracket is not closed"),
        (["init.weights='a,b"], "a quote or bracket is not closed"),
        (["optim.rate=1,2"], "unknown setting 'optim.rate'"),
        (["seed.x=1,2"], "'seed' is a value|seed"),
        (["augment.flip=0,0.0", "seed=1,2"], "are the same training"),
        (["optim.lr=1e-4,{"], "not closed"),
    ],
)
def test_bad_grids(given: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make_grid(QUICK, given)


def test_all_values_that_do_not_fit_are_reported_once() -> None:
    with pytest.raises(SettingsError) as error:
        make_grid(QUICK, ["optim.lr=fast,1e-4,-1", "seed=0,1,many"])
    lines = str(error.value).splitlines()
    assert len(lines) == len(set(lines)) == 3
    for found in ("'fast'", "-1", "'many'"):
        assert sum(found in line for line in lines) == 1


def test_a_recipe_that_is_not_there() -> None:
    with pytest.raises(NotFoundError):
        make_grid("nowhere/r.yaml", ["seed=0,1"])
    with pytest.raises(SettingsError, match="did you mean 'fcn8s-quick'"):
        make_grid("fcn8s-quik", ["seed=0,1"])
