"""The core installation is enough to predict, and where an extra is missing, one error says so."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import upscore
from new_process import SOURCE, run_python
from upscore.cli.main import main
from upscore.cli.verbs import VERBS, Verb
from upscore.core.extras import EXTRAS, install_command, missing_extra, require_extras
from upscore.core.labels import VOID
from upscore.crf.settings import load_crf
from upscore.data.toy import make_toy
from upscore.errors import MissingExtraError
from upscore.inference.area_records import Measures

PROJECT = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text())["project"]
OPTIONAL = sorted({module for modules in EXTRAS.values() for module in modules})
MODULES = {
    "pillow": "PIL",
    "pyyaml": "yaml",
    "mlflow-skinny": "mlflow",
    "opencv-contrib-python-headless": "cv2",
}
"""Modules that are not called like their distribution."""


def modules_of(listed: list[str]) -> Iterator[str]:
    """The modules of a list of requirements, those of the extras that it names included."""
    for requirement in listed:
        name = re.match(r"[\w-]+", requirement)
        assert name is not None
        if extras := re.match(r"upscore\[([\w,]+)\]", requirement):
            for extra in extras[1].split(","):
                yield from modules_of(PROJECT["optional-dependencies"][extra])
        else:
            yield MODULES.get(name[0], name[0].replace("-", "_"))


def hide(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """As if these were not installed, for modules that are not imported yet."""
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)


CORE_ONLY = """
import builtins, contextlib, io, json, sys
for name in {optional}:
    sys.modules[name] = None
used, real = set(), builtins.__import__
def spy(name, globals=None, locals=None, fromlist=(), level=0):
    if not level and str((globals or {{}}).get("__name__")).startswith("upscore"):
        used.add(name.partition(".")[0])
    return real(name, globals, locals, fromlist, level)
builtins.__import__ = spy

from upscore.cli import main
from upscore.errors import MissingExtraError
main(["predict", {photo!r}, "--out", {out!r}, "--quiet"])
import upscore
result = upscore.load("objects").segment({photo!r})
builtins.__import__ = real

from upscore.cli.verbs import VERBS
for verb in VERBS:
    verb.load()  # all that --help needs
with contextlib.redirect_stdout(io.StringIO()):
    for line in ("recipes", "cite", "data check {data}"):
        main(line.split())

def error(act):
    try:
        act()
    except MissingExtraError as found:
        return str(found)

def crf():
    import numpy as np
    from upscore.crf import DenseCRF, Gaussian
    halves = np.full((2, 4, 4), 0.5, np.float32)
    DenseCRF(gaussian=Gaussian(sxy=3, weight=3))(None, probabilities=halves)

print(json.dumps({{
    "used": sorted(used - sys.stdlib_module_names - {{"upscore"}}),
    "labels": result.labels.shape,
    "errors": [
        error(crf),
        error(lambda: __import__("upscore.metrics")),
        error(lambda: __import__("upscore.report.figures.scores")),
    ],
}}))
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "toy"
    make_toy(folder, num=16, size=(48, 64))  # some of each class
    return folder


def test_the_core_installation_predicts_and_is_no_more_than_that(toy: Path, tmp_path: Path) -> None:
    photo, out = toy / "JPEGImages" / "toy_000000.jpg", tmp_path / "out"
    code = CORE_ONLY.format(optional=OPTIONAL, photo=str(photo), out=str(out), data=toy)
    found = json.loads(run_python(code, HOME=str(tmp_path)).splitlines()[-1])
    assert (out / "labels" / "toy_000000.png").is_file()
    assert (out / "overlay" / "toy_000000.jpg").is_file()
    assert (out / "summary.csv").is_file()
    assert found["labels"] == list(Image.open(photo).size[::-1])
    assert set(found["used"]) == set(modules_of(PROJECT["dependencies"]))
    for message, extra in zip(found["errors"], ("crf", "evaluate", "report"), strict=True):
        assert message.endswith(f'not installed; type: pip install "upscore[{extra}]"')


