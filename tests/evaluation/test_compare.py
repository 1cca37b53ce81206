from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from evaluation.small_world import make_data
from upscore.core.labels import VOID
from upscore.core.tables import Table
from upscore.data import open_dataset
from upscore.errors import DataError, SettingsError
from upscore.metrics.boundary import BoundaryF
from upscore.metrics.comparison import PackedLabels, PredictedMaps, compare
from upscore.metrics.comparison_files import write_comparison
from upscore.metrics.confusion import Confusion, mean_iou
from upscore.metrics.object_size import ObjectSizes
from upscore.metrics.trimap import Trimap

NAMES = ("background", "tree", "car")


@pytest.fixture
def split(tmp_path):
    return open_dataset(make_data(tmp_path / "data", NAMES)).split("val")


def guess(split, wrong: float, seed: int = 0, *, name: str | None = None) -> PredictedMaps:
    """The truth with a share of its pixels changed; void becomes background."""
    rng = np.random.default_rng(seed)
    maps = []
    for place in range(len(split)):
        truth = split.read_labels(place)
        noise = rng.integers(0, 3, truth.shape, dtype=np.uint8)
        predicted = np.where(rng.random(truth.shape) < wrong, noise, truth)
        maps.append(PackedLabels.of(np.where(predicted == VOID, 0, predicted).astype(np.uint8)))
    return PredictedMaps(name or f"wrong {wrong:g}", tuple(maps), (0.2, 0.1, 0.9), 3 * 2**20)


def test_packed_labels():
    for shape in ((7, 5), (1, 1), (0, 4)):
        labels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        found = PackedLabels.of(labels.T.copy().T).unpack()
        np.testing.assert_array_equal(found, labels)
        found[...] = 1  # may be changed
    smooth = np.zeros((400, 500), np.uint8)
    assert len(PackedLabels.of(smooth).content) < 2000


def test_counts_are_those_of_each_alone(split):
    few, many = guess(split, 0.1), guess(split, 0.4, 1)
    found = compare([many, few], split)
    assert [one.name for one in found.models] == ["wrong 0.4", "wrong 0.1"]
    for one, item in zip(found.models, (many, few), strict=True):
        confusion, trimap, sizes, boundary = Confusion(3), Trimap(3), ObjectSizes(3), BoundaryF(3)
        for place, packed in enumerate(item.maps):
            for score in (confusion, trimap, sizes, boundary):
                score.update(split.read_labels(place), packed.unpack())
        assert one.confusion == confusion
        assert one.details.trimap.scores() == trimap.scores()
        np.testing.assert_array_equal(one.details.sizes.counts, sizes.counts)
        assert one.details.boundary_f.mean_f() == boundary.mean_f()
        assert one.seconds == 0.2  # the median
        assert one.peak_bytes == 3 * 2**20
    difference = found.differences[0]
    scores = [one.scores.miou for one in found.models]
    assert difference.miou == pytest.approx(scores[1] - scores[0])
    assert 0 < difference.low < difference.miou < difference.high
    assert difference.significant
    assert (difference.better, difference.worse) == (3, 0)
    assert found.winners() == [[1], [1], [1]]
    assert found.objects_from == "connected regions"


def test_an_equal_model_is_not_different(split):
    one = guess(split, 0.2)
    found = compare([one, replace(one, name="again")], split)
    (difference,) = found.differences
    assert (difference.miou, difference.low, difference.high) == (0, 0, 0)
    assert not difference.significant
    assert (difference.better, difference.worse) == (0, 0)
    assert found.winners() == [[], [], []]
    assert found.most_different(5) == []


def test_a_class_that_only_one_of_them_sees_is_nobodys(split):
    """A car where there is none is a mistake: the others are not beaten by an IoU of 0."""
    for pair in split.pairs:
        mask = np.array(Image.open(pair.mask))
        Image.fromarray(np.where(mask == 2, 0, mask).astype(np.uint8)).save(pair.mask)
    one, truth = guess(split, 0.2), guess(split, 0)
    found = compare([one, truth], split)
    assert found.winners() == [[1], [1], []]
    assert [c.scores.classes_averaged for c in found.models] == [3, 2]
    assert (found.differences[0].better, found.differences[0].worse) == (2, 0)


def test_the_seed_draws_the_images(split):
    pair = [guess(split, 0.2), guess(split, 0.25, 1)]
    intervals = [[(d.low, d.high) for d in compare(pair, split, seed=s).differences]
                 for s in (0, 0, 1)]  # fmt: skip
    assert intervals[0] == intervals[1] != intervals[2]


def test_images_that_differ_most(split):
    base, other = guess(split, 0.05), guess(split, 0.05)
    maps = list(other.maps)
    for place, wrong in ((4, 0.9), (1, 0.5)):
        maps[place] = guess(split, wrong, 3).maps[place]
    found = compare([base, replace(other, name="other", maps=tuple(maps))], split)
    assert found.most_different(10) == [4, 1]
    assert found.most_different(1) == [4]


