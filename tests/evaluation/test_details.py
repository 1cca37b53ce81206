"""Scores near boundaries and by object: computed in the same pass, and on disk."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from evaluation.labelled_split import make_split, perfect, sloppy
from upscore.core.labels import Labels
from upscore.errors import SettingsError
from upscore.metrics import evaluate, evaluate_stages, merge
from upscore.metrics.all_metrics import Details
from upscore.metrics.boundary import BoundaryF, BoundaryIoU
from upscore.metrics.object_size import RELATIVE_SIZES, THINNESS, Bins, ObjectSizes
from upscore.metrics.score_files import DETAILS, read_results, write_results
from upscore.metrics.stage_files import write_stages
from upscore.metrics.trimap import Trimap

LABELS = Labels.of(["tree", "background", "car"])


@pytest.fixture
def split(tmp_path):
    return make_split(tmp_path, 4, labels=LABELS)


def test_they_are_those_of_each_score_alone(split):
    found = evaluate(sloppy, split, details=True, bins=RELATIVE_SIZES).details
    trimap, iou, f = Trimap(3), BoundaryIoU(3), BoundaryF(3)
    sizes = ObjectSizes(3, bins=RELATIVE_SIZES, background=1)
    thinness = ObjectSizes(3, bins=THINNESS, background=1)
    for place in range(len(split)):
        sample = split.read(place)
        for score in (trimap, iou, f, sizes, thinness):
            score.update(sample.labels, sloppy(sample.image))
    assert found.trimap.scores() == trimap.scores()
    assert found.boundary_iou.miou() == iou.miou()
    assert found.boundary_f.mean_f() == f.mean_f()
    np.testing.assert_array_equal(found.sizes.counts, sizes.counts)
    np.testing.assert_array_equal(found.thinness.counts, thinness.counts)
    assert 0 < f.mean_f() < 1


def test_details_are_counted_only_when_asked_for(split, monkeypatch):
    def asked(*_args):
        raise AssertionError("counted")

    monkeypatch.setattr(Details, "__init__", asked)
    monkeypatch.setattr(Details, "update", asked)
    found = evaluate(perfect, split)
    assert found.details is None
    assert found.objects_from is None


def test_each_stage_has_its_own(split, tmp_path):
    found = evaluate_stages(
        lambda sample: {"good": perfect(sample.image), "bad": sloppy(sample.image)},
        ["good", "bad"], split, details=True,
    )  # fmt: skip
    assert found["good"].details.boundary_f.mean_f() == 1
    assert found["bad"].details.boundary_f.mean_f() < 1
    write_stages(found, tmp_path, output="good", seconds={}, about={})
    content = json.loads((tmp_path / "stages.json").read_text("utf-8"))
    assert content["stages"][0]["boundary_iou"] == 1
    assert content["stages"][1]["boundary_f"] == found["bad"].details.boundary_f.mean_f()
    with (tmp_path / "stages.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[1]["boundary_iou"]) == found["bad"].details.boundary_iou.miou()


def test_instance_masks_are_the_objects(split, tmp_path):
    masks = {}
    for place, pair in enumerate(split.pairs[:2]):
        truth = split.read_labels(place)
        one = np.where(truth == 0, 1, 0).astype(np.uint8)  # all trees together: one object
        masks[pair.name] = tmp_path / f"{place}-objects.png"
        Image.fromarray(one).save(masks[pair.name])
    regions = evaluate(perfect, split, details=True)
    found = evaluate(perfect, split, details=True, instances=masks)
    assert regions.objects_from == "connected regions"
    assert found.objects_from == "instance masks"
    assert found.details.sizes.objects.sum() < regions.details.sizes.objects.sum()
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(masks[split.pairs[0].name])
    damaged = evaluate(perfect, split, details=True, instances=masks)
    assert [failure.index for failure in damaged.failures] == [0]
    assert not evaluate(perfect, split, instances=masks).failures, "only details look at them"


def test_shards_add_up(split):
    whole = evaluate(sloppy, split, details=True)
    shards = [evaluate(sloppy, split, details=True, shard=(i, 3)) for i in range(3)]
    before = [shard.details.to_json() for shard in shards]
    merged = merge(shards).details
    assert merged.trimap.scores() == whole.details.trimap.scores()
    assert merged.boundary_iou.class_iou() == whole.details.boundary_iou.class_iou()
    assert merged.boundary_f.mean_f() == pytest.approx(whole.details.boundary_f.mean_f())
    np.testing.assert_array_equal(merged.sizes.counts, whole.details.sizes.counts)
    np.testing.assert_array_equal(merged.thinness.objects, whole.details.thinness.objects)
    assert [shard.details.to_json() for shard in shards] == before, "merging changes no shard"
    with pytest.raises(SettingsError, match="cannot merge an evaluation with details"):
        merge([shards[0], evaluate(sloppy, split, shard=(1, 3))])
    other = Bins("area", ("one", "two"), (7.0,))
    with pytest.raises(SettingsError, match="cannot add counts"):
        merge([shards[0], evaluate(sloppy, split, details=True, bins=other, shard=(1, 3))])


def test_on_disk(split, tmp_path):
    found = evaluate(sloppy, split, details=True)
    write_results(found, tmp_path / "o")
    back = read_results(tmp_path / "o")
    assert back.evaluation == found
    assert tuple(back.details) == DETAILS
    assert back.details == json.loads(json.dumps(found.details.to_json()))
    with (tmp_path / "o/trimap.csv").open(encoding="utf-8", newline="") as stream:
        widths = list(csv.DictReader(stream))
    assert len(widths) == 40
    assert float(widths[0]["pixel_accuracy"]) == found.details.trimap.scores()[0].pixel_accuracy
    with (tmp_path / "o/sizes.csv").open(encoding="utf-8", newline="") as stream:
        groups = [row["objects"] for row in csv.DictReader(stream)]
    assert groups == ["small", "medium", "large", "compact", "elongated", "thin"]


def test_a_file_of_before_can_be_read(split, tmp_path):
    write_results(evaluate(perfect, split, details=True), tmp_path)
    path = tmp_path / "scores.json"
    content = json.loads(path.read_text("utf-8"))
    for key in (*DETAILS, "objects_from"):
        del content[key]
    path.write_text(json.dumps(content), "utf-8")
    back = read_results(tmp_path)
    assert back.details == {}
    assert back.scores.miou == 1


def test_nothing_scored_is_null(split, tmp_path):
    for pair in split.pairs:
        pair.image.unlink()
    write_results(evaluate(perfect, split, details=True), tmp_path / "o")
    details = read_results(tmp_path / "o").details
    assert details["boundary_f"]["mean"] is None
    assert details["trimap"][0]["miou"] is None
    assert "NaN" not in (tmp_path / "o/scores.json").read_text("utf-8")