def test_the_table_of_extras_is_that_of_pyproject() -> None:
    declared = PROJECT["optional-dependencies"]
    assert EXTRAS.keys() == declared.keys() - {"all", "dev"}
    for extra, modules in EXTRAS.items():
        assert set(modules) == set(modules_of(declared[extra])), extra
    assert set(modules_of(declared["all"])) <= set(modules_of(declared["dev"]))


def test_all_that_is_imported_is_declared_and_all_that_is_declared_is_imported() -> None:
    imported = set()
    for path in (SOURCE / "upscore").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(str(node.module).partition(".")[0])
    imported -= {*sys.stdlib_module_names, "upscore"}
    known = {*modules_of(PROJECT["dependencies"]), *modules_of(["upscore[all]"])}
    assert imported == {*known, "h5py", "llvmlite"}  # the last comes with numba


def typed(verb: Verb) -> list[str]:
    return verb.examples[-1].split()[1:]


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb.extras], ids=lambda v: v.name)
def test_a_verb_without_its_extras_says_at_once_what_to_type(
    verb: Verb,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hide(monkeypatch, *OPTIONAL)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(typed(verb))
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"upscore: upscore {verb.name} needs ")
    assert all(module in line for extra in verb.extras for module in EXTRAS[extra])
    assert line.endswith(f"not installed; type: {install_command(*verb.extras)}")
    assert not list(tmp_path.iterdir())


def test_only_incomplete_extras_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "matplotlib")
    with pytest.raises(MissingExtraError) as error:
        require_extras("this", "train", "report")
    want = 'this needs matplotlib, which is not installed; type: pip install "upscore[report]"'
    assert str(error.value) == want
    require_extras("this", "train")
    # found, but it cannot be imported
    assert "needs numba, which is not installed" in str(missing_extra("this", "crf"))


def test_python_names_and_options_say_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, *OPTIONAL)
    needs = {verb.name: verb.extras for verb in VERBS}
    for name in ("compare", "evaluate", "refine", "train"):  # the same as on the command line
        with pytest.raises(MissingExtraError, match=rf"^upscore\.{name} needs ") as error:
            getattr(upscore, name)
        assert str(error.value).endswith(install_command(*needs[name]))
    for package in (upscore.proposals, upscore.edges):
        with pytest.raises(MissingExtraError, match=r'type: pip install "upscore\[proposals\]"$'):
            _ = package.LearnedEdges
    for act in (lambda: Measures(min_object=5), lambda: load_crf("deconvnet").build()):
        with pytest.raises(MissingExtraError, match=r'type: pip install "upscore\[crf\]"$'):
            act()
    load_crf("deconvnet").build(device="cuda")  # a GPU's CRF is torch's


def test_an_evaluation_without_matplotlib_has_scores_and_says_that_figures_are_missing(
    toy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hide(monkeypatch, "matplotlib")
    split = upscore.open_dataset(toy).split("val")
    for sample in map(split.read, range(len(split))):
        np.save(tmp_path / f"{sample.name}.npy", np.where(sample.labels == VOID, 0, sample.labels))
    out = tmp_path / "scores"
    result = upscore.evaluate(tmp_path, data=toy, split="val", out=out)
    assert result.miou == 1.0
    assert (out / "scores.json").is_file()
    assert list((out / "examples").glob("*.png"))
    assert not (out / "confusion.png").exists()
    assert 'type: pip install "upscore[report]"; without it,' in caplog.text


def test_a_pipeline_lists_the_stages_that_cannot_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "numba")
    from upscore.inference.pipeline.run import load_pipeline

    path = tmp_path / "both.yaml"
    path.write_text(
        "stages:\n"
        "  boxes: {instance_wise: {run: none, proposals: {source: edge-boxes}}}\n"
        "  crf: {refine: {of: boxes, crf: deconvnet}}\n"
        "answer: crf\n"
    )
    with pytest.raises(Exception, match=r"upscore\[crf\]") as error:
        load_pipeline(path)
    assert "stages.boxes.instance_wise" in str(error.value)
    assert 'upscore[proposals]"' in str(error.value)
