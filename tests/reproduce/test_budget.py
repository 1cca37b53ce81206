from __future__ import annotations

import pytest

from upscore.errors import SettingsError
from upscore.reproduce.budget import Budget


@pytest.mark.parametrize(
    ("text", "unit", "amount"),
    [("papers", None, 0), ("minutes=4", "minutes", 4), ("minutes=2.5", "minutes", 2.5),
     ("iterations=4000", "iterations", 4000)],
)  # fmt: skip
def test_all_forms(text, unit, amount):
    budget = Budget.parse(text)
    assert (budget.unit, budget.amount, str(budget)) == (unit, amount, text)
    assert budget.papers == (text == "papers")


@pytest.mark.parametrize(
    "text", ["", "4", "minutes", "minutes=", "minutes=x", "minutes=0", "minutes=-1", "minutes=inf",
             "minutes=nan", "hours=1", "paper", "iterations=", "iterations=0", "iterations=2.5",
             "iterations=-3", "papers=1"],
)  # fmt: skip
def test_nothing_else(text):
    with pytest.raises(SettingsError, match=r"--budget is .*allowed: papers.*iterations=N"):
        Budget.parse(text)


def test_shares_are_in_their_ratios_and_use_all():
    shares = Budget("minutes", 10).share({"a": 1, "b": 1, "c": 2, "d": 1})
    assert shares == {"a": "minutes=2.0", "b": "minutes=2.0", "c": "minutes=4.0",
                      "d": "minutes=2.0"}  # fmt: skip


@pytest.mark.parametrize("total", [5, 9, 10, 14, 4999])
def test_iterations_keep_their_ratios_exactly(total):
    shares = Budget("iterations", total).share({"a": 1.0, "b": 1.0, "c": 2.0, "d": 1.0})
    steps = [int(share.removeprefix("iterations=")) for share in shares.values()]
    assert steps == [total // 5, total // 5, 2 * (total // 5), total // 5]


def test_too_little_says_how_much_is_enough():
    weights = {"a": 1.0, "b": 3.0}
    with pytest.raises(SettingsError, match=r"a would get 1.5 seconds.*minutes=0.2 "):
        Budget("minutes", 0.1).share(weights)
    assert Budget("minutes", 0.2).share(weights)["a"] == "minutes=0.05"
    with pytest.raises(SettingsError, match=r"a would get none; expected at least iterations=4 "):
        Budget("iterations", 3).share(weights)
    assert Budget("iterations", 4).share(weights) == {"a": "iterations=1", "b": "iterations=3"}
