"""The public names of the package, their cost on import, and their examples."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import upscore
from upscore.core.images import InputSpec
from upscore.core.run_folder import RunFolder
from upscore.data.toy import TOY_LABELS, make_toy
from upscore.models.checkpoint import save_model
from upscore.models.classifier import create_classifier
from upscore.models.classifier_folder import save_classifier
from upscore.models.factory import create_model

FUNCTIONS = (
    "TorchDataset", "classify", "compare", "create_model", "evaluate", "heatmap", "list_models",
    "load", "load_classifier", "open_dataset", "predict", "refine", "show_progress", "train",
)  # fmt: skip
PACKAGES = ("crf", "edges", "metrics", "proposals")


def test_public_names() -> None:
    """A name that comes or goes is a decision: change this list on purpose."""
    assert set(upscore.__all__) == {"__version__", *FUNCTIONS, *PACKAGES}
    assert dir(upscore) == sorted(upscore.__all__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_callable_and_documented(name: str) -> None:
    thing = getattr(upscore, name)
    assert callable(thing)
    text = inspect.getdoc(thing) or ""
    assert "Example:" in text, f"{name} has no runnable example"


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_list_what_they_export(name: str) -> None:
    package = getattr(upscore, name)
    assert package.__all__
    for exported in package.__all__:
        assert getattr(package, exported) is not None


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'segment'"):
        _ = upscore.segment


def test_import_brings_nothing_heavy() -> None:
    code = (
        "import sys, upscore; heavy = {'torch', 'numpy', 'numba', 'PIL', 'scipy', 'pydantic'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A toy data set and a photo of it, a run folder and a classifier, and probabilities."""
    folder = tmp_path_factory.mktemp("world")
    toy = make_toy(folder / "toy", num=12, size=(48, 64))
    run = RunFolder(folder / "run")
    run.path.mkdir()
    run.write_manifest({})
    torch.manual_seed(0)
    model = create_model("fcn32s", num_classes=len(TOY_LABELS), width=0.0625, fc_width=8)
    save_model(run.model, model, labels=TOY_LABELS, input_spec=InputSpec.named("imagenet"))
    probabilities = folder / "toy_000000.npz"
    scores = upscore.load(run.path).segment(toy / "JPEGImages" / "toy_000000.jpg").probabilities
    np.savez(probabilities, probabilities=scores)
    network = create_classifier("vgg16", num_classes=3, width=0.0625, fc_kernel=1, fc_width=8)
    spec = InputSpec.named("imagenet")
    save_classifier(folder / "classifier", network, classes=["disc", "box", "sky"], input_spec=spec)
    return {
        "upscore": upscore,
        "toy": toy,
        "photo": toy / "JPEGImages" / "toy_000000.jpg",
        "run": run.path,
        "classifier": folder / "classifier",
        "probabilities": probabilities,
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_example(name: str, world: dict[str, Any], tmp_path: Path) -> None:
    thing = getattr(upscore, name)
    finder = doctest.DocTestFinder(recurse=False)
    names = world | {"folder": tmp_path / "out"}
    (test,) = finder.find(thing, name, globs=names)
    assert test.examples
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    written: list[str] = []
    runner.run(test, out=written.append)
    assert runner.failures == 0, "".join(written)
