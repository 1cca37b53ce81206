"""``upscore evaluate`` on a small data set with a small network, from folder to files."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from evaluation.small_world import make_data, make_network
from upscore.cli.evaluate import evaluate
from upscore.cli.segmenter_options import SegmenterOptions
from upscore.core.images import read_image
from upscore.core.labels import VOID, Labels
from upscore.data import open_dataset
from upscore.data.class_mapping import match_classes
from upscore.errors import DataError, RunError, SettingsError, WorkError
from upscore.inference.load import load_segmenter
from upscore.metrics.confusion import Confusion
from upscore.workflows.compare import compare as run_comparison
from upscore.workflows.evaluate import evaluate as run_evaluation


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data")


@pytest.fixture
def run(tmp_path):
    return make_network(tmp_path / "run")


@pytest.fixture
def guessed(tmp_path):
    """Ten pairs of 0 and 255 without class names."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (tmp_path / "guessed" / kind).mkdir(parents=True)
    for i in range(10):
        photo = rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)
        Image.fromarray(photo).save(tmp_path / "guessed" / "images" / f"{i}.jpg")
        mask = rng.integers(0, 2, (32, 40), dtype=np.uint8) * 255
        Image.fromarray(mask).save(tmp_path / "guessed" / "masks" / f"{i}.png")
    return tmp_path / "guessed"


def score(verb, run, data):
    if verb == "evaluate":
        run_evaluation(run, data=data)
    else:
        run_comparison([run, run], data=data)


@pytest.mark.usefixtures("compare_here")
@pytest.mark.parametrize("verb", ["evaluate", "compare"])
def test_what_was_guessed_is_told_once(verb, guessed, tmp_path, caplog):
    caplog.set_level("INFO", "upscore")
    run = make_network(tmp_path / "run", ("background", "foreground"))
    score(verb, run, guessed)
    (told,) = [text for text in caplog.messages if "Guessed" in text]
    assert told.splitlines()[-1].split()[:2] == ["255", "foreground"]
    caplog.clear()
    guess = {"guess": {"0": "background", "255": "foreground"}}
    (run / "manifest.json").write_text(json.dumps({"format_version": 1, "data": guess}))
    score(verb, run, guessed)
    (told,) = [text for text in caplog.messages if "guessed" in text.lower()]
    assert "classes guessed as in the training: 0 background, 255 foreground" in told


@pytest.mark.usefixtures("compare_here")
@pytest.mark.parametrize("verb", ["evaluate", "compare"])
def test_guessed_classes_may_be_named_after_the_training(verb, guessed, tmp_path, caplog):
    caplog.set_level("INFO", "upscore")
    run = make_network(tmp_path / "run", ("background", "foreground"))
    (guessed / "classes.txt").write_text("0 ground\n255 cat\n")
    with pytest.raises(RunError, match="class names differ"):
        score(verb, run, guessed)
    meaning = {"0": "background", "255": "foreground"}
    (run / "manifest.json").write_text(
        json.dumps({"format_version": 1, "data": {"guess": meaning}})
    )
    score(verb, run, guessed)
    assert "background is ground, foreground is cat" in caplog.text
    result = run_evaluation(run, data=guessed)
    assert result.main.labels.names == ("ground", "cat")
    (guessed / "classes.txt").write_text("0 ground\n1 tree\n255 cat\n")  # another number
    with pytest.raises(RunError, match="class names differ"):
        score(verb, run, guessed)
    (guessed / "classes.txt").write_text("0 ground\n255 cat\n")
    for other in ({"0": "foreground", "255": "background"}, {"1": "background"}):  # other values
        (run / "manifest.json").write_text(
            json.dumps({"format_version": 1, "data": {"guess": other}})
        )
        with pytest.raises(RunError, match="class names differ"):
            score(verb, run, guessed)