def test_an_image_that_one_failed_on_counts_for_none(split):
    one, other = guess(split, 0.1), guess(split, 0.3, 1)
    broken = (*other.maps[:2], "out of proposals", *other.maps[3:])
    found = compare([one, replace(other, maps=broken)], split)
    assert found.places == (0, 1, 3, 4, 5)
    assert [failure.name for failure in found.failures] == ["p2"]
    assert "wrong 0.3: out of proposals" in found.failures[0].message
    valid = sum(int((split.read_labels(i) != VOID).sum()) for i in found.places)
    assert {int(c.confusion.matrix.sum()) for c in found.models} == {valid}
    every = tuple("no" for _ in broken)
    with pytest.raises(DataError, match="no image of split 'val' counts"):
        compare([one, replace(other, maps=every)], split)


def test_a_truth_that_cannot_be_read(split):
    pair = [guess(split, 0.1), guess(split, 0.3, 1)]
    split.pairs[3].mask.write_bytes(b"broken")
    found = compare(pair, split)
    assert [failure.index for failure in found.failures] == [3]
    assert len(found.models[0].image_overlaps) == 5


def test_instance_masks(split, tmp_path):
    paths = {}
    for pair, place in zip(split.pairs, range(len(split)), strict=True):
        path = tmp_path / f"{pair.name}-objects.png"
        shape = split.read_labels(place).shape
        instances = np.ones(shape, np.uint8)
        instances[:, shape[1] // 2 :] = 2
        Image.fromarray(instances).save(path)
        paths[pair.name] = path
    found = compare([guess(split, 0.1), guess(split, 0.2, 1)], split, instances=paths)
    assert found.objects_from == "instance masks"
    assert found.models[0].details.sizes.objects.sum() == 2 * len(split)


def test_files(split, tmp_path):
    pair = [guess(split, 0.3, name="a | b"), guess(split, 0.1, 1)]
    found = compare(pair, split)
    out = tmp_path / "Ergebnisse für zwei"
    write_comparison(found, out, pictures={2: "differences/01-p2.png"}, about={"command": "x"})
    content = json.loads((out / "compare.json").read_text("utf-8"))
    assert [c["name"] for c in content["contenders"]] == ["a | b", "wrong 0.1"]
    assert content["contenders"][0]["difference"] is None
    assert content["contenders"][1]["difference"]["miou"] == found.differences[0].miou
    assert content["contenders"][1]["scores"]["miou"] == found.models[1].scores.miou
    assert len(content["contenders"][1]["trimap"]) == 40
    assert content["most_different"] == [{"row": 2, "picture": "differences/01-p2.png"}]
    assert content["images"][2]["picture"] == "differences/01-p2.png"
    assert content["about"] == {"command": "x"}
    for name, rows in (("contenders", 3), ("per_class", 4), ("sizes", 13), ("trimap", 41),
                       ("images", 7)):  # fmt: skip
        with (out / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
            table = list(csv.reader(stream))
        assert len(table) == rows
        assert len({len(row) for row in table}) == 1
    text = (out / "compare.md").read_text("utf-8")
    assert "a \\| b" in text
    assert f"{found.models[1].scores.miou:.4f}" in text
    assert "small below 1,024" in text
    assert "![p2](differences/01-p2.png)" in text


def test_markdown():
    table = Table(("name", "value"), [("a|b", None), ("c\nd", 0.5)])
    assert table.markdown() == "| name | value |\n| --- | ---: |\n| a\\|b |  |\n| c d | 0.5000 |\n"


def test_all_void(split):
    for pair in split.pairs:
        size = Image.open(pair.mask).size
        Image.new("L", size, VOID).save(pair.mask)
    found = compare([guess(split, 0.1), guess(split, 0.2, 1)], split)
    assert found.differences[0].miou is None
    assert found.winners() == [[], [], []]
    assert found.most_different(3) == []


def test_wrong_arguments(split):
    one = guess(split, 0.1)
    with pytest.raises(SettingsError, match="two or more models, found 1"):
        compare([one], split)
    with pytest.raises(SettingsError, match="expected different names"):
        compare([one, one], split)
    with pytest.raises(SettingsError, match="labels of 5 images, split 'val' has 6"):
        compare([one, replace(one, name="b", maps=one.maps[:5])], split)
    small = PackedLabels.of(np.zeros((2, 2), np.uint8))
    with pytest.raises(DataError, match=r"b, p0: prediction is \(2, 2\)"):
        compare([one, replace(one, name="b", maps=(small, *one.maps[1:]))], split)


def test_own_miou_of_an_image(split):
    found = compare([guess(split, 0.1), guess(split, 0.2, 1)], split)
    matrix = Confusion(3)
    matrix.update(split.read_labels(0), guess(split, 0.1).maps[0].unpack())
    assert found.models[0].image_miou[0] == mean_iou(matrix.matrix)
