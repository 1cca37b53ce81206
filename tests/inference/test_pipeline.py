"""Pipelines: each stage as if it stood alone, each network once, from objects and from files."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

import upscore
from evaluation.small_world import make_network
from inference.pipeline_world import (
    EDGE_BOXES,
    FOUR,
    SIZE,
    FixedBoxes,
    make_pipeline,
    make_runs,
    make_store,
    stages,
    write,
)
from inference.support import CPU, PLAIN, THREE, ByColor, random_photo
from upscore.core.labels import Labels
from upscore.crf.settings import crf_settings
from upscore.errors import DataError, NotFoundError, RunError, SettingsError
from upscore.inference.ensemble import Ensemble
from upscore.inference.instance_wise import PAPER, InstanceWise
from upscore.inference.load import load_segmenter
from upscore.inference.pipeline.builder import LastImageProposals
from upscore.inference.pipeline.run import Pipeline, load_pipeline
from upscore.inference.refine import Refine, refine
from upscore.inference.tiles import Tiled

CRF = crf_settings("deconvnet").model_copy(update={"iterations": 2}).build()


class Inverse(ByColor):
    """Another opinion, in another order of the classes."""

    labels = Labels.of(reversed(THREE.names))

    def scores(self, image):
        self.sizes.append(image.shape[:2])
        scores = 3 - np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / 60
        return np.ascontiguousarray(scores[::-1])


def instance_wise(boxes=None, **changes) -> InstanceWise:
    torch.manual_seed(5)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3, padding=1), torch.nn.Tanh())
    settings = PAPER.model_copy(update={"input_size": (16, 20), "top": 3, "batch": 2, **changes})
    source = FixedBoxes(*FOUR) if boxes is None else boxes
    return InstanceWise(network, THREE, PLAIN, CPU, source, settings=settings)


def six(**changes) -> tuple[Pipeline, dict]:
    one, two = ByColor(), instance_wise(**changes)
    both = Ensemble([one, two])
    made = {
        "one": one,
        "two": two,
        "both": both,
        "one-crf": Refine(one, CRF),
        "two-crf": Refine(two, CRF),
        "both-crf": Refine(both, CRF),
    }
    return Pipeline(made, output="both-crf"), made


# -- one pass ---------------------------------------------------------------------------------


def test_every_stage_is_what_it_is_alone(photo):
    pipeline, made = six()
    found = pipeline.probabilities_of(photo)
    assert list(found) == list(made)
    for name, segmenter in made.items():
        np.testing.assert_allclose(found[name], segmenter.probabilities(photo), atol=1e-6)
        assert found[name].dtype == np.float32
    # and not all alike
    assert len({found[name].tobytes() for name in made}) == 6


def test_each_network_sees_a_photo_once(photo):
    pipeline, made = six()
    pipeline.probabilities_of(photo)
    assert len(made["one"].sizes) == 1
    assert made["two"].proposals.calls == 1
    pipeline.predict_of(photo, ["one-crf", "one"])
    assert len(made["one"].sizes) == 2
    assert made["two"].proposals.calls == 1, "not asked for"


def test_label_maps_are_those_of_the_probabilities(photo):
    pipeline, _ = six()
    seconds = {}
    labels = pipeline.predict_of(photo, seconds=seconds)
    for name, probabilities in pipeline.probabilities_of(photo).items():
        assert np.array_equal(labels[name], probabilities.argmax(axis=0))
        assert labels[name].dtype == np.uint8
    assert list(seconds) == list(pipeline.stages)
    assert all(value > 0 for value in seconds.values())


def test_it_is_a_segmenter_that_gives_the_answer(photo):
    pipeline, made = six()
    want = pipeline.probabilities_of(photo)["both-crf"]
    assert np.array_equal(pipeline.probabilities(photo), want)
    assert np.array_equal(pipeline.predict(photo), want.argmax(axis=0))
    np.testing.assert_allclose(np.exp(pipeline.scores(photo)), want, atol=1e-6)
    assert pipeline.labels is made["both-crf"].labels
    assert Tiled(pipeline, tile=128).predict(photo).shape == photo.shape[:2]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (13, 2), (31, 17)])
def test_odd_sizes(size):
    pipeline, _ = six()
    for probabilities in pipeline.probabilities_of(random_photo(*size)).values():
        assert probabilities.shape == (3, *size)
        np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)


def test_members_may_have_the_classes_in_another_order(photo):
    one, other = ByColor(), Inverse()
    pipeline = Pipeline({"one": one, "other": other, "e": Ensemble([one, other])}, output="e")
    found = pipeline.probabilities_of(photo)
    np.testing.assert_allclose(found["e"], (found["one"] + found["other"][::-1]) / 2, atol=1e-6)
    assert pipeline.labels_of("other").names == THREE.names[::-1]


def test_a_product_takes_scores_and_asks_once(photo):
    one, two = ByColor(), instance_wise()
    product = Ensemble([one, two], combine="product")
    pipeline = Pipeline({"one": one, "two": two, "e": product, "c": Refine(product, CRF)},
                        output="c")  # fmt: skip
    found = pipeline.probabilities_of(photo)
    assert len(one.sizes) == 1
    assert two.proposals.calls == 1
    scores = np.maximum(one.scores(photo), 0) * np.maximum(two.scores(photo), 0)
    want = np.exp(scores.astype(np.float64))
    np.testing.assert_allclose(found["e"], want / want.sum(axis=0), atol=1e-5)
    np.testing.assert_allclose(found["one"], one.probabilities(photo), atol=1e-6)
    np.testing.assert_allclose(found["two"], two.probabilities(photo), atol=1e-6)


def test_an_ensemble_of_others_stands_for_itself(photo):
    ensemble = Ensemble([ByColor(), Inverse()])
    pipeline = Pipeline({"e": ensemble, "c": Refine(ensemble, CRF)}, output="c")
    found = pipeline.probabilities_of(photo)
    np.testing.assert_allclose(found["e"], ensemble.probabilities(photo), atol=1e-6)
    np.testing.assert_allclose(found["c"], CRF(photo, probabilities=found["e"]), atol=1e-6)


def test_no_boxes_leave_the_other_member_to_decide(photo):
    one, two = ByColor(), instance_wise(FixedBoxes())
    pipeline = Pipeline({"one": one, "two": two, "e": Ensemble([one, two])}, output="e")
    found = pipeline.predict_of(photo)
    assert not found["two"].any()
    assert np.array_equal(found["e"], found["one"])


def test_what_cannot_be_a_pipeline():
    one = ByColor()
    with pytest.raises(SettingsError, match="no stage 'x'; there are one"):
        Pipeline({"one": one}, output="x")
    with pytest.raises(SettingsError, match="no stage 'x'"):
        Pipeline({"one": one}, output="one").probabilities_of(random_photo(4, 4), ["x"])
    with pytest.raises(SettingsError, match="'c' is made of 'one', which must come before it"):
        Pipeline({"c": Refine(one, CRF), "one": one}, output="c")
    inner = Ensemble([one, Inverse()], combine="product")
    outer = Ensemble([one, inner], combine="product")
    with pytest.raises(SettingsError, match="'inner' is a product and part of another one"):
        Pipeline({"one": one, "inner": inner, "outer": outer}, output="outer")


def test_what_is_no_image_is_refused():
    with pytest.raises(DataError, match="dtype float64"):
        six()[0].predict(np.zeros((3, 3, 3)))


# -- as boxes are added -----------------------------------------------------------------------


@pytest.mark.parametrize("top", [2, 3, 50])
def test_steps_on_the_way_to_the_same_answer(photo, top):
    pipeline, made = six(top=top)
    assert pipeline.stepwise == ("two",)
    told = []
    found = pipeline.probabilities_in_steps(
        photo, [1, 3, 10], lambda *step: told.append((*step[:2], step[2].copy()))
    )
    assert made["two"].proposals.calls == 1
    np.testing.assert_allclose(found, pipeline.probabilities(photo), atol=1e-6)
    assert [step[:2] for step in told] == [("two", 1), ("two", 3), ("two", 10)]
    for _, count, probabilities in told:
        want = instance_wise(top=count).probabilities(photo)
        np.testing.assert_allclose(probabilities, want, atol=1e-6)


def test_steps_from_the_largest_box_on(photo):
    pipeline, made = six(boxes=FixedBoxes(*FOUR[::-1]), top=4)
    told = []
    found = pipeline.probabilities_in_steps(
        photo, [1, 2], lambda *step: told.append((*step[:2], step[2].copy())), order="size"
    )
    np.testing.assert_allclose(found, pipeline.probabilities(photo), atol=1e-6)
    want = dict(made["two"].steps(photo, [1, 2], order="size"))
    by_score = dict(made["two"].steps(photo, [1, 2]))
    assert [step[:2] for step in told] == [("two", 1), ("two", 2)]
    for _, count, probabilities in told:
        np.testing.assert_allclose(probabilities, want[count], atol=1e-6)
        assert not np.allclose(probabilities, by_score[count])


def test_steps_beside_a_product(photo):
    one, two = ByColor(), instance_wise()
    product = Ensemble([one, two], combine="product")
    pipeline = Pipeline({"one": one, "two": two, "e": product}, output="e")
    told = []
    found = pipeline.probabilities_in_steps(photo, [1], lambda *step: told.append(step))
    np.testing.assert_allclose(found, pipeline.probabilities(photo), atol=1e-6)
    assert len(told) == 1


def test_only_what_the_answer_is_made_of_has_steps(photo):
    _, made = six()
    pipeline = Pipeline(made, output="one-crf")
    assert pipeline.stepwise == ()
    told = []
    pipeline.probabilities_in_steps(photo, [1], lambda *step: told.append(step))
    assert told == []


def test_counts_that_cannot_be(photo):
    with pytest.raises(SettingsError, match="counts of boxes hold 0"):
        six()[0].probabilities_in_steps(photo, [0], lambda *_: None)


# -- a CRF over probabilities that are there --------------------------------------------------


def test_large_photos_are_refined_in_tiles():
    photo = random_photo(150, 300)
    given = ByColor().probabilities(photo)
    before = given.copy()
    found = refine(CRF, photo, given, tile=128)
    want = Tiled(Refine(ByColor(), CRF), tile=128).probabilities(photo)
    np.testing.assert_allclose(found, want, atol=1e-6)
    assert not np.allclose(found, refine(CRF, photo, given), atol=1e-4), "tiles do differ a little"
    assert np.array_equal(given, before)


# -- files ------------------------------------------------------------------------------------


def test_a_file_builds_what_it_says(tmp_path, photo):
    (tmp_path / "dir é").mkdir()
    path = make_pipeline(tmp_path / "dir é")
    pipeline = load_pipeline(path, device="cpu", precision="fp32")
    assert set(pipeline.stages) == set(stages())
    assert pipeline.output == "both-crf"
    found = pipeline.probabilities_of(photo)
    fcn = load_segmenter(path.parent / "runs/fcn", device="cpu", precision="fp32")
    np.testing.assert_allclose(found["fcn"], fcn.probabilities(photo), atol=1e-6)
    np.testing.assert_allclose(found["both"], (found["fcn"] + found["deconvnet"]) / 2, atol=1e-6)
    assert not np.allclose(found["fcn"], found["deconvnet"], atol=0.01)


def test_it_gives_instance_wise_the_trained_size_and_the_given_boxes(tmp_path, photo):
    path = make_pipeline(tmp_path)
    pipeline = load_pipeline(path, stages=["deconvnet"])
    segmenter = pipeline._stages["deconvnet"]
    assert segmenter.settings.input_size == tuple(SIZE)
    assert segmenter.settings.top == 3
    settings = segmenter.proposals.settings()
    assert settings["edges"]["kind"] == "GradientEdges"
    assert settings["min_box_area"] == EDGE_BOXES["min_box_area"]
    assert 0 < len(segmenter.proposals(photo)) <= 30


def test_a_photo_without_any_box(tmp_path):
    flat = np.full((40, 50, 3), 90, dtype=np.uint8)  # no edge, so no box
    pipeline = load_pipeline(make_pipeline(tmp_path))
    assert len(pipeline._stages["deconvnet"].proposals(flat)) == 0
    probabilities = pipeline.probabilities_of(flat)
    np.testing.assert_allclose(probabilities["deconvnet"], 1 / 3, atol=1e-6)
    labels = pipeline.predict_of(flat)
    assert not labels["deconvnet"].any(), "the background"
    assert np.array_equal(labels["both"], labels["fcn"])


def test_only_what_is_asked_for_is_loaded(tmp_path):
    path = make_pipeline(tmp_path)
    shutil.rmtree(tmp_path / "runs/deconvnet")
    with pytest.raises(NotFoundError, match=r"stages\.deconvnet\.instance_wise\.run: .*deconvnet: "
                       "no such run folder; `upscore train` makes one"):  # fmt: skip
        load_pipeline(path)
    some = load_pipeline(path, stages=["fcn-crf"])
    assert some.stages == ("fcn", "fcn-crf")
    assert some.output == "fcn-crf"
    with pytest.raises(NotFoundError):
        load_pipeline(path, stages=())
    with pytest.raises(SettingsError, match="no stage 'fnc' in this pipeline"):
        load_pipeline(path, stages=["fnc"])


def test_load_takes_a_pipeline(tmp_path, photo):
    path = make_pipeline(tmp_path, answer="both")
    want = load_pipeline(path).probabilities(photo)
    segmenter = load_segmenter(path)
    assert set(segmenter.stages) == {"fcn", "deconvnet", "both"}
    assert np.array_equal(segmenter.probabilities(photo), want)
    result = upscore.load(path).segment(photo)
    assert np.array_equal(result.probabilities, want)
    with pytest.raises(NotFoundError, match=r"none\.yaml: no such file"):
        upscore.load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crf": "deconvnet"}, "--crf is for a run folder, but .* is a pipeline; .*refine"),
        ({"flip": True, "tile": 128}, "--tile is for .*whole_image stages\n--flip is for"),
        ({"scales": (0.5, 1.0)}, "--scales is for a run folder"),
    ],
)
def test_options_of_run_folders_are_refused(tmp_path, options, message):
    with pytest.raises(SettingsError, match=message):
        load_segmenter(make_pipeline(tmp_path), **options)


def test_stages_with_the_same_boxes_find_them_once(tmp_path, photo, monkeypatch):
    content = {"answer": "a", "stages": {
        name: {"instance_wise": {"run": "runs/deconvnet", "aggregate": aggregate,
                                 "proposals": EDGE_BOXES}}
        for name, aggregate in [("a", "max"), ("b", "sum"), ("c", "mean")]}}  # fmt: skip
    make_runs(tmp_path)
    pipeline = load_pipeline(write(tmp_path / "p.yaml", content))
    calls = []
    from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes

    original = EdgeBoxes.__call__
    monkeypatch.setattr(EdgeBoxes, "__call__",
                        lambda self, *given, **named: calls.append(1) or original(
                            self, *given, **named))  # fmt: skip
    found = pipeline.probabilities_of(photo)
    assert len(calls) == 1
    assert not np.allclose(found["a"], found["b"])
    pipeline.probabilities_of(random_photo(30, 30))
    assert len(calls) == 2


def test_boxes_are_remembered_by_content(photo):
    source = FixedBoxes(*FOUR)
    once = LastImageProposals(source)
    assert once.settings() == source.settings()
    first = once(photo)
    assert once(photo.copy()) is first
    photo[0, 0] += 1  # who reads a video may use one array for all frames
    once(photo)
    assert source.calls == 2


def spoil(folder, what):
    """Make something that the pipeline names wrong; returns its file."""
    path = make_pipeline(folder)
    if what == "other classes":
        shutil.rmtree(folder / "runs/deconvnet")
        make_network(folder / "runs/deconvnet", ("ground", "cat", "car"))
    elif what == "no model yet":
        shutil.rmtree(folder / "runs/fcn/model")
    elif what == "damaged classes":
        config = folder / "runs/fcn/model/config.json"
        config.write_text(config.read_text().replace('"classes"', '"klasses"'))
    elif what == "no crf":
        (folder / "crf.yaml").unlink()
    elif what == "crf at a Windows path":
        content = {"answer": "both-crf", "stages": stages()}
        content["stages"]["both-crf"]["refine"]["crf"] = r"crfs\my-crf"
        write(path, content)
    elif what == "crf of other classes":
        (folder / "crf.yaml").write_text(
            "gaussian: {sxy: 2, weight: 2}\ncompatibility: [[0, 1], [1, 0]]"
        )
    elif what == "scales":
        content = {"answer": "fcn", "stages": {"fcn": {"whole_image": {
            "run": "runs/fcn", "scales": [-1]}}}}  # fmt: skip
        write(path, content)
    elif what == "weights":
        content = {"answer": "both", "stages": stages()}
        content["stages"]["both"]["ensemble"] |= {"combine": "weighted", "weights": [1]}
        write(path, content)
    elif what == "product":
        content = {"answer": "both", "stages": stages()}
        content["stages"]["both"] = {"ensemble": {"of": ["fcn-crf", "fcn"], "combine": "product"}}
        write(path, content)
    elif what == "no store":
        path = make_pipeline(folder, store="none.parquet")
    elif what == "no such weights":
        path = make_pipeline(folder, source="edge-boxes", model="w.safetensors")
    elif what == "alpha":
        path = make_pipeline(folder, source="edge-boxes", alpha=7)
    else:
        assert what == "broken store"
        (folder / "b.parquet").write_bytes(b"nothing")
        path = make_pipeline(folder, store="b.parquet")
    return path


@pytest.mark.parametrize(
    ("what", "kind", "message"),
    [
        ("other classes", SettingsError,
         r"stages\.both\.ensemble of fcn, deconvnet: member 2 .*tree.* has cat, which member 1 l"),
        ("no model yet", RunError, r"stages\.fcn\.whole_image\.run: .*has no model yet"),
        ("damaged classes", RunError, r"fcn\.whole_image\.run: .*config\.json: damaged, no class"),
        ("no crf", NotFoundError, r"stages\.both-crf\.refine\.crf: .*crf\.yaml: no such file"),
        ("crf at a Windows path", NotFoundError,
         r"refine\.crf: .*my-crf: no such file of CRF settings"),
        ("crf of other classes", SettingsError, r"refine\.crf: .*compatibility is for 2 classes"),
        ("scales", SettingsError, r"stages\.fcn\.whole_image: scales hold -1"),
        ("weights", SettingsError, r"stages\.both\.ensemble .*2 members has 1 weights"),
        ("product", SettingsError, r"stages\.both\.ensemble: member 1 .*is a Refine whose scores"),
        ("no store", NotFoundError,
         r"deconvnet\.instance_wise\.proposals: .*none\.parquet: no such file; .*proposals make"),
        ("broken store", DataError, r"instance_wise\.proposals: .*b\.parquet: "),
        ("no such weights", NotFoundError, r"proposals: .*w\.safetensors: no such file"),
        ("alpha", SettingsError, r"proposals: EdgeBoxes: alpha is 7, expected 0\.1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_reported(tmp_path, what, kind, message):
    path = spoil(tmp_path, what)
    with pytest.raises(kind, match=message) as told:
        load_pipeline(path)
    assert str(told.value).startswith(f"{path}: stages.")


def test_all_that_is_missing_is_reported_at_once(tmp_path):
    path = make_pipeline(tmp_path, store="none.parquet")
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "crf.yaml").unlink()
    with pytest.raises(NotFoundError) as told:
        load_pipeline(path)
    lines = str(told.value).splitlines()
    assert len(lines) == 6
    assert all(line.startswith(f"{path}: stages.") for line in lines)


def test_paths_begin_at_the_files_folder(tmp_path, photo, monkeypatch):
    make_runs(tmp_path)
    make_store(tmp_path / "boxes.parquet", {"a": photo})
    (tmp_path / "elsewhere").mkdir()
    path = make_pipeline(tmp_path, store="boxes.parquet")
    want = load_pipeline(path).predict(photo)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert np.array_equal(load_pipeline(path).predict(photo), want)