@pytest.mark.parametrize("verb", ["evaluate", "compare"])
def test_masks_that_disagree_are_refused(verb, guessed, tmp_path):
    (guessed / "classes.txt").write_text("background\nforeground\n")
    path = next(pair.mask for pair in open_dataset(guessed).pairs("val"))
    Image.fromarray(np.asarray(Image.open(path)) // 255).save(path)
    run = make_network(tmp_path / "run", ("background", "foreground"))
    with pytest.raises(DataError, match="1 of 2 masks is of 0, 1"):
        score(verb, run, guessed)


def test_everything_is_written(run, data, capsys):
    evaluate(run, data=data, options=SegmenterOptions(tile=0))
    folder = run / "evaluation" / "val"
    content = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    split = open_dataset(data).split("val")
    segmenter = load_segmenter(run)
    expected = Confusion(3)
    for index in range(len(split)):
        sample = split.read(index)
        expected.update(sample.labels, segmenter.predict(sample.image))
    assert content["confusion"] == expected.to_json()
    assert content["scores"]["miou"] == expected.scores().miou
    assert content["about"]["settings"]["tile"] == 0
    assert content["about"]["data"]["fingerprint"] == open_dataset(data).fingerprint()
    for name in ("per_class.csv", "images.csv", "confusion.csv"):
        with (folder / name).open(encoding="utf-8", newline="") as stream:
            assert len(list(csv.reader(stream))) > 3
    for name in ("confusion.png", "per_class.png"):
        assert read_image(folder / name).shape[0] > 100
    assert len(list((folder / "examples").glob("*-photo.png"))) == 6
    shown = capsys.readouterr().out
    assert "[red]tree[/red]" in shown
    assert f"{expected.scores().miou:.4f}" in shown
    assert "over 3 of 3 classes" in shown
    assert str(folder) in shown
    assert f"upscore report {run}" in shown


def test_json_has_scores_by_class_and_no_empty_key(run, data):
    found = json.loads(json.dumps(run_evaluation(run, data=data).to_dict()))
    content = json.loads((run / "evaluation/val/scores.json").read_text(encoding="utf-8"))
    assert found["scores"] == content["scores"]
    assert found["classes"] == {item.pop("name"): item for item in content["per_class"]}
    assert found["images"] == len(content["images"])
    assert set(found) == {"split", "images", "scores", "classes", "failures", "folder"}


@pytest.mark.parametrize("value", [0, 2])
def test_a_class_without_truth_is_shown_as_it_counts(tmp_path, capsys, value):
    """On the screen, in files and on pages alike, whether it is predicted or not."""
    data = make_data(tmp_path / "data")
    (tmp_path / "maps").mkdir()
    for path in (tmp_path / "data" / "masks").iterdir():
        mask = np.where(np.array(Image.open(path)) == 2, 0, np.array(Image.open(path)))
        Image.fromarray(mask).save(path)
        mask[mask == VOID] = 0
        mask[5, 5:9] = value
        Image.fromarray(mask).save(tmp_path / "maps" / path.name)
    evaluate(tmp_path / "maps", data=data, out=tmp_path / "out")
    shown = capsys.readouterr().out
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    iou = scores["per_class"][2]["iou"]
    assert iou == (0 if value else None)
    assert scores["scores"]["classes_averaged"] == (3 if value else 2)
    cell = "0.0000" if value else "-"
    (row,) = [line.split() for line in shown.splitlines() if line.startswith("car")]
    assert row[1] == cell
    text = "Not in the truth: car. Such a class has IoU 0 if it is predicted anywhere"
    assert text in " ".join(shown.split())
    (row,) = [
        line for line in (tmp_path / "out" / "per_class.tex").read_text().splitlines()
        if line.startswith("car")
    ]  # fmt: skip
    assert row.split(" & ")[1] == ("0.0000" if value else "")


def test_out(run, data, tmp_path):
    evaluate(run, data=data, out=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "scores.json").exists()
    assert not (run / "evaluation").exists()


def test_other_order_of_the_same_classes(tmp_path, data):
    straight = make_network(tmp_path / "straight")
    evaluate(straight, data=data)
    first = json.loads((straight / "evaluation" / "val" / "scores.json").read_text("utf-8"))
    # the same network under other names in another order: its class 0 is now the data's class 2
    turned = make_network(tmp_path / "turned", names=("car", "ground", "[red]tree[/red]"))
    evaluate(turned, data=data)
    second = json.loads((turned / "evaluation" / "val" / "scores.json").read_text("utf-8"))
    table = [2, 0, 1]
    assert np.array(second["confusion"])[:, table].tolist() == first["confusion"]


def test_other_classes_are_refused_before_any_work(tmp_path, data):
    run = make_network(tmp_path / "run", names=("ground", "tree", "car", "bus"))
    with pytest.raises(RunError) as caught:
        evaluate(run, data=data)
    message = str(caught.value)
    assert ": tree, bus" in message
    assert ": [red]tree[/red]" in message
    assert not (run / "evaluation").exists()


def test_long_differences_are_cut():
    of_run, of_data = Labels.of([f"r{i}" for i in range(20)]), Labels.of(["a"])
    with pytest.raises(RunError, match=r"r7 and 12 more"):
        match_classes(of_run, of_data, run="run", data="data")


def test_bad_files_are_reported_last(run, data):
    (data.parent / "images" / "p1.png").write_bytes(b"broken")
    with pytest.raises(WorkError, match=r"1 of 6 images could not be scored(.|\n)*p1\.png"):
        evaluate(run, data=data)
    content = json.loads((run / "evaluation" / "val" / "scores.json").read_text("utf-8"))
    assert len(content["images"]) == 5
    assert [failure["name"] for failure in content["failures"]] == ["p1"]


def test_nothing_can_be_read(run, data):
    for photo in (data.parent / "images").iterdir():
        photo.write_bytes(b"broken")
    with pytest.raises(WorkError, match="6 of 6 images"):
        evaluate(run, data=data)
    assert (run / "evaluation" / "val" / "confusion.png").exists()


def test_photos_over_the_limit_are_refused(run, data):
    with pytest.raises(WorkError, match="--max-pixels"):
        evaluate(run, data=data, options=SegmenterOptions(max_pixels=100))


def test_wrong_arguments(run, data, tmp_path):
    with pytest.raises(SettingsError, match="no split 'tset'; there are val"):
        evaluate(run, data=data, split="tset")
    with pytest.raises(SettingsError, match=r"^workers is 0"):
        evaluate(run, data=data, workers=0)
    with pytest.raises(FileNotFoundError, match="no such run folder"):
        evaluate(tmp_path / "none", data=data)
    with pytest.raises((DataError, FileNotFoundError)):
        evaluate(run, data=tmp_path / "none")


@pytest.mark.real
def test_real_photos(real_data):
    from dataclasses import replace

    from upscore.metrics.evaluate import evaluate as score

    split = open_dataset(real_data / "camvid").split("val")
    some = replace(split, pairs=split.pairs[::25])
    truths = iter([some.read_labels(i) for i in range(len(some))])
    found = score(lambda _image: np.where((t := next(truths)) == VOID, 0, t).astype(np.uint8), some)
    assert found.confusion.scores().miou == 1
    assert found.confusion.num_classes == 11
    assert found.failures == ()
