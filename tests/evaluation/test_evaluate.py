from __future__ import annotations

import csv
import errno
import importlib
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from evaluation.labelled_split import LABELS, make_split, of_sample, perfect, sloppy
from upscore.core.labels import VOID
from upscore.data.dataset import Split
from upscore.errors import DataError, OutputError, RunError, SettingsError, WorkError
from upscore.metrics import Confusion, Evaluation, ImageScore, evaluate, merge
from upscore.metrics.object_size import ObjectSizes
from upscore.metrics.score_files import per_class_table, read_results, write_results
from upscore.report.examples import choose, read_examples, write_examples

evaluate_module = importlib.import_module("upscore.metrics.evaluate")


@pytest.fixture
def split(tmp_path):
    return make_split(tmp_path)


def test_perfect(split):
    calls = []
    found = evaluate(perfect, split, progress=lambda done, total: calls.append((done, total)))
    scores = found.confusion.scores()
    assert scores.miou == 1
    assert [image.index for image in found.images] == list(range(7))
    assert [image.name for image in found.images] == [pair.name for pair in split.pairs]
    assert all(image.miou == 1 for image in found.images)
    assert calls == [(i, 7) for i in range(1, 8)]
    assert found.failures == ()
    assert 0 < found.predict_seconds < found.seconds


def test_matrix_is_the_sum_over_images_at_their_own_size(split):
    found = evaluate(sloppy, split)
    expected = Confusion(3)
    for index in range(len(split)):
        sample = split.read(index)
        one = Confusion(3)
        one.update(sample.labels, sloppy(sample.image))
        expected += one
        assert found.images[index].miou == one.scores().miou
        assert found.images[index].pixel_accuracy == one.scores().pixel_accuracy
        assert found.images[index].valid_pixels == (sample.labels != VOID).sum()
    assert found.confusion == expected


@pytest.mark.parametrize("num_shards", [1, 2, 3, 7, 9])
def test_shards_together_are_the_split(split, num_shards):
    whole = evaluate(sloppy, split)
    shards = [evaluate(sloppy, split, shard=(i, num_shards)) for i in range(num_shards)]
    merged = merge(shards[::-1])
    assert merged.confusion == whole.confusion
    assert merged.images == whole.images
    assert sum(len(shard.images) for shard in shards) == len(split)


def test_shards_that_overlap_or_differ_do_not_merge(split):
    shard = evaluate(sloppy, split, shard=(0, 2))
    with pytest.raises(SettingsError, match="'фото 0' is in two shards"):
        merge([shard, shard])
    other = Split("test", split.pairs, split.labels, split.table)
    with pytest.raises(SettingsError, match="cannot merge an evaluation of split 'test'"):
        merge([shard, evaluate(sloppy, other, shard=(1, 2))])
    with pytest.raises(SettingsError, match="nothing to merge"):
        merge([])


@pytest.mark.parametrize("shard", [(1, 1), (-1, 2), (0, 0)])
def test_shard_out_of_range(split, shard):
    with pytest.raises(SettingsError, match="shard is"):
        evaluate(perfect, split, shard=shard)


def test_bad_file_is_listed_and_the_rest_is_done(split):
    split.pairs[2].image.write_bytes(b"not a picture")
    split.pairs[4].mask.unlink()
    whole = evaluate(perfect, split)
    assert [f.index for f in whole.failures] == [2, 4]
    assert "not an image" in whole.failures[0].message
    assert "no such file" in whole.failures[1].message
    assert len(whole.images) == 5
    merged = merge([evaluate(perfect, split, shard=(i, 2)) for i in range(2)])
    assert merged.failures == whole.failures


def test_photo_that_the_network_refuses_is_listed(split):
    def picky(image):
        if image[0, 0, 1] == 3:
            raise DataError("too strange")
        return perfect(image)

    found = evaluate(picky, split)
    assert [(f.name, f.message) for f in found.failures] == [("фото 3", "фото 3: too strange")]


