"""``upscore predict`` and ``upscore evaluate`` with a pipeline file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.small_world import NAMES, make_data, make_network
from inference.pipeline_world import SIZE, make_pipeline, make_store, stages, write
from upscore.cli import evaluate as evaluate_verb
from upscore.cli import predict as predict_verb
from upscore.cli.main import main
from upscore.cli.segmenter_options import SegmenterOptions
from upscore.core.images import read_image
from upscore.data import open_dataset
from upscore.errors import NotFoundError, RunError, SettingsError, WorkError
from upscore.inference.pipeline.run import Pipeline, load_pipeline
from upscore.inference.whole_image import WholeImage
from upscore.metrics.confusion import Confusion
from upscore.metrics.score_files import read_results
from upscore.proposals.sliding_window import Grid

FEW = {"num": 3, "sides": (33, 48)}

PICTURES = (".png", ".jpg", ".npz")


@pytest.fixture
def data(tmp_path) -> Path:
    return make_data(tmp_path / "data", **FEW)


def photos(data: Path) -> dict:
    return {path.stem: read_image(path) for path in sorted((data.parent / "images").iterdir())}


@pytest.fixture
def path(tmp_path, data) -> Path:
    make_store(tmp_path / "b.parquet", photos(data))
    return make_pipeline(tmp_path, store="b.parquet")


def evaluate(path, data, **more):
    evaluate_verb.evaluate(path, data=data, **more)


def predict(path, *inputs, **more):
    predict_verb.predict((str(path), *(str(item) for item in inputs)), **more)


# -- evaluate ---------------------------------------------------------------------------------


def test_every_stage_is_scored_in_one_pass(path, data, tmp_path, capsys, monkeypatch):
    calls = []
    original = WholeImage._score_map
    monkeypatch.setattr(WholeImage, "_score_map",
                        lambda self, image: calls.append(1) or original(self, image))  # fmt: skip
    evaluate(path, data)
    folder = tmp_path / "pipeline-evaluation" / "val"
    assert len(calls) == 3 + 3, "three photos, and three examples of the answer"
    pipeline = load_pipeline(path)
    expected = {name: Confusion(3) for name in stages()}
    split = open_dataset(data).split("val")
    for index in range(len(split)):
        sample = split.read(index)
        for name, labels in pipeline.predict_of(sample.image).items():
            expected[name].update(sample.labels, labels)
    told = capsys.readouterr().out
    for name, confusion in expected.items():
        results = read_results(folder / name)
        assert results.evaluation.confusion == confusion
        assert results.about["stage"] == name
        assert results.about["settings"]["pipeline"]["answer"] == "both-crf"
        used = results.about["settings"]["pipeline"]["stages"]["deconvnet"]["instance_wise"]
        assert used["input_size"] == SIZE  # of the run, though the file does not say it
        assert "tile" not in results.about["settings"]
        for file in ("per_class.csv", "images.csv", "confusion.csv", "confusion.png",
                     "per_class.png"):  # fmt: skip
            assert (folder / name / file).exists()
        assert f"{confusion.scores().miou:.4f}" in told
        assert f"{confusion.scores().mean_accuracy:.4f}" in told
    assert "both-crf (answer)" in told
    assert str(folder) in told
    assert "upscore report" not in told
    examples = [path.parent.name for path in folder.glob("*/examples")]
    assert examples == ["both-crf"]
    assert len(list((folder / "both-crf/examples").glob("*-photo.png"))) == 3
    content = json.loads((folder / "stages.json").read_text("utf-8"))
    assert {item["name"] for item in content["stages"]} == set(stages())
    assert all(item["own_seconds"] > 0 for item in content["stages"])
    with (folder / "stages.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["stage"]: row for row in csv.DictReader(stream)}
    assert float(rows["fcn"]["miou"]) == expected["fcn"].scores().miou
    assert set(NAMES) < set(rows["fcn"])


def test_some_stages(path, data, tmp_path, capsys):
    (tmp_path / "runs/deconvnet").rename(tmp_path / "runs/gone")
    evaluate(path, data, stages="fcn-crf, fcn,", out=tmp_path / "o")
    assert {item.name for item in (tmp_path / "o").iterdir()} == {
        "fcn", "fcn-crf", "stages.json", "stages.csv",
    }  # fmt: skip
    assert (tmp_path / "o/fcn-crf/examples").exists(), "made of the other, so the answer"
    assert "fcn-crf (answer)" in capsys.readouterr().out
    evaluate(path, data, stages="fcn-crf", out=tmp_path / "one")
    assert not (tmp_path / "one/fcn").exists()


def test_classes_in_another_order(tmp_path, capsys):
    data = make_data(tmp_path / "data", NAMES[::-1], **FEW)
    content = {"answer": "fcn", "stages": {"fcn": stages()["fcn"]}}
    make_network(tmp_path / "runs/fcn", NAMES)
    path = write(tmp_path / "p.yaml", content)
    evaluate(path, data)
    network = load_pipeline(path)
    expected = Confusion(3)
    split = open_dataset(data).split("val")
    for index in range(3):
        sample = split.read(index)
        expected.update(sample.labels, 2 - network.predict(sample.image))
    found = read_results(tmp_path / "p-evaluation/val/fcn").evaluation
    assert found.confusion == expected
    capsys.readouterr()


def test_other_classes_than_the_data(path, tmp_path):
    data = make_data(tmp_path / "other", ("ground", "cat", "car"), **FEW)
    with pytest.raises(RunError, match=r"stage \S+: class names differ: .*only in .*: cat"):
        evaluate(path, data)


def test_photos_that_the_store_lacks(path, data, tmp_path, capsys):
    """Boxes of a grid are not computed: those photos fail, the others are scored."""
    some = dict(list(photos(data).items())[:2])
    make_store(tmp_path / "b.parquet", some, settings=Grid().settings())
    message = (
        r"1 of 3 images could not be scored(.|\n)*b\.parquet: has no boxes of this photo, it was "
        r"made for 2 photos(.|\n)*are of Grid"
    )
    with pytest.raises(WorkError, match=message):
        evaluate(path, data, stages="deconvnet")
    results = read_results(tmp_path / "pipeline-evaluation/val/deconvnet").evaluation
    assert len(results.images) == 2
    capsys.readouterr()


def test_wrong_use_of_evaluate(path, data, tmp_path):
    run = tmp_path / "runs/fcn"
    with pytest.raises(SettingsError, match=r"--stages fcn: .* is not a pipeline file; leave"):
        evaluate(run, data, stages="fcn")
    with pytest.raises(SettingsError, match="no stage 'fnc' in this pipeline; there are both, "):
        evaluate(path, data, stages="fnc")
    with pytest.raises(SettingsError, match="--stages is empty"):
        evaluate(path, data, stages=" ,")
    with pytest.raises(SettingsError, match=r"--crf is for a run folder, but .* is a pipeline"):
        evaluate(path, data, options=SegmenterOptions(crf="deconvnet"))
    with pytest.raises(NotFoundError, match=r"none\.yaml: no such run folder, pipeline file"):
        evaluate(tmp_path / "none.yaml", data)
    assert not (tmp_path / "pipeline-evaluation").exists()


# -- tune-crf ---------------------------------------------------------------------------------


def test_the_crf_of_an_answer_is_tuned(path, data, tmp_path, capsys):
    main(["tune-crf", str(path), "--data", str(data), "--images", "2", "--trials", "1",
          "--sampler", "random"])  # fmt: skip
    folder = tmp_path / "pipeline-crf-tuning"
    told = capsys.readouterr().out
    assert f"Next: in {path}, refine: {{of: both, crf: {folder / 'best.yaml'}}}" in told
    about = json.loads((folder / "trials.json").read_text("utf-8"))
    assert "both-crf" in json.dumps(about)
    with pytest.raises(SystemExit):
        main(["tune-crf", str(path), "--data", str(data), "--flip"])
    assert "--flip is for a run folder" in capsys.readouterr().err


# -- predict ----------------------------------------------------------------------------------


def test_predict_gives_the_answer(path, data, tmp_path, capsys):
    predict(path, data.parent / "images", out=tmp_path / "o", save="labels,probabilities")
    told = capsys.readouterr().out
    assert "Segmented 3 images" in told
    assert "the pipeline took" in told
    pipeline = load_pipeline(path)
    for name, image in photos(data).items():
        labels = np.asarray(Image.open(tmp_path / f"o/labels/{name}.png"))
        want = pipeline.probabilities(image)
        assert np.array_equal(labels, want.argmax(axis=0))
        stored = np.load(tmp_path / f"o/probabilities/{name}.npz")["probabilities"]
        np.testing.assert_allclose(stored, want, atol=1e-3)
    assert not (tmp_path / "o/steps").exists()


def test_results_as_boxes_are_added(path, data, tmp_path, capsys):
    out = tmp_path / "o"
    image = data.parent / "images/p1.png"
    options = {"out": out, "save": "labels,overlay,probabilities", "save_proposal_steps": "2, 1,50"}
    predict(path, image, **options)
    assert f"steps: {out / 'steps'}" in capsys.readouterr().out
    files = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.suffix in PICTURES)
    steps = [
        f"steps/deconvnet/{product}/p1-{count}{suffix}"
        for product, suffix in [("labels", ".png"), ("overlay", ".jpg"), ("probabilities", ".npz")]
        for count in ("001", "002", "050")
    ]
    assert files == sorted(["labels/p1.png", "overlay/p1.jpg", "probabilities/p1.npz", *steps])
    pipeline = load_pipeline(path)
    pixels = read_image(image)
    told = []
    pipeline.probabilities_in_steps(pixels, [1, 2, 50], lambda *step: told.append(step))
    for stage, count, probabilities in told:
        labels = np.asarray(Image.open(out / f"steps/{stage}/labels/p1-{count:03d}.png"))
        assert np.array_equal(labels, probabilities.argmax(axis=0))
        stored = np.load(out / f"steps/{stage}/probabilities/p1-{count:03d}.npz")
        np.testing.assert_allclose(stored["probabilities"], probabilities, atol=1e-3)
    answer = np.asarray(Image.open(out / "labels/p1.png"))
    assert np.array_equal(answer, pipeline.predict(pixels))

    # a photo is done when its steps are there, too
    predict(path, image, resume=True, **options)
    assert "Skipped 1 files" in capsys.readouterr().out
    lost = out / "steps/deconvnet/labels/p1-002.png"
    lost.unlink()
    predict(path, image, resume=True, **options)
    assert lost.exists()


def test_only_probabilities_that_are_asked_for_are_kept(path, data, tmp_path, capsys):
    predict(path, data.parent / "images/p1.png", out=tmp_path / "o", save_proposal_steps="1",
            save="labels")  # fmt: skip
    files = sorted(
        str(p.relative_to(tmp_path / "o"))
        for p in (tmp_path / "o").rglob("*.*")
        if p.suffix in PICTURES
    )
    assert files == ["labels/p1.png", "steps/deconvnet/labels/p1-001.png"]
    capsys.readouterr()


def test_photos_new_to_the_store_are_computed_alike(path, data, tmp_path, caplog):
    from upscore.edges.detectors import GradientEdges
    from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes

    settings = EdgeBoxes(GradientEdges(), max_boxes=9, min_box_area=60).settings()
    make_store(tmp_path / "b.parquet", {}, settings=settings)
    with caplog.at_level("INFO", "upscore"):
        predict(path, data.parent / "images/p1.png", out=tmp_path / "o", save="labels")
    assert (tmp_path / "o/labels/p1.png").exists()
    assert "b.parquet: lacks a photo; its boxes" in caplog.text


def test_wrong_use_of_predict(path, data, tmp_path):
    photo = data.parent / "images/p1.png"
    out = tmp_path / "o"
    with pytest.raises(SettingsError, match="give a pipeline file in place of the run folder"):
        predict(tmp_path / "runs/fcn", photo, out=out, save_proposal_steps="1")
    alone = make_pipeline(tmp_path, answer="fcn-crf")
    with pytest.raises(SettingsError, match="the answer 'fcn-crf' of this pipeline comes from non"):
        predict(alone, photo, out=out, save_proposal_steps="1")
    for text in ("", "0", "1;5", "1,-2", "x", "1.5", "²"):
        with pytest.raises(SettingsError, match=r"--save-proposal-steps is .*; expected numbers"):
            predict(path, photo, out=out, save_proposal_steps=text)
    with pytest.raises(SettingsError, match="--crf is for a run folder"):
        predict(path, photo, out=out, options=SegmenterOptions(crf="deconvnet"))
    assert not out.exists()


def test_default_scales_as_a_list_are_no_option(path):
    pipeline = SegmenterOptions(scales=[1.0]).load_pipeline(path, None)
    assert "deconvnet" in pipeline.stages


def test_steps_are_of_photos(path, tmp_path, monkeypatch):
    monkeypatch.setattr("upscore.inference.predict_files.require_video", lambda: None)
    film = tmp_path / "film.mp4"
    film.touch()
    with pytest.raises(SettingsError, match=r"film\.mp4: .* of photos, not of videos"):
        predict(path, film, out=tmp_path / "o", save_proposal_steps="1")


def test_an_interrupted_photo_leaves_whole_files(path, data, tmp_path, monkeypatch, capsys):
    """A photo that fails half-way is named; what was saved of its steps is whole."""
    original = Pipeline._result

    def failing(self, name, image, sources):
        if name == "both-crf":
            raise RuntimeError("half-way")
        return original(self, name, image, sources)

    monkeypatch.setattr(Pipeline, "_result", failing)
    with pytest.raises(WorkError, match=r"p1\.png \(\d+x\d+\): cannot segment it \(Runt.*half"):
        predict(path, data.parent / "images/p1.png", out=tmp_path / "o", save="labels",
                save_proposal_steps="1")  # fmt: skip
    files = [p.name for p in (tmp_path / "o").rglob("*") if p.suffix in PICTURES]
    assert files == ["p1-001.png"]
    capsys.readouterr()
