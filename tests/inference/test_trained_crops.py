"""Settings of a network over proposals: from the file, from the run's training, from a preset."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
import yaml

from evaluation.small_world import NAMES, make_network
from inference.pipeline_world import EDGE_BOXES, FOUR, FixedBoxes, stages, write
from inference.support import CPU
from upscore.core.crop_geometry import CropGeometry
from upscore.core.model_folder import CONFIG
from upscore.errors import RunError, SettingsError
from upscore.inference.instance_wise import PAPER, RELEASED
from upscore.inference.pipeline.run import Pipeline, load_pipeline
from upscore.inference.trained_crops import (
    instance_settings,
    load_instance_wise,
    trained_settings,
)
from upscore.models.checkpoint import load_model, save_model

SQUARES = {"growth": 1.4, "square": True, "leave_image": False}
OBJECTS = {"kind": "objects", **SQUARES}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_network(tmp_path / "runs" / "deconvnet", NAMES)


def say(run: Path, crops: dict, size: tuple[int, int] = (40, 48)) -> None:
    """Save the model anew, with what its crops were."""
    saved = load_model(run / "model")
    geometry = CropGeometry(**crops, size=size)
    save_model(run / "model", saved.model, labels=saved.labels, input_spec=saved.input_spec,
               crops=geometry)  # fmt: skip


def recipe(run: Path, **content: object) -> None:
    (run / "recipe.yaml").write_text(yaml.safe_dump(content))


def test_the_model_alone_gives_its_crop_geometry(run: Path, tmp_path: Path) -> None:
    say(run, SQUARES)
    assert load_model(run / "model").crops == CropGeometry(**SQUARES, size=(40, 48))
    alone = tmp_path / "alone"
    shutil.copytree(run / "model", alone)
    want = {**SQUARES, "input_size": (40, 48)}
    assert trained_settings(alone) == trained_settings(run) == want
    recipe(run, crops={"kind": "objects", "square": False})  # the model is nearer to the truth
    assert trained_settings(run) == want


@pytest.mark.parametrize(
    ("content", "want"),
    [
        ({"crops": OBJECTS, "augment": {"crop": [96, 96]}}, {**SQUARES, "input_size": (96, 96)}),
        ({"crops": OBJECTS, "augment": {"resize": [8, 9]}}, {**SQUARES, "input_size": (8, 9)}),
        (
            {"crops": {"kind": "proposals"}, "augment": {"crop": None, "resize": [32, 32]}},
            {"growth": 1.2, "square": False, "leave_image": True, "input_size": (32, 32)},
        ),
        (
            {
                "crops": {**OBJECTS, "kind": "proposals"},
                "augment": {"crop": [32, 32]},
                "stages": [
                    {"name": "a", "share": 0.5, "set": {"crops.square": True}},
                    {"name": "b", "share": 0.5, "set": {"crops.square": False}},
                ],
            },
            {**SQUARES, "square": False, "input_size": (32, 32)},
        ),
        # networks of whole photos
        ({"crops": {"kind": "photos", "square": True}, "augment": {"crop": [96, 128]}}, {}),
        ({"augment": {"crop": [96, 96]}}, {"input_size": (96, 96)}),
        ({"augment": {"crop": None}}, {}),
        # what is no recipe
        ({"augment": 3, "crops": 4, "stages": 5}, {}),
        ({"crops": {"kind": "objects", "growth": "a"}}, {}),
        ({"stages": [3]}, {}),
        ({"crops": 3, "stages": [{"set": {"crops.kind": "objects"}}]}, {}),
    ],
)
def test_an_older_run_gives_it_in_its_recipe(run: Path, content: dict, want: dict) -> None:
    recipe(run, **content)
    assert trained_settings(run) == want


def test_a_run_without_crops_has_the_presets(run: Path) -> None:
    assert trained_settings(run) == {}
    assert instance_settings(run, {}) == PAPER
    assert instance_settings(run, {}, preset="released") == RELEASED
    (run / "recipe.yaml").write_text("model: [")
    assert instance_settings(run, {}) == PAPER


def test_given_goes_before_trained_before_preset(run: Path) -> None:
    say(run, SQUARES)
    found = instance_settings(run, {"square": False, "top": 7}, preset="released")
    want = {"square": False, "top": 7, "growth": 1.4, "leave_image": False, "input_size": (40, 48)}
    assert found == RELEASED.model_copy(update=want)
    with pytest.raises(SettingsError, match="top"):
        instance_settings(run, {"top": 0})


def test_a_damaged_config_is_named(run: Path) -> None:
    path = run / "model" / CONFIG
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**content, "crops": {"growth": -1}}), "utf-8")
    with pytest.raises(RunError, match=r"config\.json: damaged \(crops: growth: .*greater than 0"):
        trained_settings(run)
    with pytest.raises(RunError, match=r"config\.json: crops: growth"):
        load_model(run / "model")


def pipeline(run: Path, **settings: object) -> Path:
    content = stages()
    content["deconvnet"] = {
        "instance_wise": {"run": "runs/deconvnet", "proposals": EDGE_BOXES, **settings}
    }
    make_network(run.parent / "fcn", NAMES)
    return write(run.parent.parent / "p.yaml", {"answer": "deconvnet", "stages": content})


def settings_of(path: Path) -> dict:
    return load_pipeline(path, stages=()).box_settings["deconvnet"].model_dump()


def test_a_pipeline_takes_the_window_of_the_training(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    say(run, SQUARES)
    path = pipeline(run, preset="paper", top=9)
    assert settings_of(path) == {
        **PAPER.model_dump(), **SQUARES, "input_size": (40, 48), "top": 9,
    }  # fmt: skip
    assert settings_of(pipeline_of(path, square=True, growth=1.4))["square"] is True
    assert not caplog.records


def pipeline_of(path: Path, **settings: object) -> Path:
    """The same file with settings of ``deconvnet``."""
    content = yaml.safe_load(path.read_text("utf-8"))
    content["stages"]["deconvnet"]["instance_wise"] |= settings
    return write(path, content)


def test_a_pipeline_that_disagrees_with_the_training_is_used_with_a_warning(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    say(run, SQUARES)
    path = pipeline(run, square=False, input_size=[64, 64], leave_image=False)
    with caplog.at_level(logging.WARNING):
        found = settings_of(path)
    assert (found["square"], found["input_size"]) == (False, (64, 64))
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: stages.deconvnet.instance_wise.{key} is {given}, but runs/deconvnet was trained "
        f"with {trained}; leave {key} out, and boxes are shown as in training"
        for key, given, trained in (
            ("square", "false", "true"),
            ("input_size", "[64, 64]", "[40, 48]"),
        )
    ]


def test_a_network_of_whole_photos_disagrees_with_nothing(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe(run, augment={"crop": [32, 32]})
    assert settings_of(pipeline(run, square=True, input_size=[64, 64]))["square"] is True
    assert not caplog.records


def test_from_python_it_is_the_same(run: Path) -> None:
    say(run, SQUARES)
    made = load_instance_wise(run, FixedBoxes(*FOUR), CPU, top=3)
    assert made.settings == instance_settings(run, {"top": 3})
    assert made.settings.square is True
    assert isinstance(load_pipeline(pipeline(run, top=3)), Pipeline)
