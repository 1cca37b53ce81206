"""Label maps of any tool in a folder get the same scores as the network that made them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.small_world import NAMES, make_data, make_network
from inference.support import save_probabilities
from upscore.cli.compare import compare
from upscore.cli.evaluate import evaluate
from upscore.cli.segmenter_options import SegmenterOptions
from upscore.core.labels import Labels
from upscore.data import open_dataset
from upscore.errors import SettingsError, WorkError
from upscore.inference.foreign_predictions import read_prediction
from upscore.inference.load import load_segmenter
from upscore.workflows.predict import predict

CPU = SegmenterOptions(device="cpu", precision="fp32")


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data")


@pytest.fixture
def run(tmp_path):
    return make_network(tmp_path / "run")


def scores(folder: Path) -> dict:
    return json.loads((folder / "scores.json").read_text(encoding="utf-8"))


def photos(data: Path) -> list[Path]:
    return [pair.image for pair in open_dataset(data).split("val").pairs]


@pytest.mark.parametrize("save", ["labels", "probabilities"])
def test_what_predict_writes_scores_as_the_network(run, data, tmp_path, save):
    predict(run, photos(data), out=tmp_path / "out", save=[save], options=CPU)
    folder = tmp_path / "out" if save == "labels" else tmp_path / "out" / save
    evaluate(folder, data=data, out=tmp_path / "a")
    evaluate(run, data=data, out=tmp_path / "b", options=CPU)
    assert scores(tmp_path / "a")["confusion"] == scores(tmp_path / "b")["confusion"]
    assert scores(tmp_path / "a")["about"]["settings"] == {"label_maps": str(folder)}


def test_by_default_results_go_beside_the_folder(run, data, tmp_path):
    predict(run, photos(data), out=tmp_path / "out", save=["labels"], options=CPU)
    evaluate(tmp_path / "out", data=data)
    assert scores(tmp_path / "out-evaluation" / "val")["scores"]["miou"] is not None


def test_label_maps_are_read_up_to_the_limit_of_photos(run, data, tmp_path, monkeypatch):
    predict(run, photos(data), out=tmp_path / "out", save=["labels"], options=CPU)
    monkeypatch.setitem(read_prediction.__kwdefaults__, "max_pixels", 10)
    evaluate(tmp_path / "out", data=data, out=tmp_path / "a")
    assert scores(tmp_path / "a")["scores"]["miou"] is not None


def test_classes_of_an_npz_are_matched_by_name(run, data, tmp_path):
    segmenter = load_segmenter(run, device="cpu", precision="fp32")
    turned = [2, 0, 1]  # the order of the classes in the files
    labels = Labels.of([NAMES[index] for index in turned])
    split = open_dataset(data).split("val")
    for index in range(len(split)):
        sample = split.read(index)
        probabilities = segmenter.probabilities(sample.image)[turned]
        save_probabilities(tmp_path / "maps" / f"{sample.name}.npz", probabilities, labels)
    evaluate(tmp_path / "maps", data=data, out=tmp_path / "a")
    evaluate(run, data=data, out=tmp_path / "b", options=CPU)
    assert scores(tmp_path / "a")["confusion"] == scores(tmp_path / "b")["confusion"]


def test_bad_label_maps_are_failures_and_the_rest_is_scored(data, tmp_path):
    split = open_dataset(data).split("val")
    for index in range(len(split)):
        sample = split.read(index)
        labels = np.where(sample.labels == 255, 0, sample.labels)
        Image.fromarray(labels).save(_below(tmp_path / "maps", f"{sample.name}.png"))
    names = [pair.name for pair in split.pairs]
    (tmp_path / "maps" / f"{names[0]}.png").unlink()
    Image.fromarray(np.full((3, 4), 0, np.uint8)).save(tmp_path / "maps" / f"{names[1]}.png")
    size = split.read(2).labels.shape
    Image.fromarray(np.full(size, 7, np.uint8)).save(tmp_path / "maps" / f"{names[2]}.png")
    (tmp_path / "maps" / f"{names[3]}.png").write_bytes(b"broken")
    np.save(tmp_path / "maps" / f"{names[4]}.npy", np.zeros(split.read(4).labels.shape, np.uint8))
    with pytest.raises(WorkError) as caught:
        evaluate(tmp_path / "maps", data=data, out=tmp_path / "a")
    message = str(caught.value)
    assert "5 of 6 images could not be scored" in message
    assert f"no file for photo {names[0]!r}" in message
    assert "is 4x3, its photo and mask" in message
    assert "holds class 7, but there are 3 classes, 0 to 2" in message
    assert f"{names[3]}.png" in message
    assert f"several files: {tmp_path / 'maps'}" in message
    assert scores(tmp_path / "a")["scores"]["miou"] == 1


def test_stages_are_for_pipelines(data, tmp_path):
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(_below(tmp_path / "maps", "a.png"))
    with pytest.raises(SettingsError, match=r"--stages a: .* is no pipeline file"):
        evaluate(tmp_path / "maps", data=data, stages="a")


def test_compare_takes_folders_beside_runs(run, data, tmp_path, capsys):
    predict(run, photos(data), out=tmp_path / "out", save=["labels"], options=CPU)
    compare((str(run), str(tmp_path / "out")), data=data, out=tmp_path / "c", options=CPU)
    content = json.loads((tmp_path / "c" / "compare.json").read_text(encoding="utf-8"))
    first, second = content["contenders"]
    assert first["confusion"] == second["confusion"]
    assert second["difference"]["miou"] == 0
    assert "cannot be told apart" in capsys.readouterr().out


def _below(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    return folder / name
