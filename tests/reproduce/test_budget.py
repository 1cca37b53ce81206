from __future__ import annotations

import pytest

from upscore.errors import SettingsError
from upscore.reproduce.budget import Budget


def test_both_forms():
    assert Budget.parse("papers").minutes is None
    assert str(Budget.parse("papers")) == "papers"
    assert Budget.parse("minutes=4").minutes == 4
    assert str(Budget.parse("minutes=2.5")) == "minutes=2.5"


@pytest.mark.parametrize(
    "text", ["", "4", "minutes", "minutes=", "minutes=x", "minutes=0", "minutes=-1", "minutes=inf",
             "minutes=nan", "hours=1", "paper"],
)  # fmt: skip
def test_nothing_else(text):
    with pytest.raises(SettingsError, match=r"--budget is .*allowed: papers"):
        Budget.parse(text)


def test_shares_are_in_their_ratios_and_use_all():
    shares = Budget(10).share({"a": 1, "b": 1, "c": 2, "d": 1})
    assert shares == {"a": 2, "b": 2, "c": 4, "d": 2}


def test_too_little_says_how_much_is_enough():
    weights = {"a": 1.0, "b": 3.0}
    with pytest.raises(SettingsError, match=r"a would get 1.5 seconds.*minutes=0.2 "):
        Budget(0.1).share(weights)
    assert Budget(0.2).share(weights)["a"] == pytest.approx(0.05)
