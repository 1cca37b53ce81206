from __future__ import annotations

import json

import pytest
import yaml

from report.fake_runs import COLUMNS
from upscore.errors import NotFoundError, RunError, SettingsError
from upscore.report.run_data import Curve, flatten, read_curve, read_run

HEAD = ",".join(COLUMNS) + "\n"


def test_whole_run(run):
    data = read_run(run.path)
    assert data.name == "first run"
    assert data.settings()["optim.lr"] == 0.002
    assert data.recorded("data", "layout") == "camvid"
    assert data.recorded("data", "layout", "deeper") is None
    assert data.recorded("nothing") is None
    assert [split.name for split in data.splits] == ["val"]
    assert len(data.splits[0].examples) == 16
    assert len(data.curve.losses) == 60
    assert len(data.curve.val_miou) == 12
    assert data.curve.last_iteration == 6000
    assert data.curve.seconds == 1500
    assert data.curve.memory_mib == 960


def test_only_a_manifest(tmp_path):
    (tmp_path / "manifest.json").write_text('{"format_version": 1}')
    data = read_run(tmp_path)
    assert (data.recipe, data.model, data.splits, data.curve) == ({}, {}, (), Curve())


def test_runs_that_are_none(tmp_path):
    with pytest.raises(NotFoundError, match="no such run folder"):
        read_run(tmp_path / "absent")
    with pytest.raises(RunError, match="not a run folder"):
        read_run(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format_version": 99}')
    with pytest.raises(RunError, match="written by a newer upscore"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "model/config.json",
        "evaluation/val/scores.json",
        "evaluation/val/examples/examples.json",
    ],
)
@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe\x00"])
def test_damaged_json_names_the_file(run, name, content):
    path = run.path / name
    path.write_bytes(content)
    with pytest.raises(RunError, match=f"{path.name}: damaged"):
        read_run(run.path)


def test_damaged_recipe_names_the_file(run):
    run.recipe.write_text("a: [1")
    with pytest.raises(SettingsError, match=r"recipe\.yaml, line 1"):
        read_run(run.path)


def test_folders_without_scores_are_no_splits(run):
    (run.evaluation / "half-done").mkdir()
    (run.evaluation / "notes.txt").write_text("mine")
    assert [split.name for split in read_run(run.path).splits] == ["val"]


@pytest.mark.parametrize("text", ["", HEAD])
def test_empty_log(tmp_path, text):
    path = tmp_path / "log.csv"
    path.write_text(text)
    assert read_curve(path) == Curve()


def test_one_row(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(HEAD + "100,0.1,5.5,400,1.25,0.001,,,100\n")
    curve = read_curve(path)
    assert (curve.iterations, curve.losses, curve.val_miou) == ((100,), (1.25,), ())
    assert curve.hundred_iteration_mean() == (1.25,)
    assert not curve.finer_than_mean


def test_half_written_last_row_is_dropped(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(HEAD + "100,0.1,5,400,1.25,0.001,,,100\n200,0.2,10,800,1.")
    assert read_curve(path).iterations == (100,)


def test_what_is_not_finite_is_left_out(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(HEAD + "100,0.1,5,400,nan,0.001,,,\n200,0.2,9,800,inf,0.001,,,\n")
    assert read_curve(path).losses == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no column 'iteration'"),
        (HEAD + "many,0.1,5,400,1,1,,,\n", r"log\.csv, line 2: damaged"),
        (HEAD + "100,0.1,5,400,high,1,,,\n", r"log\.csv, line 2: damaged"),
    ],
)
def test_damaged_log_names_file_and_line(tmp_path, text, message):
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(RunError, match=message):
        read_curve(path)


def test_log_that_is_no_text(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(RunError, match="cannot be read as text"):
        read_curve(path)


def test_mean_of_100_iterations_whatever_the_interval():
    every = [float(i % 17) for i in range(1, 501)]
    fine = Curve(tuple(range(1, 501)), tuple(every))
    tens = Curve(
        tuple(range(10, 501, 10)), tuple(sum(every[i : i + 10]) / 10 for i in range(0, 500, 10))
    )
    assert fine.finer_than_mean
    assert tens.finer_than_mean
    for curve in (fine, tens):
        mean = dict(zip(curve.iterations, curve.hundred_iteration_mean(), strict=True))
        for end in (100, 250, 500):
            assert mean[end] == pytest.approx(sum(every[end - 100 : end]) / 100)
        assert mean[50] == pytest.approx(sum(every[:50]) / 50)  # so far


def test_interval_above_100_is_its_own_mean():
    curve = Curve((250, 500), (2.0, 1.0))
    assert curve.hundred_iteration_mean() == pytest.approx((2.0, 1.0))
    assert not curve.finer_than_mean


def test_flatten():
    tree = yaml.safe_load("a: {b: 1, c: {d: [1, 2]}}\ne: {}\nf: null")
    assert flatten(tree) == {"a.b": 1, "a.c.d": [1, 2], "e": {}, "f": None}
    assert json.dumps(flatten({})) == "{}"


def test_the_first_iteration_is_the_start_and_not_an_interval(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(
        HEAD
        + "1,0.1,0.1,4,3.04,0.001,,,100\n100,0.5,5.5,400,1.25,0.001,,,100\n"
        + "200,1,9.5,800,1.0,0.001,,,100\n"
    )
    curve = read_curve(path)
    assert curve.start_loss == 3.04
    assert not curve.finer_than_mean
    assert curve.hundred_iteration_mean() == pytest.approx((3.04, (3.04 + 99 * 1.25) / 100, 1.0))
    assert Curve(iterations=(100, 200), losses=(1.25, 1.0)).start_loss is None
