"""Objects as a network sees them, and DeconvNet's switches exchanged between two of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from upscore.core.crop_geometry import CropGeometry
from upscore.core.images import InputSpec
from upscore.core.labels import VOID, Labels
from upscore.data.dataset import Sample
from upscore.models.checkpoint import SavedModel
from upscore.models.factory import create_model
from upscore.reproduce.differences import significant
from upscore.reproduce.objects import ObjectCrop, crop_object, object_box
from upscore.reproduce.switches import (
    decoded,
    exchange_items,
    exchange_text,
    measure_pairs,
    overlap,
    overlaps_of,
    summary,
)

LABELS = Labels.of(["background", "cat", "dog"])


def test_object_box_is_of_the_largest_region():
    labels = np.zeros((20, 30), np.uint8)
    labels[2:4, 2:4] = 5
    labels[8:15, 10:22] = 5
    labels[10, 12] = VOID
    assert object_box(labels, 5).tolist() == [10, 8, 22, 15]


@pytest.mark.parametrize("square", [False, True])
def test_an_object_is_seen_as_in_training(square):
    labels = np.zeros((40, 60), np.uint8)
    labels[10:30, 50:60] = 1
    labels[0:2, 0:2] = 1  # a smaller region
    labels[30:32, 50:60] = VOID
    image = np.random.default_rng(0).integers(1, 255, (40, 60, 3), dtype=np.uint8)
    geometry = CropGeometry(growth=1.2, square=square, leave_image=True, size=(24, 24))
    seen = crop_object(Sample(image, labels, "p"), 1, geometry)
    # 10x20 about (55, 20), grown to 12x24, as a square 24x24
    half = 12 if square else 6
    x1, x2, y1, y2 = 55 - half, 55 + half, 8, 32
    canvas = np.full((24, 2 * half), VOID, np.uint8)
    canvas[:, : 60 - x1] = labels[y1:y2, x1:60]
    photo = np.zeros((24, 2 * half, 3), np.uint8)
    photo[:, : 60 - x1] = image[y1:y2, x1:60]
    size = (24, 24)
    want = np.asarray(Image.fromarray(canvas).resize(size, Image.Resampling.NEAREST))
    np.testing.assert_array_equal(seen.labels, want)
    near = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR))
    assert np.abs(seen.crop.astype(int) - near).max() <= 1
    assert seen.valid.sum() == (want != VOID).sum() < seen.valid.size
    assert seen.mask.sum() == (want == 1).sum() > 0
    assert x2 > 60


def seen(box, size=(32, 32), label=1):
    top, left, bottom, right = box
    labels = np.zeros(size, np.uint8)
    labels[top:bottom, left:right] = label
    labels[-2:] = VOID
    crop = np.random.default_rng(top).integers(0, 255, (*size, 3), dtype=np.uint8)
    return ObjectCrop(f"photo{top}", crop, labels, label)


def saved():
    torch.manual_seed(0)
    model = create_model(
        "deconvnet", num_classes=3, width=1 / 32, decoder_init="he", score_init="he"
    )
    return SavedModel(model.eval(), LABELS, InputSpec.named("imagenet"))


def test_exchanged_scores_are_those_of_two_passes():
    """Of the four maps, each from encodings made one by one."""
    one, pair = saved(), (seen((2, 2, 20, 20)), seen((8, 10, 30, 28)))
    got = decoded(one, pair)
    images = [one.input_spec.apply(torch.from_numpy(s.crop).permute(2, 0, 1)[None]) for s in pair]
    with torch.no_grad():
        for f in (0, 1):
            for s in (0, 1):
                if f == s:
                    want = one.model(images[f])
                else:
                    want = one.model.decode(
                        one.model.encode(images[f]).features, one.model.encode(images[s]).switches
                    )
                torch.testing.assert_close(got[f, s], want[0].softmax(0), atol=1e-5, rtol=1e-4)
        assert not torch.allclose(got[0, 0], got[0, 1], atol=1e-4)
        assert not torch.allclose(got[0, 0], got[1, 0], atol=1e-4)


def test_overlap_counts_pixels_that_have_a_class():
    one = seen((0, 0, 10, 10))
    map_ = np.zeros((32, 32), bool)
    map_[5:10, :10] = True
    map_[30:] = True  # void
    assert overlap(map_, one) == pytest.approx(50 / 100)
    map_[20:25, :10] = True
    assert overlap(map_, one) == pytest.approx(50 / 150)
    assert overlap(~map_ & False, one) == 0


def test_overlaps_of_maps_that_follow_the_switches():
    pair = (seen((0, 0, 10, 10)), seen((15, 15, 25, 30)))
    probabilities = torch.zeros(2, 2, 3, 32, 32)
    probabilities[:, :, 0] = 0.5
    for switches in (0, 1):
        probabilities[:, switches, 1][:, torch.from_numpy(pair[switches].mask)] = 1
    iou = overlaps_of(probabilities, pair)
    assert iou == [[[1, 0], [0, 1]], [[1, 0], [0, 1]]]
    found = summary([iou, iou])
    assert (found["own"], found["switches"], found["features"]) == (1, 1, 0)
    follows_features = overlaps_of(probabilities.transpose(0, 1), pair)
    assert follows_features == [[[1, 0], [1, 0]], [[0, 1], [0, 1]]]
    found = summary([follows_features])
    assert (found["own"], found["switches"], found["features"]) == (1, 0, 1)


def exchanged(*margins):
    """Of pairs whose two maps overlap so much more with the object of the switches."""
    return summary([[[[0, 0], [0.4, 0.4 + m]], [[0.4 + m, 0.4], [0, 0]]] for m in margins])


@pytest.mark.parametrize(
    ("margins", "agrees"),
    [
        ((0.2, 0.3, 0.1, 0.25), True),
        ((-0.2, -0.3, -0.1, -0.25), False),
        ((0.2, -0.3, 0.1, -0.05), None),
        ((0.2,), None),  # one pair leaves no interval
        ((), None),
    ],
)
def test_whether_maps_follow_the_switches(margins, agrees):
    found = exchanged(*margins)
    assert significant(found, above=True) is agrees
    assert f"{len(margins)} pairs" in exchange_text(found) or "no two photos" in exchange_text(
        found
    )


def test_figure_and_numbers_of_the_same_pair():
    pair = (seen((2, 2, 20, 20)), seen((8, 10, 30, 28)))
    sheet, table = exchange_items(saved(), pair, LABELS)
    assert [row.title for row in sheet.rows] == [row[0] for row in table.rows]
    assert all(row.of_data == {0, 1} for row in sheet.rows)
    measured = measure_pairs(saved(), [pair])
    assert measured["pairs"] == 1
    ((a_with_a, a_with_b), (b_with_a, b_with_b)) = measured["iou"][0]
    assert [list(row[1:]) for row in table.rows] == [a_with_a, b_with_b, a_with_b, b_with_a]
