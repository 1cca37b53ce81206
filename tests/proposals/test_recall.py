from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
from PIL import Image
from scipy.integrate import trapezoid

from proposals.recall_sources import Dying, Failing, Fixed, Missing, Odd
from upscore.core.boxes import iou_matrix
from upscore.core.files import make_folder
from upscore.data import open_dataset
from upscore.errors import DataError, MissingExtraError, SettingsError, WorkError
from upscore.proposals.recall import (
    COUNTS,
    SIZES,
    average_recall,
    best_overlaps,
    measure_recall,
    recall_at,
)
from upscore.proposals.sliding_window import Grid

WHOLE = (0.0, 0.0, 200.0, 120.0)


def some_boxes(rng: np.random.Generator, num: int) -> np.ndarray:
    begin = rng.uniform(0, 80, (num, 2))
    return np.concatenate([begin, begin + rng.uniform(5, 60, (num, 2))], axis=1)


def test_best_overlap_is_the_maximum_over_the_first_boxes():
    rng = np.random.default_rng(0)
    truth, boxes = some_boxes(rng, 13), some_boxes(rng, 60)
    counts = (1, 5, 59, 60, 61, 1000)
    found = best_overlaps(truth, boxes, counts)
    for row in range(13):
        for place, count in enumerate(counts):
            slow = max(iou_matrix(truth[row][None], box[None])[0, 0] for box in boxes[:count])
            assert found[row, place] == slow
    assert (np.diff(found, axis=1) >= 0).all()


def test_repeated_boxes_and_one_box_for_several_objects():
    truth = np.array([[0, 0, 10, 10], [0, 0, 10, 10]])
    boxes = np.array([[50, 50, 60, 60]] * 3 + [[0, 0, 10, 8]])
    found = best_overlaps(truth, boxes, (3, 4))
    np.testing.assert_allclose(found, [[0, 0.8], [0, 0.8]])


def test_no_boxes_and_no_objects():
    assert best_overlaps(np.zeros((2, 4)), np.zeros((0, 4)), (1, 2)).tolist() == [[0, 0], [0, 0]]
    nothing = best_overlaps(np.zeros((0, 4)), np.zeros((3, 4)), (1, 2))
    assert nothing.shape == (0, 2)
    assert np.isnan(average_recall(nothing)).all()
    assert np.isnan(recall_at(nothing, 0.5)).all()


def test_recall_has_its_threshold_inside():
    overlaps = np.array([[0.5], [0.49], [0.7], [1.0]], np.float32)
    assert recall_at(overlaps, 0.5)[0] == 0.75
    assert recall_at(overlaps, 0.7)[0] == 0.5  # 0.7 of float32 counts, though it is below 0.7
    assert recall_at(overlaps, 0.9)[0] == 0.25


def test_average_recall_is_twice_the_area_under_the_recall():
    overlaps = np.random.default_rng(1).uniform(0, 1, (40, 3)).astype(np.float32)
    thresholds = np.linspace(0.5, 1, 20_001)
    area = trapezoid([recall_at(overlaps, t) for t in thresholds], thresholds, axis=0)
    np.testing.assert_allclose(average_recall(overlaps), 2 * area, atol=2e-4)


def test_average_recall_of_perfect_and_useless_boxes():
    assert average_recall(np.ones((3, 1), np.float32)).tolist() == [1]
    assert average_recall(np.full((3, 1), 0.5, np.float32)).tolist() == [0]
    assert average_recall(np.array([[1.0], [0.0]], np.float32)).tolist() == [0.5]


@pytest.fixture
def data(tmp_path):
    """Three photos of 200x120: one object of each size and a speck, two touching, none."""
    root = tmp_path / "set"
    masks = {name: np.zeros((120, 200), np.uint8) for name in ("a", "b", "c")}
    masks["a"][10:30, 10:40] = 1  # 600 pixels: small
    masks["a"][40:80, 10:60] = 2  # 2000: medium
    masks["a"][0:110, 90:200] = 1  # 12100: large
    masks["a"][119, 0:9] = 2  # a speck
    masks["b"][20:40, 20:40] = 1
    masks["b"][20:40, 40:60] = 1
    masks["b"][60:, 60:] = 255
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        make_folder(root / folder)
    rng = np.random.default_rng(0)
    for name, mask in masks.items():
        photo = rng.integers(0, 256, (120, 200, 3), dtype=np.uint8)
        Image.fromarray(photo).save(root / "JPEGImages" / f"{name}.jpg")
        Image.fromarray(mask).save(root / "SegmentationClass" / f"{name}.png")
    (root / "ImageSets/Segmentation/val.txt").write_text("a\nb\nc\n")
    (root / "ImageSets/Segmentation/empty.txt").write_text("c\n")
    (root / "classes.txt").write_text("background\ncat\ndog\n")
    return root


PERFECT = Fixed(
    ((10, 10, 40, 30), (10, 40, 60, 80), (90, 0, 200, 110), (20, 20, 60, 40), (0, 0, 5, 5))
)


def test_objects_by_size_and_what_is_left_out(data):
    result = measure_recall(open_dataset(data), "val", {"perfect": PERFECT}, counts=(5, 1))
    assert {size: result.num_objects(size) for size in SIZES} == {
        "all": 4, "small": 2, "medium": 1, "large": 1,
    }  # fmt: skip
    assert result.left_out == 1
    assert result.num_photos == 3
    assert [photo.name for photo in result.photos] == ["a", "b"]
    assert result.counts == (1, 5)
    every = {(row.size, row.boxes): row for row in result.rows()}
    assert every["all", 5].recall == (1, 1, 1)
    assert every["all", 5].average_recall == 1
    assert every["small", 1].recall == (0.5, 0.5, 0.5)
    assert every["large", 1].recall == (0, 0, 0)
    assert result.boxes_a_photo("perfect") == 5
    assert result.failures == ()


