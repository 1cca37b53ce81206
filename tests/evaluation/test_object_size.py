from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from evaluation.maps import noisy, square
from upscore.core.labels import VOID
from upscore.errors import DataError, SettingsError
from upscore.metrics.confusion import count
from upscore.metrics.object_size import (
    COCO_SIZES,
    RELATIVE_SIZES,
    THINNESS,
    Bins,
    ObjectSizes,
    inner_widths,
)

TINY = Bins("area", ("small", "medium", "large"), (4, 30))


def scored(truth, prediction, instances=None, *, classes=3, **settings):
    sizes = ObjectSizes(classes, **settings)
    sizes.update(truth, prediction, instances)
    return sizes


def slow_counts(truth, prediction, bins, background):
    """(groups, 3, C) by loops over scipy's regions of each class."""
    num = len(bins.names)
    counts = np.zeros((num, 3, 3), np.int64)
    group_of = np.full(truth.shape, -1)

    def group(area):
        return sum(area >= limit for limit in bins.limits)

    for c in range(3):
        if c == background:
            continue
        numbered, regions = ndimage.label(truth == c)
        for i in range(1, regions + 1):
            group_of[numbered == i] = group((numbered == i).sum())
    for c in range(3):
        if c == background:
            continue
        for g in range(num):
            counts[g, 0, c] = ((truth == c) & (prediction == c) & (group_of == g)).sum()
            counts[g, 1, c] = ((truth == c) & (group_of == g)).sum()
        numbered, regions = ndimage.label((prediction == c) & (truth != VOID))
        for i in range(1, regions + 1):
            region = numbered == i
            right = [(region & (truth == c) & (group_of == g)).sum() for g in range(num)]
            g = int(np.argmax(right)) if any(right) else group(region.sum())
            counts[g, 2, c] += (region & (truth != c)).sum()
    counts[:, 2] += counts[:, 0]
    return counts


@pytest.mark.parametrize("background", [0, None])
@pytest.mark.parametrize("shape", [(1, 1), (1, 12), (20, 31), (43, 29)])
def test_against_a_slow_twin(shape, background):
    for seed in range(4):
        truth, prediction = noisy(*shape, seed), noisy(*shape, seed + 20, void=False)
        found = scored(truth, prediction, bins=TINY, background=background)
        wanted = slow_counts(truth, prediction, TINY, background)
        np.testing.assert_array_equal(found.counts, wanted)


@pytest.mark.parametrize("bins", [TINY, COCO_SIZES, RELATIVE_SIZES, THINNESS])
@pytest.mark.parametrize("with_instances", [False, True])
def test_all_groups_together_are_the_confusion_matrix(bins, with_instances):
    for seed in range(3):
        truth, prediction = noisy(40, 60, seed), noisy(40, 60, seed + 20, void=False)
        instances = np.random.default_rng(seed).integers(0, 5, (40, 60)) if with_instances else None
        for background in (0, None):
            found = scored(truth, prediction, instances, bins=bins, background=background)
            matrix = count(truth, prediction, 3)
            first = 0 if background is None else 1
            wanted = np.stack([np.diagonal(matrix), matrix.sum(axis=1), matrix.sum(axis=0)])
            np.testing.assert_array_equal(found.counts.sum(axis=0)[:, first:], wanted[:, first:])
            assert not found.counts[:, :, :first].any()


def test_sizes_are_distinguished():
    """A square of 31 is small and found, one of 40 is medium and half found, one of 100 is lost."""
    truth = np.zeros((200, 300), np.uint8)
    truth[5:36, 5:36] = 1
    truth[50:90, 5:45] = 1
    truth[50:150, 100:200] = 2
    prediction = np.zeros_like(truth)
    prediction[5:36, 5:36] = 1
    prediction[50:90, 5:25] = 1
    found = scored(truth, prediction)
    assert found.objects.tolist() == [1, 1, 1]
    assert [found.class_recall(g) for g in range(3)] == [[None, 1, None], [None, 0.5, None],
                                                        [None, None, 0]]  # fmt: skip
    assert [found.miou(g) for g in range(3)] == [1, 0.5, 0]
    assert found.accuracy(1) == 0.5
    assert found.pixels(2) == 10_000


def test_wrong_pixels_go_with_their_region():
    truth = square(20, size=150)  # small
    prediction = square(22, size=150)  # 400 right and 84 wrong pixels in one region
    found = scored(truth, prediction, classes=2)
    assert found.class_iou(0)[1] == 400 / 484
    prediction[60:100, 60:100] = 1  # 1600 pixels, all wrong: medium
    found = scored(truth, prediction, classes=2)
    assert found.class_iou(0)[1] == 400 / 484
    assert found.class_iou(1)[1] == 0
    assert found.counts[1, :, 1].tolist() == [0, 0, 1600]


def test_a_region_over_two_objects_goes_with_the_larger_part():
    truth = np.zeros((20, 60), np.uint8)
    truth[5:10, 2:7] = 1  # 25 pixels: medium
    truth[5:10, 10:40] = 1  # 150 pixels: large
    prediction = np.zeros_like(truth)
    prediction[5:10, 2:40] = 1  # the 15 pixels between are wrong
    found = scored(truth, prediction, classes=2, bins=TINY)
    assert found.class_iou(1)[1] == 1
    assert found.class_iou(2)[1] == 150 / 165