def test_wrong_prediction_stops_and_names_the_image(split):
    with pytest.raises(DataError, match="фото 0: prediction holds 255"):
        evaluate(lambda image: np.full(image.shape[:2], 255, dtype=np.uint8), split)
    with pytest.raises(DataError, match=r"фото 0: prediction is \(1, 1\)"):
        evaluate(lambda _image: np.zeros((1, 1), dtype=np.uint8), split)


def test_any_error_of_the_network_is_one_photos(split):
    def faulty(image):
        return perfect(image) if image[0, 0, 1] != 3 else 1 / 0

    found = evaluate(faulty, split)
    assert len(found.images) == len(split) - 1
    (failure,) = found.failures
    assert failure.message.startswith(
        "фото 3: cannot segment it (ZeroDivisionError: division by zero"
    )


def test_a_photo_that_cannot_be_scored_counts_for_nothing(split, monkeypatch):
    """The error comes late, when other scores of the photo are counted already."""
    shapes = [split.read_labels(place).shape for place in range(len(split))]
    odd = shapes.index(max(shapes))
    update = ObjectSizes.update

    def faulty(self, truth, prediction, instances=None):
        if truth.shape == shapes[odd]:
            raise IndexError("odd")
        update(self, truth, prediction, instances)

    monkeypatch.setattr(ObjectSizes, "update", faulty)
    found = evaluate(sloppy, split, details=True)
    assert [failure.index for failure in found.failures] == [
        place for place, shape in enumerate(shapes) if shape == shapes[odd]
    ]
    assert "cannot score it (IndexError: odd; at upscore/" in found.failures[0].message
    kept = [pair for place, pair in enumerate(split.pairs) if shapes[place] != shapes[odd]]
    alone = evaluate(sloppy, replace(split, pairs=tuple(kept)), details=True)
    assert found.details.to_json() == alone.details.to_json()
    assert found.confusion.to_json() == alone.confusion.to_json()


def test_a_photo_does_not_fail_for_a_full_disk(split):
    def full(_image):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(WorkError, match="the disk is full; free some space"):
        evaluate(full, split)


def test_network_time_is_measured_separately(split, monkeypatch):
    """A second for each of seven predictions, and half a one for what comes after each."""
    now = 100.0

    def takes(seconds):
        nonlocal now
        now += seconds

    def slow(image):
        takes(1.0)
        return perfect(image)

    monkeypatch.setattr(evaluate_module, "time", SimpleNamespace(perf_counter=lambda: now))
    found = evaluate(slow, split, progress=lambda *_: takes(0.5))
    assert (found.predict_seconds, found.seconds) == (7.0, 10.5)
    assert found.overhead == pytest.approx(1 / 3)


def test_void_only_image_has_no_score(tmp_path):
    split = make_split(tmp_path, 2)
    mask = np.asarray(Image.open(split.pairs[1].mask)).copy()
    mask[:] = VOID
    Image.fromarray(mask).save(split.pairs[1].mask)
    found = evaluate(perfect, split)
    assert (found.images[1].miou, found.images[1].valid_pixels) == (None, 0)
    groups = choose(found.images)
    assert [image.index for group in groups.values() for image in group] == [0]


# results on disk