def test_a_smaller_limit_counts_specks(data):
    result = measure_recall(open_dataset(data), "val", {"p": PERFECT}, min_area=9)
    assert (result.left_out, result.num_objects()) == (0, 5)
    assert result.counts == COUNTS


def test_instance_masks_where_there_are_some(data):
    make_folder(data / "SegmentationObject")
    instances = np.zeros((120, 200), np.uint8)
    instances[20:40, 20:40] = 1
    instances[20:40, 40:60] = 2
    Image.fromarray(instances).save(data / "SegmentationObject" / "b.png")
    result = measure_recall(open_dataset(data), "val", {"p": PERFECT})
    assert result.objects_from == "instance masks"
    assert [item.box for item in result.photos[1].objects] == [(20, 20, 40, 40), (40, 20, 60, 40)]


def test_a_source_that_fails_on_a_photo_leaves_it_out_for_all(data):
    sources = {"perfect": PERFECT, "failing": Failing((WHOLE,), names=("b",))}
    result = measure_recall(open_dataset(data), "val", sources)
    assert [photo.name for photo in result.photos] == ["a"]
    assert len(result.failures) == 1
    assert "b.jpg: failing: no edge here" in result.failures[0]
    assert result.to_json()["photos_without_objects"] == 1


def test_a_broken_photo_and_a_broken_mask(data):
    (data / "JPEGImages" / "a.jpg").write_bytes(b"no photo")
    (data / "SegmentationClass" / "c.png").write_bytes(b"")
    result = measure_recall(open_dataset(data), "val", {"p": PERFECT})
    assert [photo.name for photo in result.photos] == ["b"]
    assert [failure.partition(":")[0][-5:] for failure in result.failures] == ["a.jpg", "c.png"]


def test_all_photos_fail(data):
    with pytest.raises(WorkError, match=r"no photo .* 2 of 3 failed.*a\.jpg: f: no edge here"):
        measure_recall(open_dataset(data), "val", {"f": Failing((), names=("a", "b"))})


def test_an_unexpected_error_of_a_source_is_reported_with_its_type(data):
    with pytest.raises(WorkError, match=r"a\.jpg: odd: cannot find its boxes \(KeyError: 'a'; at "):
        measure_recall(open_dataset(data), "val", {"odd": Odd(())})


def test_two_processes_find_the_same(data):
    sources = {"perfect": PERFECT, "grid": Grid(max_boxes=50), "bad": Failing((WHOLE,), ("b",))}
    one = measure_recall(open_dataset(data), "val", sources)
    done = []
    two = measure_recall(
        open_dataset(data), "val", sources, workers=2, progress=lambda *step: done.append(step)
    )
    assert two.rows() == one.rows()
    assert two.failures == one.failures
    assert done == [(1, 3), (2, 3), (3, 3)]


def test_a_missing_package_ends_it(data):
    for workers in (1, 2):
        with pytest.raises(MissingExtraError, match="pip install X"):
            measure_recall(open_dataset(data), "val", {"m": Missing(())}, workers=workers)


def test_a_process_that_dies_is_reported(data):
    with pytest.raises(WorkError, match="a process died"):
        measure_recall(open_dataset(data), "val", {"d": Dying(())}, workers=2)


def test_a_split_without_objects(data):
    with pytest.raises(DataError, match="no object of 100 or more pixels in split 'empty'"):
        measure_recall(open_dataset(data), "empty", {"p": PERFECT})


def test_json_and_csv_hold_the_same_numbers(data, tmp_path):
    sources = {"perfect": PERFECT, "nothing": Fixed(())}
    result = measure_recall(open_dataset(data), "val", sources, counts=(1, 5), min_area=900)
    content = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert content["objects"] == {"all": 2, "small": 0, "medium": 1, "large": 1}
    assert content["sources"]["perfect"]["settings"]["kind"] == "Fixed"
    assert content["sources"]["nothing"]["boxes_a_photo"] == 0
    result.write_csv(tmp_path / "recall.csv")
    with (tmp_path / "recall.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * len(SIZES) * 2
    for row in rows:
        scores = content["sources"][row["source"]]["sizes"][row["size"]]
        place = content["counts"].index(int(row["boxes"]))
        for key in ("recall_at_0.5", "recall_at_0.7", "recall_at_0.9", "average_recall"):
            stored = scores[key][place]
            if row["size"] == "small":
                assert stored is None
                assert row[key] == ""
            else:
                assert math.isclose(float(row[key]), stored, abs_tol=1e-6)
    assert content["sources"]["nothing"]["sizes"]["all"]["average_recall"] == [0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": {}}, "no source"),
        ({"counts": ()}, "counts are"),
        ({"counts": (10, 0)}, "counts are"),
        ({"min_area": 0}, "min_area is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"split": "test"}, "no split 'test'"),
    ],
)
def test_bad_arguments(data, changes, message):
    arguments = {"sources": {"p": PERFECT}, "split": "val", **changes}
    sources, split = arguments.pop("sources"), arguments.pop("split")
    with pytest.raises(SettingsError, match=message):
        measure_recall(open_dataset(data), split, sources, **arguments)


@pytest.mark.real
def test_the_objects_of_msrc(real_data):
    root = real_data / "msrc"
    if not root.exists():
        pytest.skip(f"no {root}")
    result = measure_recall(open_dataset(root), "val", {"grid": Grid()})
    assert result.objects_from == "connected regions"
    assert result.num_photos == 74
    assert 74 <= result.num_objects() <= 300
    scores = [row.average_recall for row in result.rows("all")]
    assert scores == sorted(scores)
    assert 0.2 < scores[-1] < 0.8
