"""Label maps of any tool in a folder get the same scores as the network that made them."""

from __future__ import annotations

import json
from dataclasses import replace
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
from upscore.data.dataset import Sample
from upscore.data.pairing import Pair
from upscore.errors import DataError, NotFoundError, RunError, SettingsError, WorkError
from upscore.inference.foreign_predictions import read_prediction
from upscore.inference.load import load_segmenter
from upscore.workflows.predict import predict
from upscore.workflows.predictions import open_predictions, read_label_map

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
    assert "of 4x3 (shape (3, 4)), but its photo is" in message
    assert "holds class 7, but there are 3 classes, 0 to 2" in message
    assert f"{names[3]}.png" in message
    assert f"several files: {tmp_path / 'maps'}" in message
    assert scores(tmp_path / "a")["scores"]["miou"] == 1


def test_stages_are_for_pipelines(data, tmp_path):
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(_below(tmp_path / "maps", "a.png"))
    with pytest.raises(SettingsError, match=r"--stages a: .* is not a pipeline file"):
        evaluate(tmp_path / "maps", data=data, stages="a")


@pytest.mark.usefixtures("compare_here")
def test_compare_takes_folders_beside_runs(run, data, tmp_path, capsys):
    predict(run, photos(data), out=tmp_path / "out", save=["labels"], options=CPU)
    tiles = SegmenterOptions(device="cpu", precision="fp32", tile=256)  # larger than the photos
    compare((str(run), str(tmp_path / "out")), data=data, out=tmp_path / "c", options=tiles)
    content = json.loads((tmp_path / "c" / "compare.json").read_text(encoding="utf-8"))
    first, second = content["contenders"]
    assert first["confusion"] == second["confusion"]
    assert second["difference"]["miou"] == 0
    of_run, of_folder = content["about"]["contenders"]
    assert of_run["options"]["tile"] == 256 != of_folder["options"]["tile"]
    assert "cannot be told apart" in capsys.readouterr().out


@pytest.mark.parametrize("option", [{"flip": True}, {"crf": "deconvnet"}, {"scales": (0.5, 1.0)}])
def test_options_of_networks_are_refused_for_folders(data, tmp_path, option):
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(_below(tmp_path / "maps", "a.png"))
    name = next(iter(option))
    with pytest.raises(SettingsError, match=rf"--{name}: .* is a folder of label maps"):
        evaluate(tmp_path / "maps", data=data, options=SegmenterOptions(**option))


def test_results_of_the_current_folder_go_beside_it(run, data, tmp_path, monkeypatch):
    predict(run, photos(data), out=tmp_path / "out", save=["labels"], options=CPU)
    monkeypatch.chdir(tmp_path / "out")
    evaluate(Path(), data=data)
    assert scores(tmp_path / "out-evaluation" / "val")["scores"]["miou"] is not None


def test_a_folder_of_nothing_says_what_is_wanted(data, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=r"nor a folder of label maps \(no .npz, .npy, .png files"):
        evaluate(tmp_path / "empty", data=data)


def _blank(name: str) -> Sample:
    return Sample(np.zeros((8, 9, 3), np.uint8), np.zeros((8, 9), np.uint8), name)


def test_a_photo_never_takes_the_label_map_of_another_of_the_same_file_name(data, tmp_path):
    pairs = [Pair(f"{sub}/a", Path(sub, "a.jpg"), Path(sub, "a.png")) for sub in ("x", "y")]
    dataset = replace(open_dataset(data), splits={"val": tuple(pairs)})
    path = tmp_path / "maps" / "labels" / "x" / "a.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(np.ones((8, 9), np.uint8)).save(path)
    found = open_predictions(tmp_path / "maps", dataset, data=data)
    assert found.predict(_blank("x/a"), [""])[""].all()
    with pytest.raises(NotFoundError, match="no file for photo 'y/a'"):
        found.predict(_blank("y/a"), [""])


def test_label_maps_are_named_as_photo_files_where_splits_share_names(data, tmp_path):
    splits = {
        name: (Pair(f"{name}-a", Path(name, "a.jpg"), Path(name, "a.png")),)
        for name in ("train", "val")
    }
    dataset = replace(open_dataset(data), splits=splits)
    Image.fromarray(np.ones((8, 9), np.uint8)).save(_below(tmp_path / "maps", "a.png"))
    found = open_predictions(tmp_path / "maps", dataset, data=data)
    assert found.predict(_blank("val-a"), [""])[""].all()


def test_the_file_of_the_exact_name_comes_first(data, tmp_path):
    dataset = open_dataset(data)
    name = dataset.split("val").pairs[0].name
    for folder, value in (("maps", 1), ("maps/other", 2)):
        Image.fromarray(np.full((8, 9), value, np.uint8)).save(
            _below(tmp_path / folder, f"{name}.png")
        )
    found = open_predictions(tmp_path / "maps", dataset, data=data)
    assert (found.predict(_blank(name), [""])[""] == 1).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((3, 8, 9), np.nan, np.float32), "holds NaN"),
        (np.zeros((2, 8, 9), np.float32), "probabilities of 2 classes, but there are 3 classes"),
        (np.zeros((5, 8, 9), np.float32), "probabilities of 5 classes, but there are 3 classes"),
        (np.zeros((8, 9, 3), np.float32), r"classes come first, \(C, H, W\)"),
        (np.full((8, 9), -1, np.int64), "holds class -1, but there are 3 classes"),
        (np.full((8, 9), 255, np.uint8), "holds class 255, but there are 3 classes"),
        (np.full((8, 9), 255, np.uint8), r"for example background: labels\[labels == 255\] = 0"),
    ],
)
def test_arrays_that_are_no_prediction_are_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=message):
        read_label_map(tmp_path / "a.npy", Labels.of(NAMES), (8, 9))


def test_an_npz_of_labels_may_name_its_classes(tmp_path):
    labels = np.tile(np.array([0, 1, 2], np.uint8), (4, 1))
    turned = [NAMES[index] for index in (2, 0, 1)]
    np.savez(tmp_path / "a.npz", labels=labels, classes=np.array(turned))
    found = read_label_map(tmp_path / "a.npz", Labels.of(NAMES), (4, 3))
    np.testing.assert_array_equal(found, np.tile([2, 0, 1], (4, 1)))


@pytest.mark.usefixtures("compare_here")
def test_where_all_images_fail_there_are_no_others_and_no_table(data, tmp_path, capsys):
    maps = tmp_path / "maps"
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(_below(maps, "zzz.png"))
    with pytest.raises(WorkError, match=r"^6 of 6 images could not be scored:\n"):
        evaluate(maps, data=data)
    folder = tmp_path / "maps-evaluation" / "val"
    assert capsys.readouterr().out == f"Scores, tables, figures and examples: {folder}\n"
    with pytest.raises(DataError, match="no image of split 'val' counts"):
        compare((str(maps), str(maps)), data=data)
    assert capsys.readouterr().out == ""


def test_a_single_label_map_is_refused_with_its_folder(data, tmp_path):
    path = _below(tmp_path / "maps", "a.png")
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(path)
    wanted = rf"is a file; expected a folder of label maps, a run folder.*: {tmp_path / 'maps'}$"
    with pytest.raises(RunError, match=wanted):
        evaluate(path, data=data)


def test_a_missing_path_may_have_been_meant_as_label_maps(data, tmp_path):
    missing = str(tmp_path / "nowhere")
    with pytest.raises(NotFoundError, match=r"nowhere: no such run folder, .* or folder of label"):
        compare((missing, missing), data=data)


def _below(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    return folder / name