def test_results_round_trip(split, tmp_path):
    split.pairs[1].image.unlink()
    found = evaluate(sloppy, split)
    out = tmp_path / "evaluation" / "val"
    write_results(found, out, about={"tile": 512})
    back = read_results(out)
    assert back.evaluation == found
    assert back.about == {"tile": 512}
    assert back.scores == found.confusion.scores()

    content = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    assert content["scores"]["miou"] == found.confusion.scores().miou
    assert [item["name"] for item in content["per_class"]] == list(LABELS.names)
    with (out / "per_class.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["class"] for row in rows] == list(LABELS.names)
    assert float(rows[0]["iou"]) == found.confusion.scores().per_class[0].iou
    with (out / "images.csv").open(encoding="utf-8", newline="") as stream:
        images = list(csv.DictReader(stream))
    assert list(images[0])[:4] == ["name", "pixel_accuracy", "miou", "valid_pixels"]
    assert "covers" not in content["images"][0]
    assert [row["name"] for row in images] == [image.name for image in found.images]
    with (out / "confusion.csv").open(encoding="utf-8", newline="") as stream:
        table = list(csv.reader(stream))
    assert [[int(cell) for cell in row[1:]] for row in table[1:]] == found.confusion.to_json()
    assert table[0][1:] == list(LABELS.names)


def test_shares_of_cover_by_image(tmp_path):
    """Of the valid pixels: those where the truth is void count neither as true nor as predicted."""
    split = make_split(tmp_path, 2)
    masks = [np.asarray(Image.open(pair.mask)).copy() for pair in split.pairs]
    masks[0][:] = 1
    masks[0][: len(masks[0]) // 2] = VOID
    masks[1][:] = VOID
    for pair, mask in zip(split.pairs, masks, strict=True):
        Image.fromarray(mask).save(pair.mask)

    def left_is_2(image):
        labels = np.ones(image.shape[:2], dtype=np.uint8)
        labels[:, : labels.shape[1] // 2] = 2
        return labels

    found = evaluate(left_is_2, split)
    write_results(found, tmp_path / "out")
    with (tmp_path / "out" / "images.csv").open(encoding="utf-8", newline="") as stream:
        first, void = csv.DictReader(stream)
    columns = [f"{name} {kind} share" for name in LABELS.names for kind in ("true", "predicted")]
    assert list(first)[4:] == columns
    left = (masks[0].shape[1] // 2) / masks[0].shape[1]
    shares = [float(first[column]) for column in columns]
    assert shares == pytest.approx([0, 0, 1, 1 - left, 0, left])
    assert [void[column] for column in columns] == [""] * 6


def test_nothing_scored_is_null_on_disk(split, tmp_path):
    for pair in split.pairs:
        pair.image.unlink()
    found = evaluate(perfect, split)
    assert len(found.failures) == len(split)
    write_results(found, tmp_path / "out")
    content = json.loads((tmp_path / "out" / "scores.json").read_text(encoding="utf-8"))
    assert content["scores"]["miou"] is None
    assert "NaN" not in (tmp_path / "out" / "scores.json").read_text(encoding="utf-8")
    assert read_results(tmp_path / "out").evaluation == found


def damage(change):
    def apply(content):
        change(content)
        return json.dumps(content)

    return apply


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda _c: "{", "scores.json: damaged, not JSON"),
        (lambda _c: "[]", "scores.json: damaged, expected a JSON object"),
        (damage(lambda c: c.pop("confusion")), "scores.json: damaged .*confusion"),
        (damage(lambda c: c["confusion"].pop()), "scores.json: damaged .*square"),
        (damage(lambda c: c.update(confusion=[[1]])), "3 classes but a confusion matrix of 1"),
        (damage(lambda c: c.update(images=[{"name": "x"}])), "scores.json: damaged"),
        (damage(lambda c: c["images"][0].update(miou="high")), "scores.json: damaged"),
        (damage(lambda c: c.update(format_version=99)), "written by a newer upscore"),
    ],
)
def test_damaged_scores_name_the_file(split, tmp_path, write, message):
    out = tmp_path / "out"
    write_results(evaluate(perfect, split), out)
    path = out / "scores.json"
    path.write_text(write(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")
    with pytest.raises(RunError, match=message):
        read_results(out)


def test_folder_that_cannot_be_written(split, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="choose another"):
        write_results(evaluate(perfect, split), tmp_path / "file" / "val")


# examples


def scored(values):
    return [ImageScore(i, f"n{i}", v, v, 10) for i, v in enumerate(values)]


def test_choose_from_many():
    values = [((i * 7) % 101) / 101 for i in range(101)]
    groups = choose(scored(values))
    assert [g.miou for g in groups["best"]] == [100 / 101, 99 / 101, 98 / 101]
    assert [g.miou for g in groups["worst"]] == [i / 101 for i in range(10)]
    assert {g.miou for g in groups["typical"]} == {49 / 101, 50 / 101, 51 / 101}
    assert groups["typical"][0].miou == 50 / 101


@pytest.mark.parametrize(
    ("num", "sizes"),
    [(0, (0, 0, 0)), (1, (0, 0, 1)), (2, (1, 0, 1)), (3, (1, 1, 1)), (8, (2, 2, 4)),
     (16, (3, 3, 10)), (17, (3, 3, 10))],
)  # fmt: skip
def test_no_image_in_two_groups(num, sizes):
    groups = choose(scored([i / 20 for i in range(num)]))
    assert tuple(len(groups[kind]) for kind in ("best", "typical", "worst")) == sizes
    names = [image.name for group in groups.values() for image in group]
    assert len(set(names)) == len(names)


def test_ties_go_by_place():
    groups = choose(scored([0.5] * 30))
    assert [image.index for image in groups["best"]] == [0, 1, 2]
    assert [image.index for image in groups["worst"]] == list(range(29, 19, -1))


def test_examples_on_disk(split, tmp_path):
    out = tmp_path / "examples"
    out.mkdir()
    (out / "worst-09-photo.png").write_bytes(b"of an earlier evaluation")
    (out / "mine.png").write_bytes(b"not ours")
    found = evaluate(sloppy, split)
    examples = write_examples(of_sample(sloppy), split, found.images, out)
    assert read_examples(out) == examples
    assert not (out / "worst-09-photo.png").exists()
    assert (out / "mine.png").exists()
    for example in examples:
        index = next(i.index for i in found.images if i.name == example.name)
        sample = split.read(index)
        assert np.array_equal(np.asarray(Image.open(out / example.pictures["photo"])), sample.image)
        truth = Image.open(out / example.pictures["truth"])
        assert truth.mode == "P"
        assert np.array_equal(np.asarray(truth), sample.labels)
        prediction = np.asarray(Image.open(out / example.pictures["prediction"]))
        assert np.array_equal(prediction, sloppy(sample.image))
        error = np.asarray(Image.open(out / example.pictures["error"]))
        assert error.shape == sample.image.shape


def test_image_gone_since_is_no_example(split, tmp_path):
    found = evaluate(sloppy, split)
    split.pairs[0].image.unlink()
    examples = write_examples(of_sample(sloppy), split, found.images, tmp_path / "examples")
    assert len(examples) == len(split) - 1
    assert split.pairs[0].name not in {example.name for example in examples}


@pytest.mark.parametrize("text", ['{"examples": [{}]}', "{}", '{"examples": 3}', "nonsense"])
def test_damaged_examples_name_the_file(tmp_path, text):
    (tmp_path / "examples.json").write_text(text)
    with pytest.raises(RunError, match=r"examples\.json: damaged"):
        read_examples(tmp_path)


def test_examples_cannot_point_outside(split, tmp_path):
    write_examples(of_sample(perfect), split, evaluate(perfect, split).images, tmp_path / "e")
    path = tmp_path / "e" / "examples.json"
    path.write_text(path.read_text(encoding="utf-8").replace("best-01-photo.png", "../x.png"))
    with pytest.raises(RunError, match=r"picture is '\.\./x\.png'"):
        read_examples(tmp_path / "e")


def test_no_examples_yet(tmp_path):
    assert read_examples(tmp_path) == []


def test_evaluation_of_nothing_has_no_overhead():
    empty = Evaluation("val", LABELS, Confusion(3), (), (), 0.0, 0.0)
    assert empty.overhead is None
    assert not isinstance(empty.confusion.scores().miou, float)


def test_shares_of_the_classes(tmp_path):
    evaluation = evaluate(sloppy, make_split(tmp_path))
    assert repr(evaluation).startswith(f"<Evaluation of {evaluation.split}: mIoU 0.")
    assert repr(evaluation).endswith(", 7 images>")
    confusion = np.array(evaluation.confusion.to_json())
    rows = per_class_table(evaluation.confusion.scores(), evaluation.labels).rows
    true, predicted = zip(*(row[-2:] for row in rows), strict=True)
    np.testing.assert_allclose(true, confusion.sum(axis=1) / confusion.sum())
    np.testing.assert_allclose(predicted, confusion.sum(axis=0) / confusion.sum())
    assert true != predicted
