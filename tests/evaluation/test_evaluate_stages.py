"""Several predictions of a photo scored in one pass."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from evaluation.labelled_split import make_split, perfect, sloppy
from upscore.errors import DataError, OutputError, SettingsError
from upscore.metrics import evaluate, evaluate_stages
from upscore.metrics.stage_files import write_stages

STAGES = {"sloppy": sloppy, "perfect": perfect}


def both(sample):
    return {name: predict(sample.image) for name, predict in STAGES.items()}


@pytest.fixture
def split(tmp_path):
    return make_split(tmp_path)


def test_each_is_scored_as_if_it_were_alone(split):
    calls, seen = [], []
    found = evaluate_stages(
        lambda sample: calls.append(1) or both(sample),
        ["perfect", "sloppy"],
        split,
        progress=lambda *now: seen.append(now),
    )
    assert list(found) == ["perfect", "sloppy"]
    assert len(calls) == len(split)
    assert seen == [(i, 7) for i in range(1, 8)]
    for name, predict in STAGES.items():
        alone = evaluate(predict, split)
        assert found[name].confusion == alone.confusion
        assert found[name].images == alone.images
    assert found["perfect"].confusion != found["sloppy"].confusion
    assert found["perfect"].predict_seconds == found["sloppy"].predict_seconds > 0


def test_some_of_the_predictions(split):
    assert list(evaluate_stages(both, ["sloppy"], split)) == ["sloppy"]
    assert evaluate_stages(both, [], split) == {}


def test_a_photo_that_fails_fails_for_all(split):
    split.pairs[2].image.write_bytes(b"not a picture")

    def picky(sample):
        if sample.image[0, 0, 1] == 4:
            raise DataError("too strange")
        return both(sample)

    found = evaluate_stages(picky, list(STAGES), split)
    for name in STAGES:
        assert [failure.index for failure in found[name].failures] == [2, 4]
        assert len(found[name].images) == 5


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            RuntimeError("CUDA out of memory"),
            "not enough memory to segment it (CUDA out of memory); ",
        ),
        (MemoryError(), "not enough memory to segment it; try a smaller --tile"),
        (OSError("x"), "cannot segment it (OSError: x; at upscore/metrics/evaluate.py:"),
    ],
)
def test_an_image_on_which_the_network_fails_does_not_end_the_job(split, error, message):
    def failing(sample):
        if sample.image[0, 0, 1] == 4:
            raise error
        return both(sample)

    found = evaluate_stages(failing, ["perfect"], split)["perfect"]
    assert [failure.index for failure in found.failures] == [4]
    assert found.failures[0].message.startswith("фото 4: " + message)
    assert len(found.images) == 6


def test_a_wrong_prediction_of_one_stops_and_names_the_image(split):
    def wrong(sample):
        shape = sample.labels.shape
        return {"perfect": perfect(sample.image), "wrong": np.full(shape, 9, np.uint8)}

    with pytest.raises(DataError, match="фото 0: prediction holds 9"):
        evaluate_stages(wrong, ["perfect", "wrong"], split)
    with pytest.raises(SettingsError, match="shard is"):
        evaluate_stages(both, ["perfect"], split, shard=(2, 2))


def test_on_disk(split, tmp_path):
    found = evaluate_stages(both, list(STAGES), split)
    seconds = {"perfect": 0.5, "sloppy": 1.5}
    write_stages(found, tmp_path / "o", output="perfect", seconds=seconds, about={"a": 1})
    content = json.loads((tmp_path / "o/stages.json").read_text("utf-8"))
    assert content["answer"] == "perfect"
    assert content["about"] == {"a": 1}
    assert [item["name"] for item in content["stages"]] == ["sloppy", "perfect"]
    scores = found["sloppy"].confusion.scores()
    assert content["stages"][0]["scores"] == scores.to_json()
    assert content["stages"][0]["own_seconds"] == 1.5
    assert content["stages"][0]["iou"] == [item.iou for item in scores.per_class]
    with (tmp_path / "o/stages.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[1]["stage"] == "perfect"
    assert float(rows[1]["Bäume & Büsche"]) == 1
    assert float(rows[0]["miou"]) == scores.miou
    (tmp_path / "f").touch()
    with pytest.raises(OutputError):
        write_stages(found, tmp_path / "f", output="perfect", seconds=seconds, about={})
