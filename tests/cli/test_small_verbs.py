"""``info``, ``cite``, ``completion``, and the last run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from upscore.cli.main import main
from upscore.core import model_folder
from upscore.core.papers import entries, papers_of_network, papers_of_recipe
from upscore.training.recipe import load_recipe, shipped_recipes

TINY = ["--iterations", "2", "--set", "augment.crop=[32,32]", "log_every=1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos in ``toy`` and two runs below ``runs``, made without ``--out``."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(["data", "toy", "--out", "toy", "--num", "24", "--size", "48", "64", "-q"])
        for seed in ("3", "4"):
            main(["train", "fcn8s-toy", "--data", "toy", "--seed", seed, "-q", *TINY])
    return folder


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    return trained


def test_runs_have_default_places_and_the_last_one_is_used(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sorted(path.name for path in (here / "runs").iterdir()) == ["fcn8s-toy", "fcn8s-toy-2"]
    main(["evaluate", "--figures", "png,pdf,svg", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["result"]["folder"] == "runs/fcn8s-toy-2/evaluation/val"
    folder = here / "runs/fcn8s-toy-2/evaluation/val"
    assert (folder / "confusion.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in (folder / "per_class.svg").read_text("utf-8")
    assert r"\toprule" in (folder / "per_class.tex").read_text("utf-8")
    main(["report"])
    assert (here / "runs/fcn8s-toy-2/report.html").exists()
    capsys.readouterr()
    main(["predict", "toy/JPEGImages/toy_000000.jpg"])
    out = capsys.readouterr().out
    assert "Using the last run, runs/fcn8s-toy-2, with the classes background, disc" in out
    assert Path("predictions/summary.csv").exists()


def test_evaluate_shows_what_one_class_everywhere_scores(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["evaluate", "runs/fcn8s-toy"])
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if "for comparison" in line)
    assert "every pixel called background" in line
    scores = json.loads((here / "runs/fcn8s-toy/evaluation/val/scores.json").read_text())
    pixels = [one["pixels"] for one in scores["per_class"]]
    want = pixels[0] / sum(pixels) / sum(map(bool, pixels))
    assert float(re.findall(r"0\.\d+", line)[0]) == pytest.approx(want, abs=1e-4)


def test_a_network_says_where_it_comes_from(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = here / "moved"
    shutil.copytree(here / "runs/fcn8s-toy/model", moved)
    main(["info", str(moved), "--json"])
    facts = json.loads(capsys.readouterr().out)["result"]
    assert facts["network"] == "fcn8s"
    assert facts["data"] == "toy"
    assert facts["seed"] == 3
    assert facts["iterations"] in (1, 2)
    assert 0 <= facts["val_miou"] <= 1
    assert facts["data_fingerprint"]
    assert facts["initial_weights"] == "none"
    assert facts["date"].startswith("20")
    main(["info", "roads"])
    out = capsys.readouterr().out
    assert "sky, building" in out
    assert "for research only" in out
    assert re.search(r"parameters +\d{1,3}(,\d{3})+\b", out)


def test_a_run_says_how_it_was_trained(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = here / "runs/fcn8s-toy"
    config = json.loads((run / "model/config.json").read_text())
    main(["info", str(run), "--json"])
    facts = json.loads(capsys.readouterr().out)["result"]
    assert facts["iterations"] == 2
    assert facts["best_iteration"] == config["trained"]["iterations"]
    manifest = json.loads((run / "manifest.json").read_text())
    assert facts["num_photos"] == manifest["samples"]["photos"]
    assert (facts["budget"], facts["command"]) == ("2 iterations", manifest["command"])
    last = (run / "log.csv").read_text().splitlines()[-1]
    assert facts["minutes"] == round(float(last.split(",")[2]) / 60, 2)
    main(["info", str(run)])
    said = capsys.readouterr().out
    assert re.search(r"^iterations +2$", said, re.M)
    assert re.search(rf"^recipe +{re.escape(str(run / 'recipe.yaml'))}$", said, re.M)


def test_paths_of_a_network_can_be_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    networks = tmp_path / ("long-" * 20) / "networks"
    shutil.copytree(model_folder.NETWORKS, networks)
    monkeypatch.setattr(model_folder, "NETWORKS", networks)
    main(["info", "objects"])
    said = capsys.readouterr().out
    for key, path in (("folder", ""), ("licence_file", "../LICENSE.md"), ("card", "CARD.md")):
        (found,) = re.findall(rf"^{key} +(\S+)$", said, re.M)
        assert Path(found).samefile(networks / "objects" / path)


@pytest.mark.usefixtures("here")
def test_cite(capsys: pytest.CaptureFixture[str]) -> None:
    main(["cite", "runs/fcn8s-toy"])
    out = capsys.readouterr().out
    assert out.startswith("@software{upscore,")
    assert "{long2015fcn," in out
    assert "{noh2015deconvnet," not in out
    main(["cite", "objects"])
    assert "{tan2019efficientnet," in capsys.readouterr().out
    main(["cite"])
    assert capsys.readouterr().out.count("\n@") == len(entries())


def test_papers() -> None:
    for key, entry in entries().items():
        assert re.fullmatch(r"@\w+\{[a-z]+\d{4}[a-z0-9]+,.*\}", entry, re.DOTALL), key
        assert entry.count("{") == entry.count("}")
        assert re.search(r"\b(doi|eprint|pages|howpublished) +=", entry), (
            f"{key}: where to find it?"
        )
    for name in shipped_recipes():
        found = papers_of_recipe(load_recipe(name).model_dump(mode="json"))
        assert found, name
    assert papers_of_network("deconvnet", {}) == ["noh2015deconvnet"]
    assert papers_of_network("patch-cnn", {}) == ["ciresan2012patches"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", shell])
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    for word in ("train", "minutes", "check", "proposals"):
        assert word in script.read_text()
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    subprocess.run([program, "-n", str(script)], check=True)
    if shell == "bash":
        for typed, position, want in (
            ("upscore da", 1, ["data"]),
            ("upscore data ch", 2, ["check"]),
            ("upscore train --min", 2, ["--minutes"]),
            ("upscore data check --max", 3, ["--max-pixels"]),
        ):
            code = (
                f"source {script}; COMP_WORDS=({typed}); COMP_CWORD={position}; _upscore; "
                'echo "${COMPREPLY[@]}"'
            )
            done = subprocess.run([program, "-c", code], capture_output=True, text=True, check=True)
            assert done.stdout.split() == want


def test_demo_refuses_a_folder_that_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--out", str(tmp_path)])
    assert stop.value.code == 2
    assert "--out DIR" in capsys.readouterr().err


def test_an_interrupted_prediction_says_how_to_go_on(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_words: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("upscore.workflows.predict.predict", stopped)
    with pytest.raises(SystemExit) as end:
        main(["predict", "objects", str(here / "toy/JPEGImages")])
    assert end.value.code == 130
    assert "run the same command with --resume" in capsys.readouterr().err
