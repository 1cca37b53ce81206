"""The card of a network on a hub."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from upscore.core.labels import Labels
from upscore.metrics.confusion import Confusion
from upscore.metrics.evaluate import Evaluation
from upscore.metrics.score_files import write_results
from upscore.report.model_card import data_name, model_card, without_folders
from upscore.report.run_data import read_model_folder, read_run

NAMES = ("ground", "cow|calf")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run as its files tell it: config.json, manifest, recipe, log, one evaluation."""
    folder = tmp_path / "jane" / "run"
    (folder / "model").mkdir(parents=True)
    config = {"architecture": "fcn8s", "num_parameters": 1234567}
    config["classes"] = Labels.of(NAMES).to_json()
    (folder / "model" / "config.json").write_text(json.dumps(config))
    data = {"path": "/home/jane/cows/dataset.yaml", "splits": {"train": 30, "val": 10}}
    (folder / "manifest.json").write_text(json.dumps({"format_version": 1, "data": data}))
    recipe = {"description": "a/b cows", "init": {"weights": "/home/jane/vgg16.pth"}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (folder / "log.csv").write_text("iteration,loss,val_miou\n1,2.0,\n1500,0.5,0.6\n")
    matrix = np.array([[6, 2], [0, 8]])  # IoU 6/8 and 8/10
    evaluation = Evaluation("val", Labels.of(NAMES), Confusion(2), (), (), 1.0, 1.0)
    evaluation = replace(evaluation, confusion=Confusion.from_json(matrix.tolist()))
    write_results(evaluation, folder / "evaluation" / "val", about={"data": data})
    return folder


def head(card: str) -> dict[str, object]:
    before, block, _ = card.split("---\n", 2)
    assert before == ""
    content: dict[str, object] = yaml.safe_load(block)
    return content


def test_a_card_tells_classes_scores_data_recipe_and_licence(run: Path) -> None:
    card = model_card(read_run(run), repo="jane/cows", license="cc-by-nc-4.0")
    assert head(card) == {
        "license": "cc-by-nc-4.0",
        "library_name": "upscore",
        "pipeline_tag": "image-segmentation",
        "tags": ["semantic-segmentation", "fcn8s"],
    }
    assert "`fcn8s`, 1,234,567 parameters, 2 classes" in card
    assert "upscore hub pull jane/cows --out cows" in card
    assert "| 0 | ground | 0.750 |\n| 1 | cow\\|calf | 0.800 |" in card
    assert "| val | cows | 0 | 0.775 | 2 | 0.875 | 0.875 |" in card
    assert "Data set: cows (train 30, val 10)." in card
    assert "Iterations: 1,500." in card
    assert "weights: vgg16.pth" in card
    assert "description: a/b cows" in card
    assert "cc-by-nc-4.0, as stated by its author." in card


def test_a_card_names_no_folder_of_the_machine(run: Path, tmp_path: Path) -> None:
    card = model_card(read_run(run), repo="o/n", license=None)
    assert "/home" not in card
    assert "jane" not in card
    assert str(tmp_path) not in card


def test_what_is_not_known_is_said(run: Path) -> None:
    card = model_card(read_model_folder(run / "model"), repo="o/n", license=None)
    assert "license" not in head(card)
    assert "None: `upscore evaluate` has not scored this network." in card
    assert "No records of it." in card
    assert "Its author states none." in card
    assert "| 1 | cow\\|calf |" in card


def test_a_class_that_a_split_lacks_has_no_score(run: Path) -> None:
    path = run / "model" / "config.json"
    content = json.loads(path.read_text())
    content["classes"] = Labels.of((*NAMES, "tree")).to_json()
    path.write_text(json.dumps(content))
    assert "| 2 | tree |  |" in model_card(read_run(run), repo="o/n", license=None)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/jane/cows", "cows"),
        ("cows/", "cows"),
        ("../cows/dataset.yaml", "cows"),
        ("cows.yaml", "cows.yaml"),
        ("C:\\data\\cows", "cows"),
        ("..", None),
        (None, None),
    ],
)
def test_the_name_of_a_data_set_is_the_last_part_of_its_path(
    path: str | None, name: str | None
) -> None:
    assert data_name({"path": path}) == name


def test_paths_in_lists_are_cut_too() -> None:
    recipe = {"a": [{"b": "~/x/y"}, 3, None, "C:\\x\\z"], "c": {"description": "u/v"}}
    cut = {"a": [{"b": "y"}, 3, None, "z"], "c": {"description": "u/v"}}
    assert without_folders(recipe) == cut
