"""The notebooks run from first to last cell, tiny, without Jupyter, and show what they should."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"

TINY = {
    "folder_to_report": {"ITERATIONS": 2, "PHOTOS": 8},
    "fcn_against_deconvnet": {"ITERATIONS": 2, "PHOTOS": 5},
}
"""What the variables at the start of each notebook become."""

SHOWN = {
    "folder_to_report": [
        "DataSet", "CheckResult", "Image png", "TrainResult", "EvaluateResult html",
        "PngImageFile png", "Predictor", "Segmentation png", "PredictResult", "ReportResult html",
    ],
    "fcn_against_deconvnet": [
        "DataSet", "TrainResult", "TrainResult", "Predictor", "CompareResult html",
        "PngImageFile png",
    ],
}  # fmt: skip
"""The values of the last lines of cells, in order, and how a notebook draws them."""

RUN = """
import ast, json
import upscore.workflows.compare as compare

# in this process: each new one spends seconds on importing torch
compare.in_processes = lambda work, items, **_: ((item, work(item)) for item in items)
names, shown = {"__name__": "__main__"}, []
for source in json.load(open("cells.json", encoding="utf-8")):
    *before, last = ast.parse(source).body or [ast.Pass()]
    value = None
    if isinstance(last, ast.Expr):
        exec(compile(ast.Module(before, []), "cell", "exec"), names)
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    else:
        exec(compile(source, "cell", "exec"), names)
    if value is not None:
        kinds = [kind for kind in ("html", "png") if hasattr(value, f"_repr_{kind}_")]
        drawn = [getattr(value, f"_repr_{kind}_")() for kind in kinds]
        assert all(drawn), value
        shown.append([" ".join([type(value).__name__, *kinds]), repr(value)])
json.dump(shown, open("shown.json", "w", encoding="utf-8"))
"""


def cells(name: str) -> list[dict[str, Any]]:
    content = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 4)
    found: list[dict[str, Any]] = content["cells"]
    return found


def test_every_notebook_is_tested() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == TINY.keys() == SHOWN.keys()


@pytest.mark.parametrize("name", TINY)
def test_nothing_is_stored_but_text_and_code(name: str) -> None:
    first, *_ = cells(name)
    assert '# %pip install "upscore[all]"' in "".join(first["source"])
    for cell in cells(name):
        assert cell["source"]
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
        else:
            assert cell["cell_type"] == "markdown"
            assert len("".join(cell["source"])) < 500, "text of notebooks is short"


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_it_runs_and_shows_its_results(name: str, tmp_path: Path) -> None:
    sources = ["".join(cell["source"]) for cell in cells(name) if cell["cell_type"] == "code"]
    for variable, value in TINY[name].items():
        places = [i for i, text in enumerate(sources) if re.search(rf"(?m)^{variable} = ", text)]
        (place,) = places
        sources[place] = re.sub(rf"(?m)^{variable} = \d+", f"{variable} = {value}", sources[place])
        assert ast.parse(sources[place])
    (tmp_path / "cells.json").write_text(json.dumps(sources), encoding="utf-8")
    environment = os.environ | {"MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads((tmp_path / "shown.json").read_text(encoding="utf-8"))
    kinds = [kind for kind, _ in shown if not kind.startswith("DataResult")]
    assert kinds == SHOWN[name]
    long = [text for _, text in shown if len(text) > 160 or "\n" in text]
    assert not long, "a representation fits a line or two"
    assert "100% iteration 2, " in done.stdout, "progress was shown"