def test_touching_instances_are_two_objects_and_one_in_two_parts_is_one():
    truth = np.zeros((10, 40), np.uint8)
    truth[2:7, 2:7] = 1
    truth[2:7, 7:12] = 1
    instances = np.zeros((10, 40), np.uint16)
    instances[2:7, 2:7], instances[2:7, 7:12] = 1, 400
    assert scored(truth, truth, bins=TINY).objects.tolist() == [0, 0, 1]
    assert scored(truth, truth, instances, bins=TINY).objects.tolist() == [0, 2, 0]
    truth[2:7, 6:8] = 0
    instances[instances == 400] = 1
    assert scored(truth, truth, bins=TINY).objects.tolist() == [0, 2, 0]
    assert scored(truth, truth, instances, bins=TINY).objects.tolist() == [0, 0, 1]


def test_class_masks_decide_about_classes_instances_about_extents():
    """An object of 36 pixels, 3 of them another class, and 2 pixels that no instance holds."""
    truth = np.zeros((20, 20), np.uint8)
    truth[5:11, 5:11] = 1
    truth[5, 5:8] = 2
    truth[15, 15:17] = 2
    instances = np.zeros((20, 20), np.uint8)
    instances[4:11, 5:11] = 9  # a row of background as well
    instances[15, 15] = 255
    found = scored(truth, truth, instances, bins=TINY)
    assert found.objects.tolist() == [1, 0, 1]
    assert found.counts[2, 1].tolist() == [0, 33, 3]
    assert found.counts[0, 1].tolist() == [0, 0, 2]


def test_void_is_no_object_and_no_wrong_pixel():
    truth = square(6)
    truth[8:10, 8:18] = VOID
    prediction = square(8, at=(8, 8))
    found = scored(truth, prediction, classes=2)
    wrong = ((prediction == 1) & (truth == 0)).sum()
    assert found.counts[0, :, 1].tolist() == [36, 36, 36 + wrong]


def test_thinness_of_shapes():
    regions = np.zeros((120, 120), np.int32)
    regions[5:16, 5:16] = 1  # a square
    regions[30, 5:45] = 2  # a line
    regions[40:43, 5:35] = 3  # a strip, ten times as long as wide
    regions[60:65, 5:20] = 4  # three times
    rows, columns = np.indices(regions.shape)
    regions[np.hypot(rows - 80, columns - 80) <= 20] = 5
    widths = inner_widths(regions, 6)
    assert widths[:5].tolist() == [widths[0], 11, 1, 3, 5]
    assert widths[5] == pytest.approx(2 * np.sqrt(401) - 1)  # the next outside is 20 and 1 away
    names = [*THINNESS.names, None]
    found = [names[i] for i in THINNESS.of(regions)]
    assert found == [None, "compact", "thin", "thin", "elongated", "compact"]


def test_relative_sizes_follow_the_image():
    small = square(10, size=100).astype(np.int32)  # 1 % of the image
    assert RELATIVE_SIZES.of(small).tolist() == [3, 1]
    assert COCO_SIZES.of(small).tolist() == [3, 0]
    assert "small below 1,024" in COCO_SIZES.describe()


def test_images_add_up():
    maps = [(noisy(12, 18, i), noisy(12, 18, i + 9, void=False)) for i in range(4)]
    whole, first, second = (ObjectSizes(3, bins=TINY) for _ in range(3))
    for place, (truth, prediction) in enumerate(maps):
        whole.update(truth, prediction)
        (first, second)[place % 2].update(truth, prediction)
    first += second
    np.testing.assert_array_equal(first.counts, whole.counts)
    np.testing.assert_array_equal(first.objects, whole.objects)


def test_no_object():
    for truth in (np.full((4, 4), VOID, np.uint8), np.zeros((4, 4), np.uint8),
                  np.zeros((0, 4), np.uint8)):  # fmt: skip
        found = scored(truth, np.zeros(truth.shape, np.uint8))
        assert not found.objects.any()
        assert found.miou(0) is found.accuracy(1) is None


def test_wrong_arguments():
    with pytest.raises(SettingsError, match="background is 3; allowed: 0 to 2, or None"):
        ObjectSizes(3, background=3)
    with pytest.raises(SettingsError, match="2 groups with limits"):
        Bins("area", ("a", "b"), (1.0, 2.0))
    with pytest.raises(SettingsError, match="expected rising limits"):
        Bins("area", ("a", "b", "c"), (2.0, 1.0))
    with pytest.raises(SettingsError, match="measure is 'length'"):
        Bins("length", ("a",), ())
    first = ObjectSizes(3)
    with pytest.raises(SettingsError, match="cannot add"):
        first += ObjectSizes(3, bins=RELATIVE_SIZES)
    truth = np.zeros((4, 4), np.uint8)
    with pytest.raises(DataError, match="instances have shape"):
        first.update(truth, truth, np.zeros((3, 4), np.uint8))
    with pytest.raises(DataError, match="instances hold -1"):
        first.update(truth, truth, np.full((4, 4), -1))
    with pytest.raises(DataError, match="prediction holds 5"):
        first.update(truth, truth + 5)
