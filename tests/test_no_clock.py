"""Nothing is judged by the clock: tests wait for events, and gates train by iterations.

A machine may be ten times as slow as another and have other work beside it; a test or a gate that
depends on that turns red without anything being wrong.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from upscore.training.recipe import load_recipe, shipped_recipes

TESTS = Path(__file__).resolve().parent
REPOSITORY = TESTS.parent

MAY_LOOK = {
    "waiting.py": "waits for other processes; its limit of minutes only ends what hangs",
}
"""Files below tests/ that import a clock, and why."""

CLOCKS = {"time", "timeit", "datetime", "sched"}
LEAST_LIMIT_S = 120
"""Limits that only end what hangs are at least so long."""
MAY_BE_SHORT = {
    ("core/test_download.py", 2): "asks an unknown host; the answer is the same after any time",
    ("core/test_download.py", 0.2): "a silent server; longer would only take longer",
}
"""Limits that are themselves what is tested."""


def files() -> list[Path]:
    return sorted(TESTS.rglob("*.py"))


def clocks_of(code: str) -> list[str]:
    """Names of clocks that a file imports, also in programs that it holds as texts."""
    found: list[str] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name in CLOCKS]
        elif isinstance(node, ast.ImportFrom) and node.module in CLOCKS:
            found.append(str(node.module))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += re.findall(rf"\bimport (?:\w+, )*({'|'.join(CLOCKS)})\b", node.value)
        elif isinstance(node, ast.Attribute) and node.attr == "Timer":
            found.append("Timer")
    return found


def limits_of(code: str) -> list[float]:
    """Numbers that are given as ``timeout``."""
    return [
        keyword.value.value
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "timeout"
        and isinstance(keyword.value, ast.Constant)
        and isinstance(keyword.value.value, int | float)
    ]


@pytest.mark.parametrize(
    "code",
    ["import time", "from time import sleep", "import os, time\n", "def f():\n    import time",
     "import threading\nthreading.Timer(1, print)", "CODE = 'import sys, time; time.sleep(1)'",
     "from datetime import datetime"],
)  # fmt: skip
def test_clocks_are_found(code: str) -> None:
    assert clocks_of(code)


def test_no_test_looks_at_the_clock() -> None:
    found = {
        path.relative_to(TESTS).as_posix(): clocks_of(path.read_text("utf-8"))
        for path in files()
        if path != Path(__file__).resolve()
    }
    looking = {name for name, clocks in found.items() if clocks}
    assert looking == set(MAY_LOOK), (
        "wait for an event (tests/waiting.py), or give the module a clock of the test's own; where "
        "neither can be, name the file and why in MAY_LOOK"
    )


def test_limits_only_end_what_hangs() -> None:
    found = {
        (path.relative_to(TESTS).as_posix(), limit)
        for path in files()
        for limit in limits_of(path.read_text("utf-8"))
    }
    assert {one for one in found if one[1] < LEAST_LIMIT_S} == set(MAY_BE_SHORT)


# -- trainings -------------------------------------------------------------------------------------


def trained_by(text: str) -> set[str]:
    """Recipes that a script trains with ``upscore train`` or a sweep, without its own budget."""
    return {
        found["recipe"]
        for line in text.replace("\\\n", " ").splitlines()
        if (found := re.search(r"upscore['\"]? (?:train|sweep) (?P<recipe>\w[\w-]*)", line))
        and "budget.iterations=" not in line
    }


def test_trainings_of_a_script_are_found() -> None:
    text = (
        "\tupscore train fcn8s-toy --data x \\\n  --out y\n\tupscore evaluate x\n"
        "upscore train a --set budget.iterations=3\nupscore train b --set \\\n budget.minutes=1\n"
    )
    assert trained_by(text) == {"fcn8s-toy", "b"}


@pytest.mark.parametrize("gate", ["Makefile", ".ci/run"])
def test_gates_train_by_iterations(gate: str) -> None:
    for recipe in trained_by((REPOSITORY / gate).read_text("utf-8")):
        assert load_recipe(recipe).budget.iterations is not None, (
            f"{gate} trains {recipe}, whose budget is no number of iterations: another machine "
            "would come to another score"
        )


def test_tests_that_train_give_iterations() -> None:
    """The tiny settings of all tests that train, whatever the recipe's own budget is."""
    from reproduce import support
    from training import conftest, tiny_stages

    by_minutes = [n for n in shipped_recipes() if load_recipe(n).budget.minutes is not None]
    assert by_minutes, "recipes for people keep their minutes"
    for settings in (conftest.TINY, tiny_stages.TINY, support.TINY):
        assert any(text.startswith("budget.iterations=") for text in settings)
    sweep = (TESTS / "cli" / "test_sweep.py").read_text("utf-8")
    assert '"budget.iterations=2"' in sweep
