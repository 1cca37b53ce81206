"""``upscore pipeline``: shipped pipelines filled in with people's runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from evaluation.small_world import make_network
from inference.pipeline_world import make_runs, make_store
from inference.support import random_photo
from upscore.cli.main import main
from upscore.errors import NotFoundError, OutputError, RunError, SettingsError
from upscore.inference.pipeline.run import load_pipeline
from upscore.inference.pipeline.settings import read_pipeline
from upscore.inference.pipeline.templates import path_from, shipped_pipelines, write_pipeline

NAME = "edeconvnet-crf"


@pytest.fixture
def world(tmp_path, monkeypatch) -> Path:
    make_runs(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


RUNS = {"fcn": Path("runs/fcn"), "deconvnet": Path("runs/deconvnet")}


def test_the_template_is_the_paper_in_six_stages():
    quick, released = f"{NAME}-quick", f"{NAME}-released"
    assert shipped_pipelines() == [NAME, quick, released, "two-networks-crf"]
    import upscore

    text = Path(upscore.__file__).parent / "pipelines" / f"{NAME}.yaml"
    settings = read_pipeline(text)
    kinds = {name: (stage.kind, stage.inputs) for name, stage in settings.stages.items()}
    assert kinds == {
        "fcn": ("whole_image", ()),
        "deconvnet": ("instance_wise", ()),
        "edeconvnet": ("ensemble", ("fcn", "deconvnet")),
        "fcn-crf": ("refine", ("fcn",)),
        "deconvnet-crf": ("refine", ("deconvnet",)),
        "edeconvnet-crf": ("refine", ("edeconvnet",)),
    }
    assert settings.output == NAME
    assert settings.stages["deconvnet"].instance_wise.top == 50
    assert settings.stages["edeconvnet"].ensemble.combine == "mean"


def test_the_verb_writes_a_file_that_labels(world, capsys):
    photo = random_photo(40, 48)
    make_store(world / "b.parquet", {"a": photo})
    main(["pipeline", NAME, "--run", "fcn=runs/fcn", "--run", "deconvnet=runs/deconvnet",
          "--store", "b.parquet", "--out", "new/mine.yaml"])  # fmt: skip
    told = capsys.readouterr().out
    assert "Wrote new/mine.yaml: stages fcn, deconvnet, edeconvnet, " in told
    assert "upscore evaluate new/mine.yaml --data PATH" in told
    content = yaml.safe_load((world / "new/mine.yaml").read_text("utf-8"))
    assert content["stages"]["fcn"] == {"whole_image": {"run": "../runs/fcn"}}
    boxes = content["stages"]["deconvnet"]["instance_wise"]
    assert boxes["run"] == "../runs/deconvnet"
    assert boxes["proposals"] == {"store": "../b.parquet"}
    assert "# EDeconvNet + CRF" in (world / "new/mine.yaml").read_text("utf-8")
    pipeline = load_pipeline(Path("new/mine.yaml"), stages=["edeconvnet"])
    found = pipeline.probabilities_of(photo)
    assert len(found) == 3
    np.testing.assert_allclose(found["edeconvnet"].sum(axis=0), 1, atol=1e-5)


def test_networks_of_the_package_by_name(world):
    runs = dict.fromkeys(("first", "second"), Path("objects"))
    write_pipeline("two-networks-crf", Path("new/two.yaml"), runs=runs)
    content = yaml.safe_load((world / "new/two.yaml").read_text("utf-8"))
    assert content["stages"]["first"]["whole_image"]["run"] == "objects"
    labels = load_pipeline(Path("new/two.yaml"), stages=["both"]).labels
    assert labels.names[:2] == ("background", "cow")


def test_names_that_yaml_would_misread(world):
    odd = world / "räder: #1 'x' \"y\""
    shutil.move(world / "runs/fcn", odd)
    write_pipeline(NAME, Path("p.yaml"), runs={**RUNS, "fcn": odd})
    assert load_pipeline(Path("p.yaml"), stages=["fcn"]).stages == ("fcn",)
    assert read_pipeline(Path("p.yaml")).stages["fcn"].run == Path(odd.name)


def test_paths_seen_from_a_folder():
    assert path_from(Path("/a/b/c"), Path("/a/b")) == Path("c")
    assert path_from(Path("/a/b/c"), Path("/a/d/e")) == Path("../../b/c")
    assert path_from(Path("/a/b"), Path("/d/e")) == Path("/a/b")


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("name", "runs", "out", "message"),
    [
        ("edeconvnet", RUNS, "p.yaml", "no shipped pipeline 'edeconvnet'; did you mean 'edeconv"),
        (NAME, {}, "p.yaml", "needs --run fcn=RUN --run deconvnet=RUN; found no --run for fcn,"),
        (NAME, {**RUNS, "x": Path("y")}, "p.yaml", "found --run for 'x'"),
        (NAME, RUNS, "p.txt", r"p\.txt: expected a file name that ends in \.yaml"),
    ],
)  # fmt: skip
def test_what_cannot_be_written(name, runs, out, message):
    with pytest.raises(SettingsError, match=message):
        write_pipeline(name, Path(out), runs=runs)
    assert not Path(out).exists()


def test_runs_and_stores_are_looked_at(world):
    with pytest.raises(NotFoundError, match=r"stages\.fcn\.whole_image\.run: none: no such run"):
        write_pipeline(NAME, Path("p.yaml"), runs={**RUNS, "fcn": Path("none")})
    with pytest.raises(RunError, match="a folder of several runs; name one of them"):
        write_pipeline(NAME, Path("p.yaml"), runs={**RUNS, "fcn": Path("runs")})
    with pytest.raises(NotFoundError, match=r"no\.parquet: no such file"):
        write_pipeline(NAME, Path("p.yaml"), runs=RUNS, store=Path("no.parquet"))
    make_network(world / "runs/other", ("ground", "cat", "car"))
    with pytest.raises(SettingsError, match=r"of fcn, deconvnet: member 2 .*has cat"):
        write_pipeline(NAME, Path("p.yaml"), runs={**RUNS, "deconvnet": Path("runs/other")})
    assert not Path("p.yaml").exists()


@pytest.mark.usefixtures("world")
def test_nothing_is_overwritten():
    Path("p.yaml").write_text("mine")
    with pytest.raises(SettingsError, match=r"p\.yaml: is there already"):
        write_pipeline(NAME, Path("p.yaml"), runs=RUNS)
    assert Path("p.yaml").read_text() == "mine"


def test_a_folder_that_cannot_be_written(world):
    Path("file").touch()
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        write_pipeline(NAME, Path("file/p.yaml"), runs=RUNS)
    assert not (world / "p.yaml").exists()


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--run", "fcn"], r"--run 'fcn': write it as STAGE=RUN"),
        (["--run", "fcn="], r"--run 'fcn=': write it"),
        (["--run", "fcn=a", "--run", "fcn=b"], "--run fcn is given twice"),
    ],
)
def test_what_is_typed_wrong(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["pipeline", NAME, *words, "--out", "p.yaml"])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_the_quick_template_differs_in_how_deconvnet_looks_alone():
    import upscore

    folder = Path(upscore.__file__).parent / "pipelines"
    paper, quick = (read_pipeline(folder / f"{name}.yaml") for name in (NAME, f"{NAME}-quick"))
    assert paper.output == quick.output
    differs = [name for name in paper.stages if paper.stages[name] != quick.stages[name]]
    assert list(paper.stages) == list(quick.stages)
    assert differs == ["deconvnet"]
