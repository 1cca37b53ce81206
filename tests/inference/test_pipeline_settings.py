"""The pipeline file: what is in it, and all that can be wrong with it."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from inference.pipeline_world import stages, write
from upscore.core.model_folder import is_pipeline
from upscore.errors import NotFoundError, SettingsError
from upscore.inference.instance_wise import InstanceSettings
from upscore.inference.pipeline.settings import ProposalSettings, read_pipeline
from upscore.proposals.edge_boxes.parameters import EdgeBoxesParameters


def read(tmp_path, **changes):
    """A good file with stages replaced or (None) removed."""
    content = {"answer": "both-crf", "stages": stages()}
    for name, stage in changes.items():
        if name == "answer":
            content["answer"] = stage
        elif stage is None:
            del content["stages"][name.replace("_", "-")]
        else:
            content["stages"][name.replace("_", "-")] = stage
    return read_pipeline(write(tmp_path / "p.yaml", content))


def test_a_good_one(tmp_path):
    settings = read(tmp_path)
    assert settings.output == "both-crf"
    assert settings.stages["both"].inputs == ("fcn", "deconvnet")
    assert settings.stages["both"].kind == "ensemble"
    assert settings.stages["fcn"].whole_image.tile == 1024
    order = settings.order(settings.stages)
    assert sorted(order) == sorted(settings.stages)
    for name, stage in settings.stages.items():
        assert all(order.index(other) < order.index(name) for other in stage.inputs)
    assert settings.order(["fcn-crf"]) == ["fcn", "fcn-crf"]
    assert settings.order(["both", "fcn"]) == ["fcn", "deconvnet", "both"]


def test_the_keys_of_the_file_are_the_ones_that_count(tmp_path):
    content = read(tmp_path).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert content["answer"] == "both-crf"
    assert content["stages"]["both"]["ensemble"]["of"] == ["fcn", "deconvnet"]
    assert read_pipeline(write(tmp_path / "again.yaml", content)) == read(tmp_path)
    path = write(tmp_path / "p.yaml", {"output": "fcn", "stages": stages()})
    with pytest.raises(
        SettingsError, match=r"unknown setting 'output'; there are .*answer, stages"
    ):
        read_pipeline(path)


def boxes(**more):
    return {"instance_wise": {"run": "r", "proposals": {"source": "edge-boxes"}, **more}}


def test_what_the_file_gives_is_known(tmp_path):
    stage = read(tmp_path, deconvnet=boxes(preset="released")).stages["deconvnet"].instance_wise
    assert stage.given == {}
    stage = read(tmp_path, deconvnet=boxes(square=False, input_size=[8, 9]))
    stage = stage.stages["deconvnet"].instance_wise
    assert stage.given == {"square": False, "input_size": (8, 9)}


def test_every_setting_of_instance_wise_can_be_given(tmp_path):
    values = {
        "top": 9, "growth": 1.5, "square": True, "leave_image": False, "min_side": 5,
        "whole_image": True, "input_size": [64, 96], "antialias": False, "aggregate": "mean",
        "start": "covered", "softmax": "before", "released_shift": True, "batch": 3,
    }  # fmt: skip
    assert set(values) == set(InstanceSettings.model_fields)
    stage = read(tmp_path, deconvnet=boxes(**values)).stages["deconvnet"].instance_wise
    assert {**stage.given, "input_size": list(stage.given["input_size"])} == values


def test_options_of_edge_boxes_are_its_own():
    own = {field.name for field in dataclasses.fields(EdgeBoxesParameters)}
    given = set(ProposalSettings.model_fields) - {"store", "source", "edges", "model"}
    assert given <= own


def circle():
    return {"refine": {"of": "both-crf"}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": "nothing"}, r"answer: no stage 'nothing'; there are both, "),
        ({"fcn": None}, r"stages\.fcn-crf\.refine\.of: no stage 'fcn'; there are both"),
        ({"both": circle()}, r"both is made of both-crf is made of both, a circle"),
        ({"fcn": {"refine": {"of": "fcn"}}}, r"fcn is made of fcn, a circle"),
        (
            {"fcn": {"refine": {"of": "fcn-crf"}}},
            r"stages: fcn is made of fcn-crf is made of fcn, a circle; each stage must come to",
        ),
        ({"fcn": {}}, r"stages\.fcn: a stage is exactly one of whole_image.*; found none"),
        (
            {"fcn": {"whole_image": {"run": "r"}, "refine": {"of": "both"}}},
            r"exactly one of .*; found whole_image, refine",
        ),
        ({"fcn": {"whole_imag": {"run": "r"}}}, r"imag'; did you mean stages\.fcn\.whole_i"),
        (
            {"fcn": {"whole_image": {"run": "r", "tille": 3}}},
            r"whole_image\.tille'; did you mean stages\.fcn\.whole_image\.tile\?",
        ),
        ({"fcn": {"whole_image": {"tile": 0}}}, r"'stages\.fcn\.whole_image\.run' is missing"),
        (
            {"fcn": {"whole_image": {"run": "r", "tile": 100}}},
            r"stages\.fcn\.whole_image\.tile: tile is 100; allowed: 0 .never. or a multiple",
        ),
        ({"fcn": {"whole_image": {"run": "r", "scales": []}}}, r"image\.scales: .*at least 1"),
        (
            {"deconvnet": {"instance_wise": {"run": "r"}}},
            r"stages\.deconvnet\.instance_wise: .* needs to know where boxes come from; give it "
            r"proposals: \{store: FILE\.parquet\}",
        ),
        ({"deconvnet": boxes(preset="papier")}, r"instance_wise\.preset: .*'paper' or 'released'"),
        ({"deconvnet": boxes(top=0)}, r"instance_wise\.top: .*greater than or equal to 1.*found 0"),
        ({"deconvnet": boxes(agregate="max")}, r"agregate'; did you mean .*\.aggregate"),
        ({"deconvnet": boxes(proposals={})}, r"give either \{store: .* or .*; found neither"),
        (
            {"deconvnet": boxes(proposals={"store": "a", "source": "edge-boxes"})},
            r"proposals: give either .*; found both",
        ),
        (
            {"deconvnet": boxes(proposals={"store": "a", "beta": 0.9})},
            r"proposals: beta: for source: edge-boxes",
        ),
        (
            {"deconvnet": boxes(proposals={"source": "edge-boxes", "bta": 0.9})},
            r"proposals\.bta'; did you mean .*\.beta",
        ),
        (
            {"deconvnet": boxes(proposals={"source": "edge-boxes", "edges": "gradient",
                                           "model": "m"})},
            r"edges: gradient has none",
        ),
        ({"both": {"ensemble": {"of": ["fcn"]}}}, r"ensemble\.of: .*at least 2"),
        ({"both": {"ensemble": {"of": ["fcn", "fcn"]}}}, r"of names fcn twice; use combine: weig"),
        ({"both": {"ensemble": {"of": ["fcn", "x"]}}}, r"stages\.both\.ensemble\.of: no stage 'x'"),
        ({"both": {"ensemble": {"of": ["fcn", "deconvnet"], "combine": "sum"}}},
         r"combine: .*'mean', 'weighted' or 'product'.*found 'sum'"),
        ({"../up": circle()}, r"stages\.\.\./up: a stage is named by letters"),
        ({"a,b": circle()}, r"stages\.a,b: a stage is named by letters"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_reported(tmp_path, changes, message):
    with pytest.raises(SettingsError, match=message) as told:
        read(tmp_path, **changes)
    assert all(line.startswith(f"{tmp_path / 'p.yaml'}: ") for line in str(told.value).splitlines())


def test_every_problem_is_reported(tmp_path):
    with pytest.raises(SettingsError) as told:
        read(tmp_path, answer="a", fcn={"refine": {"of": "b"}}, both={"refine": {"of": "c"}})
    assert [f"no stage {name!r}" in str(told.value) for name in "abc"] == [True] * 3
    wrong = {"whole_image": {"run": 3, "tile": 7, "flop": True}}
    with pytest.raises(SettingsError) as told:
        read(tmp_path, fcn=wrong, both={})
    assert len(str(told.value).splitlines()) == 4


def test_files_that_are_none(tmp_path):
    with pytest.raises(NotFoundError, match=r"p\.yaml: no such file"):
        read_pipeline(tmp_path / "p.yaml")
    (tmp_path / "p.yaml").write_text("answer: [")
    with pytest.raises(SettingsError, match=r"p\.yaml, line \d: not valid YAML"):
        read_pipeline(tmp_path / "p.yaml")
    (tmp_path / "p.yaml").write_text("answer: a\nstages: {}")
    with pytest.raises(SettingsError, match=r"stages: .*at least 1"):
        read_pipeline(tmp_path / "p.yaml")
    (tmp_path / "p.yaml").write_text("answer: a\nstages: {a: {refine: {of: b}}, a: 1}")
    with pytest.raises(SettingsError, match="'a' is given twice"):
        read_pipeline(tmp_path / "p.yaml")


def test_stages_that_meet_again_and_again(tmp_path):
    """2^60 ways lead to the network; each stage comes once, after its inputs."""
    made = {
        f"{side}{layer}": {"ensemble": {"of": [f"a{layer + 1}", f"b{layer + 1}"]}}
        for layer in range(60)
        for side in "ab"
    }
    networks = {f"{side}60": {"whole_image": {"run": "x"}} for side in "ab"}
    path = write(tmp_path / "p.yaml", {"answer": "a0", "stages": {**made, **networks}})
    order = read_pipeline(path).order(["a0", "b0"])
    assert order[:2] == ["a60", "b60"]
    assert order[-2:] == ["a0", "b0"]
    assert sorted(order) == sorted({**made, **networks})


def test_paths_that_are_none(tmp_path):
    long = "x" * 300
    for stage in (
        {"whole_image": {"run": long}},
        {"refine": {"of": "net", "crf": f"{long}.yaml"}},
        {"instance_wise": {"run": "x", "proposals": {"store": long}}},
    ):
        made = {"net": {"whole_image": {"run": "x"}}, "one": stage}
        path = write(tmp_path / "p.yaml", {"answer": "one", "stages": made})
        with pytest.raises(SettingsError, match="names of files have up to 255 bytes"):
            read_pipeline(path)


def test_too_many_stages(tmp_path):
    made = {f"r{i}": {"refine": {"of": f"r{i + 1}"}} for i in range(1500)}
    made["r1500"] = {"whole_image": {"run": "x"}}
    path = write(tmp_path / "p.yaml", {"answer": "r0", "stages": made})
    with pytest.raises(SettingsError, match=r"stages: expected at most 200 of them"):
        read_pipeline(path)


def test_unknown_stages_of_a_caller(tmp_path):
    with pytest.raises(SettingsError, match="no stage 'x' in this pipeline; there are both"):
        read(tmp_path).order(["fcn", "x"])


def test_reading_leaves_the_content_alone(tmp_path):
    content = {"answer": "both", "stages": stages()}
    before = copy.deepcopy(content)
    read_pipeline(write(tmp_path / "p.yaml", content))
    assert content == before


def test_a_folder_is_a_run_whatever_its_name(tmp_path):
    (tmp_path / "run.yaml").mkdir()
    assert not is_pipeline(tmp_path / "run.yaml")
    assert is_pipeline(tmp_path / "p.YML")
    assert not is_pipeline(tmp_path / "run")
